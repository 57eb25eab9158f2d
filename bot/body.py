"""The bodies of the model API's answers: unpacked and bounded, as they come from outside."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import ijson

BODY_BYTES = 64 * 1024
LIST_BYTES = 96 * 2**20
"""Of the list of models, unpacked: a row has some 600 bytes, and there are said to be over 50,000."""
PACKINGS = ("gzip", "deflate")
_WHERE_ROWS_ARE = (["start_array"], ["start_map", "start_array"])
_DEEPEST = 32
_CHUNK = 16 * 1024
"""A chunk of a list is read in under a millisecond, so that nobody waits behind it."""


async def bounded(response: aiohttp.ClientResponse) -> bytes:
    """Read at most BODY_BYTES, before and after unpacking. Raises ValueError beyond that."""
    body = b""
    async for chunk in unpacked(response, BODY_BYTES):
        body += chunk
    return body


async def unpacked(response: aiohttp.ClientResponse, most: int = LIST_BYTES) -> AsyncIterator[bytes]:
    """A body in chunks, unpacked. Raises ValueError for more than `most` bytes, or a broken packing."""
    packing = response.headers.get("Content-Encoding", "identity").strip().lower()
    if packing not in (*PACKINGS, "identity", ""):
        raise ValueError("unknown content encoding")
    unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32) if packing in PACKINGS else None
    came = given = 0
    async for raw in response.content.iter_chunked(_CHUNK):
        came += len(raw)
        rest = raw
        while rest:
            chunk, rest = _unpack(unpack, rest)
            given += len(chunk)
            if max(came, given) > most:
                raise ValueError("body too long")
            if chunk:
                yield chunk
    if unpack is not None and not unpack.eof:
        raise ValueError("body cut off")


def _unpack(unpack: Any, raw: bytes) -> tuple[bytes, bytes]:
    """The next piece of a packed body, and what is left to unpack."""
    if unpack is None:
        return raw, b""
    try:
        return unpack.decompress(raw, _CHUNK), unpack.unconsumed_tail
    except zlib.error:
        raise ValueError("broken content encoding") from None


async def read_list(chunks: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    """The items of the array in a JSON text, bare or in one wrapper, as they come in; nothing else is kept.

    Raises ValueError for what is not JSON, or not all of it.
    """
    events = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events, use_float=True)
    rows, begun = _Rows(), False
    try:
        async for chunk in chunks:
            parser.send(chunk if begun else chunk.removeprefix(b"\xef\xbb\xbf"))
            begun = True
            for row in rows.of(events):
                yield row
            del events[:]
            await asyncio.sleep(0)  # what has arrived already is read without a pause otherwise
        parser.close()
    except ijson.JSONError:
        raise ValueError("not JSON, or not all of it") from None


class _Rows:
    """Puts parser events together to rows: objects of an array, at the top or one below it."""

    def __init__(self) -> None:
        self._builder: Any = None
        self._inside: list[str] = []
        """What is open: an array or an object each."""

    def of(self, events: list[tuple[str, Any]]) -> list[Any]:
        """The rows that these events complete. Raises ValueError for what is nested too deeply."""
        rows = []
        for event, value in events:
            begins = event == "start_map" and self._inside in _WHERE_ROWS_ARE
            if event.startswith("start_"):
                self._inside.append(event)
                if len(self._inside) > _DEEPEST:
                    raise ValueError("nested too deeply")
            elif event.startswith("end_"):
                self._inside.pop()
            if begins:
                self._builder = ijson.ObjectBuilder()
            if self._builder is None:
                continue
            self._builder.event(event, value)
            if event == "end_map" and self._inside in _WHERE_ROWS_ARE:
                rows.append(self._builder.value)
                self._builder = None
        return rows
