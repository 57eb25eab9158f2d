"""A clock that keeps going while the machine sleeps, and an event loop that uses it.

On Linux and macOS `time.monotonic`, which asyncio's own loop uses, stands still during a suspend. Afterwards
a countdown would continue where it was, and a lease that others have taken over would look valid.
"""

import asyncio
import selectors
import sys
import time

LOOK_INTERVAL = 1.0
"""Seconds after which the loop looks at its clock at the latest: the kernel's own wait stands still during a
suspend."""


def elapsed() -> float:
    """Return the seconds of a monotonic clock that counts suspends."""
    if sys.platform == "linux":
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
    elif sys.platform == "darwin":
        now = time.clock_gettime(time.CLOCK_MONOTONIC)  # Python's mach_absolute_time doesn't
    else:
        now = time.monotonic()  # on Windows it counts them
    return now


class _Selector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(LOOK_INTERVAL if timeout is None else min(timeout, LOOK_INTERVAL))


class SuspendProofLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers fire when they are due, or within a second of the machine waking up."""

    def __init__(self) -> None:
        super().__init__(_Selector())

    def time(self) -> float:
        return elapsed()
