"""A clock that goes on while the machine sleeps, and an event loop that lives by it.

On Linux and macOS `time.monotonic`, by which asyncio's own loop lives, stands still in a suspend. Afterwards
a countdown would go on where it was, and a lease that others have taken over would look good.
"""

import asyncio
import selectors
import sys
import time
from collections.abc import Callable

LOOK_INTERVAL = 1.0
"""The loop looks at its clock at least this often: the kernel's own waiting stands still in a suspend."""


def elapsed() -> float:
    """Seconds of a monotonic clock that counts suspends."""
    if sys.platform == "linux":
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
    elif sys.platform == "darwin":
        now = time.clock_gettime(time.CLOCK_MONOTONIC)  # Python's own is mach_absolute_time, which does not
    else:
        now = time.monotonic()  # on Windows it does
    return now


class _Selector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(LOOK_INTERVAL if timeout is None else min(timeout, LOOK_INTERVAL))


class SuspendProofLoop(asyncio.SelectorEventLoop):
    """Timers go off when they are due, or within a second after the machine has woken up."""

    def __init__(self, clock: Callable[[], float] = elapsed) -> None:
        super().__init__(_Selector())
        self._clock = clock

    def time(self) -> float:
        return self._clock()
