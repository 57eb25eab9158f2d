"""Decides when a shard may log in: a token has 1,000 logins a day, and Discord resets one that uses them up.

A login that does not stay up delays the next one, by 5 s at first, by up to 10 minutes later (`login_turns`).
It is claimed in the store before it goes out, so that neither a restart nor another process changes anything.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import structlog

from bot.discord_api.login_turns import ANSWER_INTERVAL, FIRST_DELAY, Login, Token, Turn
from bot.discord_api.trouble import TROUBLE
from bot.domain.errors import StoreTrouble
from bot.store.base import Store

LIMITS_TIMEOUT = 10.0
LONGEST_RESET = 86400.0
_LOOK_INTERVAL = 5.0
_LEAST_PAUSE = 0.001
_TOKEN, _SHARD = "login", "login:{shard}"

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Limits(NamedTuple):
    """Discord's limits for the token: logins left, seconds until they are renewed, number of buckets."""

    remaining: int
    reset_after: float
    max_concurrency: int


def no_logins(until: float) -> str:
    """Return in words that none are left until a time in seconds since 1970."""
    return f"no logins are left until {datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M} UTC"


class Logins:
    """The logins of this process's shards; the store has what all processes of the token must know."""

    def __init__(
        self, store: Store, now: Callable[[], float], limits: Callable[[], Awaitable[Limits]]
    ) -> None:
        self._store = store
        self._now = now
        self._limits = limits
        self._token = Token()
        self._is_unsaved = False
        self._buckets = 0
        """The number of buckets; 0 if it is not known yet."""
        self._last: dict[int, Login | None] = {}
        """Each shard's last login, even one by the previous process; None once it has been counted."""
        self._began_at = math.inf
        """When this process first looked at its shards: its predecessor was gone by then."""
        self._settling = asyncio.Lock()
        self._unanswered: set[int] = set()
        self._ready: set[int] = set()
        self._none_left_until = -math.inf

    async def wait(self, shard: int) -> None:
        """Return once a shard that has no connection, or has lost it, may connect and log in."""
        self._began_at = min(self._began_at, self._now())
        await self._settle(shard)
        limits = None if self._buckets else await self._known_limits()
        while True:
            pause = await self._turn(shard)
            if pause > 0:
                log.info("login.waits", shard=shard, seconds=round(pause), failures=self._token.lost)
                limits = None
            while pause > 0:
                pause = max(pause, _LEAST_PAUSE)
                await asyncio.sleep(min(pause, max(_LOOK_INTERVAL, pause / 4)))  # there may be news
                pause = await self._turn(shard)
            limits = limits or await self._known_limits()
            if limits.remaining > 0:
                self._none_left_until = -math.inf
                return
            await self.give_up(shard)
            pause = min(max(limits.reset_after, FIRST_DELAY), LONGEST_RESET)
            self._none_left_until, limits = self._now() + pause, None
            log.error("login.none_left", again_in=round(pause))
            await asyncio.sleep(pause)

    async def ended(self, shard: int) -> None:
        """Record that a connection has ended: its unanswered login has failed; the next shard may go on."""
        if shard in self._unanswered:
            await self._settle(shard)

    async def give_up(self, shard: int) -> None:
        """Give up a shard's turn: it does not log in after all."""
        self._unanswered.discard(shard)
        await self._change(lambda token: token.answered(shard))

    def none_left(self) -> str:
        """Return, in words, until when Discord allows no more logins; empty if it does."""
        return no_logins(self._none_left_until) if self._now() < self._none_left_until else ""

    async def begun(self, shard: int) -> None:
        """Record that a shard logs in now: Discord counts from here, and connecting took a while."""
        now = self._now()
        begun = self._change(lambda token: token.begun(self._bucket(shard), shard, now))
        await asyncio.gather(begun, self._note(shard, Login(now)))

    async def ready(self, shard: int) -> None:
        """Record that Discord has answered a shard's login; whether it stays up is seen later."""
        self._unanswered.discard(shard)
        self._ready.add(shard)
        now = self._now()
        before = await self._change(lambda token: token.ready(shard, now))
        credit, last = before.lost - self._token.lost, self._last.get(shard)
        if credit and last is not None:
            await self._note(shard, last._replace(credit=credit))

    async def leave(self, connected: Iterable[int]) -> None:
        """Record that we end all connections ourselves: logins of shards that were ready have not failed."""
        await asyncio.gather(
            *(self.give_up(shard) for shard in self._unanswered.copy()),
            *(self._note(shard, None) for shard in self._ready.intersection(connected)),
        )

    async def _settle(self, shard: int) -> None:
        """Count a lost login: if a shard that has no connection logged in lately, it has not stayed up."""
        async with self._settling:
            was_ready = shard in self._ready
            self._ready.discard(shard)
            if shard not in self._last:
                known = await self._read(_SHARD.format(shard=shard))
                self._last[shard] = Login(**known) if known is not None else None
            if (last := self._last[shard]) is not None:
                await self._note(shard, None)
                now = self._now()
                is_lost = last.is_young(now, self._began_at)
                await self._change(
                    lambda token: (
                        token.failed(shard, last, now, was_ready=was_ready)
                        if is_lost
                        else token.stayed(shard)
                    )
                )
                self._unanswered.discard(shard)
            elif shard in self._unanswered:
                await self.give_up(shard)

    async def _turn(self, shard: int) -> float:
        """Return the seconds until a shard's turn; 0 if it has taken it."""
        known = await self._read(_TOKEN)
        if known is not None:
            self._token = self._newest(known)
        bucket, now = self._bucket(shard), self._now()
        if (pause := self._token.wait(bucket, shard, now)) > 0:
            return pause
        await self._change(lambda token: token.claimed(bucket, shard, now))
        if self._token.turns.get(bucket) != Turn(now, shard):
            return ANSWER_INTERVAL  # another one was quicker
        self._unanswered.add(shard)
        return 0.0

    def _bucket(self, shard: int) -> int:
        return shard % max(1, self._buckets)

    async def _change(self, change: Callable[[Token], Token]) -> Token:
        """Change what all processes know or, failing that, what this one knows; return the previous value."""
        before = self._token

        def changed(known: dict[str, Any] | None) -> dict[str, Any]:
            nonlocal before
            before = self._newest(known) if known is not None else self._token
            return change(before).packed()

        try:
            self._token = Token.unpacked(await self._store.change_value(_TOKEN, changed))
            self._is_unsaved = False
        except StoreTrouble as error:
            log.warning("login.not_noted", error=type(error).__name__)
            before, self._token, self._is_unsaved = self._token, change(self._token), True
        return before

    def _newest(self, known: dict[str, Any]) -> Token:
        """Return what the store has, unless we hold something newer that it could not take."""
        stored = Token.unpacked(known)
        return self._token if self._is_unsaved and self._token.at > stored.at else stored

    async def _note(self, shard: int, login: Login | None) -> None:
        self._last[shard] = login
        try:
            await self._store.set_value(_SHARD.format(shard=shard), login and login._asdict())
        except StoreTrouble as error:
            log.warning("login.not_noted", error=type(error).__name__)

    async def _known_limits(self) -> Limits:
        try:
            async with asyncio.timeout(LIMITS_TIMEOUT):
                limits = await self._limits()
        except TROUBLE as error:
            log.warning("login.limits_unknown", error=type(error).__name__)
            limits = Limits(1, 0.0, self._buckets)
        self._buckets = max(1, limits.max_concurrency)
        return limits

    async def _read(self, name: str) -> Any:
        try:
            return await self._store.value(name)
        except StoreTrouble as error:
            log.warning("login.not_known", error=type(error).__name__)
            return None
