"""Endings that could not be shown, and what wakes them up when their place may be open again."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager

CHANGE_DELAY = 1.0
"""Seconds from a change in a server to the tries: changes come in bursts."""
CHANGE_INTERVAL = 30.0
"""Seconds between two times that changes in one server set off tries."""


class Untold:
    """The undelivered endings of this process. Servers without any cost nothing."""

    def __init__(self) -> None:
        self._watching: dict[int, dict[asyncio.Event, frozenset[int]]] = {}
        self._planned: set[int] = set()
        self._woken_at: dict[int, float] = {}

    @contextmanager
    def watching(self, server: int, channels: frozenset[int]) -> Iterator[asyncio.Event]:
        """Yield an event that is set when something has changed in the server, so it is time to try again."""
        changed = asyncio.Event()
        self._watching.setdefault(server, {})[changed] = channels
        try:
            yield changed
        finally:
            del self._watching[server][changed]
            if not self._watching[server]:
                del self._watching[server]

    def changed(self, server: int, thread: int | None = None) -> None:
        """Wake up what could not be shown in a server, or only what is in one thread.

        In a busy server threads come to rest all day long, and each try costs calls that may be refused.
        """
        watching = self._watching.get(server, {}).values()
        is_meant = any(thread in (None, *channels) for channels in watching)
        if not is_meant or server in self._planned:
            return
        self._planned.add(server)
        loop = asyncio.get_running_loop()
        earliest = self._woken_at.get(server, -math.inf) + CHANGE_INTERVAL
        loop.call_at(max(loop.time() + CHANGE_DELAY, earliest), self._wake, server)

    def _wake(self, server: int) -> None:
        now = asyncio.get_running_loop().time()
        self._planned.discard(server)
        self._woken_at = {s: at for s, at in self._woken_at.items() if now - at < CHANGE_INTERVAL}
        self._woken_at[server] = now
        for changed in self._watching.get(server, ()):
            changed.set()
