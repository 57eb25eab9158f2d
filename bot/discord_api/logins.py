"""When a shard may log in: a token has 1,000 logins a day, and Discord resets one that uses them up.

A login that did not stay up makes the next one wait, 5 s at first, up to 10 minutes, for all shards and
processes of the token together and across restarts. One such login in 10 minutes is forgiven.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import structlog

from bot.discord_api.http_trace import clock
from bot.discord_api.trouble import TROUBLE
from bot.domain.errors import StoreTrouble
from bot.store.base import Store

STAYED_AGE = 600.0
"""A login that is older than this, in seconds, has stayed up."""
FIRST_DELAY = 5.0
LONGEST_DELAY = 600.0
SPACING = 5.0
"""Seconds between two logins of one bucket; Discord says how many buckets there are (`max_concurrency`)."""
LIMITS_TIMEOUT = 10.0
_TOKEN, _SHARD = "logins", "login:{shard}"
_MOST = 8
"""Failures that count: more would not make the delay longer."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Limits(NamedTuple):
    """What Discord says of the token: logins left, seconds until there are fresh ones, buckets."""

    remaining: int
    reset_after: float
    max_concurrency: int


def delay_after(failures: int) -> float:
    """Seconds from a login that did not stay up to the next: 5, 10, 20 and so on, up to 600."""
    return float(min(FIRST_DELAY * 2 ** min(failures, _MOST), LONGEST_DELAY))


class Logins:
    """Those of this process's shards; what all processes of the token must know is in the store."""

    def __init__(
        self, store: Store, now: Callable[[], float], limits: Callable[[], Awaitable[Limits]]
    ) -> None:
        self._store = store
        self._now = now
        self._limits = limits
        self._failures, self._failed_at = 0, -math.inf
        self._at: dict[int, float] = {}
        """When each shard logged in last, in this process or the one before it."""
        self._next: dict[int, float] = {}
        """When each bucket is free, by the loop's clock."""
        self.none_left_until = -math.inf
        """In seconds since 1970."""

    async def wait(self, shard: int) -> None:
        """Return once a shard may connect to log in."""
        while (pause := await self._pause(shard)) > 0:
            log.warning("login.waits", shard=shard, seconds=round(pause), failures=self._failures)
            await asyncio.sleep(pause)
        limits = await self._known_limits()
        while limits.remaining <= 0:
            self.none_left_until = self._now() + limits.reset_after
            log.error("login.none_left", again_in=round(limits.reset_after))
            await asyncio.sleep(max(1.0, limits.reset_after))
            limits = await self._known_limits()
        bucket = shard % max(1, limits.max_concurrency)
        free = max(clock(), self._next.get(bucket, -math.inf))
        self._next[bucket] = free + SPACING
        await asyncio.sleep(free - clock())

    async def begun(self, shard: int) -> None:
        """A shard logs in now."""
        if self._is_suspect(shard):
            await self._learn()
            self._failures, self._failed_at = min(self._failures + 1, _MOST), self._now()
            await self._write(_TOKEN, {"failures": self._failures, "at": self._failed_at})
        self._at[shard] = self._now()
        await self._write(_SHARD.format(shard=shard), self._at[shard])

    async def stayed(self, shard: int) -> None:
        """A shard was well when this process stopped: the next start need not wait."""
        await self._write(_SHARD.format(shard=shard), None)

    async def _pause(self, shard: int) -> float:
        if shard not in self._at:
            self._at[shard] = float(await self._read(_SHARD.format(shard=shard)) or -math.inf)
        if not self._is_suspect(shard):
            return 0.0
        await self._learn()
        due = max(self._failed_at, self._at[shard]) + delay_after(self._failures) - self._now()
        return min(due, LONGEST_DELAY)  # the clock may have been set back

    def _is_suspect(self, shard: int) -> bool:
        """Whether its last login did not stay up: it wants another one already."""
        return 0 <= self._now() - self._at.get(shard, -math.inf) < STAYED_AGE

    async def _learn(self) -> None:
        """Take over what other processes have noted, or the last one, and forgive one for each 10 minutes."""
        known: dict[str, Any] = await self._read(_TOKEN) or {}
        if float(known.get("at", -math.inf)) > self._failed_at:
            self._failures, self._failed_at = int(known["failures"]), float(known["at"])
        forgiven = (self._now() - self._failed_at) // LONGEST_DELAY if self._failures else 0
        self._failures = int(max(0, self._failures - max(0, forgiven)))

    async def _known_limits(self) -> Limits:
        try:
            async with asyncio.timeout(LIMITS_TIMEOUT):
                return await self._limits()
        except TROUBLE as error:
            log.warning("login.limits_unknown", error=type(error).__name__)
            return Limits(1, 0.0, 1)

    async def _read(self, name: str) -> Any:
        try:
            return await self._store.value(name)
        except StoreTrouble as error:
            log.warning("login.not_known", error=type(error).__name__)
            return None

    async def _write(self, name: str, value: Any) -> None:
        try:
            await self._store.set_value(name, value)
        except StoreTrouble as error:
            log.warning("login.not_noted", error=type(error).__name__)
