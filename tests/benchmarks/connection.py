"""Just enough HTTP for the benchmark, at little cost."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import orjson

Answer = tuple[int, Any]
"""The status, and the decoded JSON body."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nVia: 1.1 google%b\r\nContent-Length: %d\r\n\r\n"
_REASONS = {200: b"200 OK", 404: b"404 Not Found", 429: b"429 Too Many Requests"}


class Connection(asyncio.Protocol):
    """HTTP/1.1, kept alive, one request after another."""

    def __init__(self, answer: Callable[[str, str, bytes], Answer], late: Callable[[str], float]) -> None:
        self._answer = answer
        self._late = late
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._buffer += data
        while (ends := self._buffer.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self._buffer, 0, ends)
            whole = ends + 4 + (int(found[1]) if found is not None else 0)
            if len(self._buffer) < whole:
                return
            method, path, _ = self._buffer[: self._buffer.index(b"\r\n")].decode().split(" ")
            body, self._buffer = self._buffer[ends + 4 : whole], self._buffer[whole:]
            self._write(path, *self._answer(method, path, body))

    def _write(self, path: str, status: int, answer: Any) -> None:
        body = orjson.dumps(answer)
        limit = b"\r\nX-RateLimit-Global: true\r\nRetry-After: 1" if status == 429 else b""
        raw = _HEAD % (_REASONS[status], limit, len(body)) + body
        delay = self._late(path)
        assert self._transport is not None
        if delay:
            asyncio.get_running_loop().call_later(delay, self._transport.write, raw)
        else:
            self._transport.write(raw)
