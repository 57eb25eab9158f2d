"""Places for calls to the model API: a limited number, shared fairly between servers.

Each call holds one of the process's open files. An API that hangs must leave files for Discord and the disk,
and one server's hanging calls must leave room for the others.
"""

import asyncio
import itertools
import resource
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

MAX_CONCURRENT_CALLS = 256
PLACE_TIMEOUT = 60.0
WANTED_FILES = 8192
"""Open files that the soft limit is raised to; macOS allows 10,240."""
_SHARE = 4
"""The calls' share of the files, and one server's share of the calls, is one in this many."""


def raise_file_limit() -> int:
    """Raise the soft limit of open files as far as this process may; return the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = WANTED_FILES if hard == unlimited else min(WANTED_FILES, hard)
    if soft != unlimited and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # systemd's filter of system calls
            return soft
        return wanted
    return WANTED_FILES if soft == unlimited else soft


def concurrent_calls(files: int) -> int:
    """Return how many calls a process with this many files may have open at once."""
    return max(_SHARE, min(MAX_CONCURRENT_CALLS, files // _SHARE))


class CallPlaces:
    """The places of one process. A free one goes to the server with the fewest open calls.

    Among several servers, the one served longest ago comes first; within a server, whoever came first.
    """

    def __init__(self, most: int = MAX_CONCURRENT_CALLS) -> None:
        self._free = most
        self._share = max(1, most // _SHARE)
        self._lines: dict[int, _Line] = {}
        self._served = itertools.count(1)

    @contextmanager
    def line(self, server: int) -> Iterator[asyncio.Future[None]]:
        """Join the line for a place; the future is done once there is one, and leaves the line at the end."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line = self._lines.setdefault(server, _Line())
        line.waiting.append(turn)
        self._fill()
        try:
            yield turn
        finally:
            if turn.done():
                self._free += 1
                line.out -= 1
            else:
                line.waiting.remove(turn)
            if not (line.out or line.waiting):
                del self._lines[server]
            self._fill()

    @asynccontextmanager
    async def turn(self, server: int) -> AsyncIterator[None]:
        """Hold a place, waiting for it. Raises TimeoutError after PLACE_TIMEOUT."""
        with self.line(server) as turn:
            await asyncio.wait({turn}, timeout=PLACE_TIMEOUT)
            if not turn.done():
                raise TimeoutError("no place for a call to the model API")
            yield

    def _fill(self) -> None:
        """Give free places to those who wait."""
        while self._free:
            may = [line for line in self._lines.values() if line.waiting and line.out < self._share]
            if not may:
                return
            line = min(may, key=lambda line: (line.out, line.served))
            self._free -= 1
            line.out += 1
            line.served = next(self._served)
            line.waiting.popleft().set_result(None)


@dataclass(slots=True)
class _Line:
    """One server's calls: open ones, waiting ones, and when the last one got its place."""

    out: int = 0
    served: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
