"""Fetches a picture from an address that came from outside: it may be anything."""

import asyncio
import itertools
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext

import aiohttp
import structlog
from yarl import URL

from bot.domain.picture import Picture

MOST_BYTES = 8 * 2**20
"""Bytes of the largest picture; Discord accepts 10 MiB from anybody."""
PICTURE_TIMEOUT = 20.0
PICTURE_PATIENCE = 45.0
"""Seconds to wait for a picture: of 1,950, 587 were not there at first, and 33 not after 16 s (the vendor's
own log of 2023)."""
PICTURE_RETRY_DELAY = 3.0
_NAME = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z][a-z0-9-]*")
"""A host's name: a bare number is none, however it is written."""
_OWN_NETWORK = (".local", ".localhost", ".internal", ".lan", ".home")
_KINDS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg", b"GIF8": "gif"}

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


Turn = Callable[[], AbstractAsyncContextManager[None]]
"""Waits for a place to make a call, and holds it. Raises TimeoutError."""


async def fetch(
    session: aiohttp.ClientSession, addresses: str, own_host: str, turn: Turn = nullcontext
) -> Picture | None:
    """Fetch a picture of at most MOST_BYTES, without redirects; None if it can't be fetched. Never raises.

    `addresses`: one or more, separated by spaces and tried in turn, since pictures come late. An address that
    returned something other than a picture is not tried again. Waiting for a turn does not use up patience.
    """
    urls = [url for address in addresses.split() if (url := safe(address, own_host)) is not None]
    if not urls:
        log.warning("picture.refused", why="address")
    loop = asyncio.get_running_loop()
    ends = loop.time() + PICTURE_PATIENCE
    for attempt in itertools.count():
        if not urls or loop.time() > ends:
            return None
        await asyncio.sleep(PICTURE_RETRY_DELAY if attempt else 0)
        url, asked = urls[attempt % len(urls)], loop.time()
        try:
            async with turn():
                ends += loop.time() - asked
                async with asyncio.timeout(PICTURE_TIMEOUT):
                    data = await _read(session, url)
        except (aiohttp.ClientError, OSError) as error:  # OSError: TimeoutError, too
            log.warning("picture.not_fetched", error=type(error).__name__, attempt=attempt)
            continue
        except ValueError as error:  # too long, or not an address that can be used
            log.warning("picture.refused", why=type(error).__name__)
            data = b""
        if data is None:
            continue
        if kind := _kind(data):
            return Picture(data, f"test-image.{kind}")
        urls.remove(url)
    return None


def safe(address: str, own_host: str) -> URL | None:
    """Return the address as a URL: https to a named host on its usual port, or the API's own host."""
    try:
        url = URL(address)
        origin, host = url.origin(), url.raw_host or ""
    except ValueError:
        return None
    if url.user is not None or url.password is not None:
        return None
    if origin == URL(own_host).origin():
        return url
    named = _NAME.fullmatch(host) is not None and not host.endswith(_OWN_NETWORK)
    return url if named and url.scheme == "https" and url.port == 443 else None


async def _read(session: aiohttp.ClientSession, url: URL) -> bytes | None:
    """Return the bytes; None: not there yet. Raises ValueError if they are too long."""
    headers = {"Accept": "image/*", "Accept-Encoding": "identity"}
    limit = aiohttp.ClientTimeout(total=PICTURE_TIMEOUT, connect=5.0)
    async with session.get(url, headers=headers, allow_redirects=False, timeout=limit) as response:
        if response.status != 200:
            log.warning("picture.not_there", status=response.status)
            return None
        data = bytearray()
        async for chunk in response.content.iter_chunked(64 * 1024):
            data += chunk
            if len(data) > MOST_BYTES:
                raise ValueError("too long")
    return bytes(data)


def _kind(data: bytes) -> str | None:
    """Return the name of a format that Discord shows, by the first bytes, or None."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((kind for head, kind in _KINDS.items() if data.startswith(head)), None)
