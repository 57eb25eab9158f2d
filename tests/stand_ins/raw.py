"""A bare TCP server that sends any bytes a test chooses, even those no HTTP library would send."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

Talk = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
"""Gets the whole request and the way back; the connection is closed afterwards."""


def answering(raw: bytes) -> Talk:
    """Send these bytes."""

    async def talk(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return talk


def with_body(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole HTTP response."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def reset(request: bytes, writer: asyncio.StreamWriter) -> None:
    """Cut the connection with a TCP reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def hang(request: bytes, writer: asyncio.StreamWriter) -> None:
    """Send nothing until the other side has gone."""
    await writer.wait_closed()


class RawServer:
    """Counts connections, and keeps requests that it has read in full."""

    def __init__(self, talk: Talk, port: socket.socket | None = None, *, reads: bool = True) -> None:
        self._port = free_port() if port is None else port
        self.connections = 0
        self.requests: list[bytes] = []
        self.url = f"http://127.0.0.1:{self._port.getsockname()[1]}"
        self._talk = talk
        self._reads = reads
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, sock=self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._converse(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = b""
            if self._reads:
                request = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1])
                    for line in request.lower().splitlines()
                    if line.startswith(b"content-length:")
                )
                request += await reader.readexactly(length)
                self.requests.append(request)
            await self._talk(request, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the other side has gone: the test looks there
        finally:
            writer.close()


def free_port() -> socket.socket:
    """A bound socket: connections are refused until somebody listens on it."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock
