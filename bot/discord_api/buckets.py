"""Replaces discord.py's rate limits: a call ends when its answer has arrived.

If an answer says that its bucket is used up, discord.py 2.7.1 holds that call until the bucket is fresh
(http.py, webhook/async_.py): a ping would wait for the edit before it, and a button press for an answer that
has already arrived. `http_trace` knows the buckets and delays the next call instead.
"""

import asyncio
from typing import Self

import discord
from discord.webhook import async_


class NoRatelimit:
    """Stands in for `discord.http.Ratelimit`."""

    remaining = 1

    def __init__(self, _: float | None) -> None:
        """Nothing is kept."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """The call ends."""

    def update(self, *_: object, **__: object) -> None:
        """Do nothing: `http_trace` reads the headers."""

    def is_inactive(self) -> bool:
        """It can be dropped at any time."""
        return True


class PlainLock:
    """Stands in for `discord.webhook.async_.AsyncDeferredLock`: one call per token at a time."""

    def __init__(self, lock: asyncio.Lock) -> None:
        self._lock = lock

    async def __aenter__(self) -> Self:
        await self._lock.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()

    def delay_by(self, _: float) -> None:
        """Do nothing: `http_trace` reads the headers."""


def end_calls_with_their_answers() -> None:
    """Have discord.py use these, also for the command line: it looks them up in its own modules."""
    discord.http.Ratelimit = NoRatelimit  # type: ignore[misc, assignment]
    async_.AsyncDeferredLock = PlainLock  # type: ignore[misc, assignment]
