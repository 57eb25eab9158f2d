"""The bodies of the model API's answers, unpacked and limited, as they come from outside."""

import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp

BODY_BYTES = 64 * 1024
LIST_BYTES = 96 * 2**20
"""Bytes of the list of models, unpacked: a row has about 600, and there are said to be over 50,000."""
PACKINGS = ("gzip", "deflate")
_MOST_MEMBERS = 10_000
"""Members of one gzip body: each takes some microseconds, and may be empty."""
_CHUNK = 16 * 1024
"""Bytes of a list's chunk, which is read in under a millisecond so that nobody waits behind it."""


async def bounded(response: aiohttp.ClientResponse) -> bytes:
    """Read at most BODY_BYTES, before and after unpacking. Raises ValueError beyond that."""
    body = b""
    async for chunk in unpacked(response, BODY_BYTES):
        body += chunk
    return body


async def unpacked(response: aiohttp.ClientResponse, most: int = LIST_BYTES) -> AsyncIterator[bytes]:
    """Yield an unpacked body in chunks.

    Raises ValueError for more than `most` bytes, or broken compression.
    """
    packing = response.headers.get("Content-Encoding", "identity").strip().lower().removeprefix("x-")
    if packing not in (*PACKINGS, "identity", ""):
        raise ValueError("unknown content encoding")
    unpack = _Unpacker() if packing in PACKINGS else None
    came = given = 0
    async for raw in response.content.iter_chunked(_CHUNK):
        came += len(raw)
        for chunk in (raw,) if unpack is None else unpack.feed(raw):
            given += len(chunk)
            if max(came, given) > most:
                raise ValueError("body too long")
            yield chunk
    if unpack is not None and not unpack.is_whole:
        raise ValueError("body cut off")


class _Unpacker:
    """Unpacks gzip of any number of members (RFC 1952, 2.2), and deflate with and without zlib's header."""

    def __init__(self) -> None:
        self._packed: Any = None
        self._rest = b""
        """The first byte of the next part: it takes two to tell what it is."""
        self._members = 0

    @property
    def is_whole(self) -> bool:
        """Whether the data so far is a whole body."""
        return self._members > 0 and self._packed is None

    def feed(self, raw: bytes) -> Iterator[bytes]:
        """Yield the content of a piece of the body, in pieces of bounded length. Raises ValueError."""
        rest = self._rest + raw
        self._rest, is_full = b"", False
        while rest or is_full:
            if self._packed is None:
                if len(rest) < 2:
                    self._rest = rest
                    return
                if not self._begin(rest):
                    return
            try:
                chunk = self._packed.decompress(rest, _CHUNK)
            except zlib.error:
                raise ValueError("broken content encoding") from None
            if chunk:
                yield chunk
            rest = self._packed.unconsumed_tail
            is_full = len(chunk) == _CHUNK  # zlib may hold more although it has taken everything
            if self._packed.eof:
                rest, is_full, self._packed = self._packed.unused_data, False, None

    def _begin(self, head: bytes) -> bool:
        """Start on the next part; False if nothing counts: padding may follow the last member."""
        is_gzip = head[:2] == b"\x1f\x8b"
        if self._members and not is_gzip:
            return False
        if self._members >= _MOST_MEMBERS:
            raise ValueError("too many members")
        is_zlib = head[0] & 15 == zlib.DEFLATED and int.from_bytes(head[:2], "big") % 31 == 0
        self._packed = zlib.decompressobj(31 if is_gzip else 15 if is_zlib else -15)
        self._members += 1
        return True
