"""The bodies of the model API's answers: unpacked and bounded, as they come from outside."""

import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

BODY_BYTES = 64 * 1024
LIST_BYTES = 96 * 2**20
"""Of the list of models, unpacked: a row has some 600 bytes, and there are said to be over 50,000."""
PACKINGS = ("gzip", "deflate")
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
