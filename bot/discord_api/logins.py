"""When a shard may log in: a token has 1,000 logins a day, and Discord resets one that uses them up.

A login that does not stay up makes the next one wait, 5 s at first, up to 10 minutes. While nobody is well,
that counts for all shards and processes of the token, of which one tries at a time; where others are well,
for the shard alone. It is stored, so that a restart changes nothing.
"""

import asyncio
import math
import secrets
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import structlog

from bot.discord_api.http_trace import clock
from bot.discord_api.trouble import TROUBLE
from bot.domain.errors import StoreTrouble
from bot.store.base import Store

STAYED_AGE = 600.0
"""A login that is older than this, in seconds, has stayed up. As often, one that did not is forgiven."""
FIRST_DELAY, LONGEST_DELAY = 5.0, 600.0
SPACING = 5.0
"""Seconds between two logins of one bucket; Discord says how many buckets there are (`max_concurrency`)."""
ANSWER_TIMEOUT = 120.0
"""Seconds for which a bucket waits for Discord's answer to its last login: to connect, and to be READY."""
LIMITS_TIMEOUT = 10.0
CLAIM_DELAY = 2.0
"""Of the processes that want to try, the last one to write within this does."""
READY_CREDIT = 2
"""Failures that a READY forgives, so that after an outage the others follow; a loss takes it back."""
LONGEST_RESET = 86400.0
_LOOK_INTERVAL = 5.0
_CLOCK_SKEW = 60.0
_MOST = 8
"""Failures that count: more would not make the delay longer."""
_TOKEN, _SHARD = "logins", "login:{shard}"

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Limits(NamedTuple):
    """What Discord says of the token: logins left, seconds until there are fresh ones, buckets."""

    remaining: int
    reset_after: float
    max_concurrency: int


class Login(NamedTuple):
    """One of a shard's, at a time in seconds since 1970; `credit`: failures that its READY has forgiven."""

    at: float
    credit: int = 0


class Failures(NamedTuple):
    """What all processes of a token know of its logins that did not stay up."""

    lost: int = 0
    at: float = -math.inf
    """When the last one failed, or another was tried; in seconds since 1970."""
    everybody: bool = False
    """Whether nobody was well then."""
    by: str = ""
    """The process that wrote it."""

    def left(self, now: float) -> int:
        """How many count at `now`: one is forgiven every 10 minutes, all where the clock was set back."""
        age = now - self.at
        return max(0, self.lost - int(age // STAYED_AGE)) if -_CLOCK_SKEW < age < math.inf else 0

    def wait(self, now: float) -> float:
        """Seconds until the next login, from `now`."""
        left = self.left(now)
        return min(max(0.0, self.at + delay_after(left) - now), LONGEST_DELAY) if left else 0.0


def delay_after(failures: int) -> float:
    """Seconds from the last of so many logins that did not stay up to the next: 5, 10, 20, up to 600."""
    return min(FIRST_DELAY * 2.0 ** (failures - 1), LONGEST_DELAY)


def no_logins(until: float) -> str:
    """In words: none are left until a time in seconds since 1970."""
    return f"no logins are left until {datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M} UTC"


class Logins:
    """Those of this process's shards; what all processes of the token must know is in the store."""

    def __init__(
        self, store: Store, now: Callable[[], float], limits: Callable[[], Awaitable[Limits]]
    ) -> None:
        self._store = store
        self._now = now
        self._limits = limits
        self._id = secrets.token_hex(4)
        self._failures = Failures()
        self._buckets = 1
        self._last: dict[int, Login | None] = {}
        """Each shard's last login, also in the process before this; None: it has been counted."""
        self._turns: dict[int, float] = {}
        """When each shard's last turn or login was, by the loop's clock."""
        self._settling = asyncio.Lock()
        self._unanswered: set[int] = set()
        self._ready: set[int] = set()
        self._suspects: set[int] = set()
        """Shards whose last login did not stay up."""
        self._none_left_until = -math.inf

    async def wait(self, shard: int) -> None:
        """Return once a shard may connect to log in: it has no connection, or has lost it."""
        await self._settle(shard)
        while True:
            if (pause := await self._turn(shard)) > 0:
                log.info("login.waits", shard=shard, seconds=round(pause), failures=self._failures.lost)
            while pause > 0:
                await asyncio.sleep(min(pause, max(_LOOK_INTERVAL, pause / 4)))  # there may be news
                pause = await self._turn(shard)
            limits = await self._known_limits()
            self._buckets = max(1, limits.max_concurrency)
            if limits.remaining > 0:
                self._none_left_until = -math.inf
                return
            self.give_up(shard)
            pause = min(max(limits.reset_after, FIRST_DELAY), LONGEST_RESET)
            self._none_left_until = self._now() + pause
            log.error("login.none_left", again_in=round(pause))
            await asyncio.sleep(pause)

    async def ended(self, shard: int) -> None:
        """A connection has ended: a login that it left unanswered has failed, and the next shard may know."""
        if shard in self._unanswered:
            await self._settle(shard)

    def give_up(self, shard: int) -> None:
        """A shard that had its turn does not log in after all."""
        self._unanswered.discard(shard)

    def none_left(self) -> str:
        """In words, until when Discord allows no more logins; empty where it does."""
        return no_logins(self._none_left_until) if self._now() < self._none_left_until else ""

    async def begun(self, shard: int) -> None:
        """A shard logs in now."""
        self._turns[shard] = clock()  # Discord counts from here: connecting took a while
        await self._note(shard, Login(self._now()))

    async def ready(self, shard: int) -> None:
        """Discord has answered a shard's login; whether that stays up is seen later."""
        self._unanswered.discard(shard)
        self._ready.add(shard)
        if not self._is_delayed(shard):
            return
        await self._learn()
        left, last = self._failures.left(self._now()), self._last.get(shard)
        if left and last is not None:
            credit = min(READY_CREDIT, left)
            await self._note(shard, last._replace(credit=credit))
            await self._tell(left - credit, self._failures.at, everybody=False)

    async def leave(self, connected: Iterable[int]) -> None:
        """We end all connections, also these shards': the logins of those that were ready have not failed."""
        self._unanswered.clear()
        await asyncio.gather(*(self._note(shard, None) for shard in self._ready.intersection(connected)))

    async def _settle(self, shard: int) -> None:
        """A shard has no connection any more: if it logged in lately, that login has not stayed up."""
        async with self._settling:
            self._unanswered.discard(shard)
            self._ready.discard(shard)
            await self._count(shard)

    async def _count(self, shard: int) -> None:
        if shard not in self._last:
            known = await self._read(_SHARD.format(shard=shard))
            self._last[shard] = Login(**known) if known is not None else None
        if (last := self._last[shard]) is None:
            return
        await self._note(shard, None)
        if 0 <= self._now() - last.at < STAYED_AGE:
            self._suspects.add(shard)
            await self._learn()
            count = min(self._failures.left(self._now()) + last.credit + 1, _MOST)
            await self._tell(count, self._now(), everybody=not self._ready)
        else:
            self._suspects.discard(shard)

    async def _turn(self, shard: int) -> float:
        """Seconds until a shard's turn; 0: it has taken it."""
        await self._learn()
        pause = self._failures.wait(self._now()) if self._is_delayed(shard) else 0.0
        if (pause := max(pause, self._bucket_wait(shard))) > 0:
            return pause
        self._turns[shard] = clock()
        self._unanswered.add(shard)
        if not self._is_delayed(shard) or await self._claim():
            return 0.0
        self.give_up(shard)
        return CLAIM_DELAY

    def _is_delayed(self, shard: int) -> bool:
        """Whether failures count for a shard; one that never failed goes where others are well."""
        return shard in self._suspects or self._failures.everybody

    def _bucket_wait(self, shard: int) -> float:
        """Seconds until its bucket may be free: an answer to the last login is looked for every second."""
        ages = {
            other: clock() - turn
            for other, turn in self._turns.items()
            if other % self._buckets == shard % self._buckets
        }
        if any(other in self._unanswered and age < ANSWER_TIMEOUT for other, age in ages.items()):
            return 1.0
        return max(0.0, SPACING - min(ages.values(), default=SPACING))

    async def _claim(self) -> bool:
        """Take the one try that all processes have; False: another one was quicker."""
        await self._tell(self._failures.left(self._now()), self._now(), everybody=self._failures.everybody)
        if not self._store.is_shared:
            return True
        await asyncio.sleep(CLAIM_DELAY)
        known = await self._read(_TOKEN)
        return known is None or known["by"] == self._id

    async def _learn(self) -> None:
        """Take over what other processes have noted, or the one before this."""
        known: dict[str, Any] | None = await self._read(_TOKEN)
        if known is not None and known["at"] >= self._failures.at:
            self._failures = Failures(**known)

    async def _note(self, shard: int, login: Login | None) -> None:
        self._last[shard] = login
        await self._write(_SHARD.format(shard=shard), login._asdict() if login is not None else None)

    async def _tell(self, count: int, at: float, *, everybody: bool) -> None:
        self._failures = Failures(count, at, everybody, self._id)
        await self._write(_TOKEN, self._failures._asdict())

    async def _known_limits(self) -> Limits:
        try:
            async with asyncio.timeout(LIMITS_TIMEOUT):
                return await self._limits()
        except TROUBLE as error:
            log.warning("login.limits_unknown", error=type(error).__name__)
            return Limits(1, 0.0, self._buckets)

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
