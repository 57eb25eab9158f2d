"""A limit on progress instead of time: work on a large store takes long, and a hanging disk never answers."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def while_it_moves(work: Callable[[Callable[[], None]], T], seconds: float) -> T:
    """Run work in a thread that regularly calls the function it is given.

    Raises TimeoutError if it has not called for this many seconds; the thread is then left alone.
    """
    loop, moved = asyncio.get_running_loop(), asyncio.Event()

    def progress() -> None:
        loop.call_soon_threadsafe(moved.set)

    working = asyncio.create_task(asyncio.to_thread(work, progress), name="store-works")
    working.add_done_callback(lambda _: moved.set())
    while not working.done():
        moved.clear()
        async with asyncio.timeout(seconds):
            await moved.wait()
    return working.result()
