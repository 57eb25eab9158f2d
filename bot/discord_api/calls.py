"""One call to Discord: its turn, its time limit and its outcome."""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import NamedTuple

import aiohttp
import discord
import structlog

from bot.backoff import limit_pause
from bot.discord_api.http_trace import Call, clock, current
from bot.discord_api.limiter import Limiter
from bot.discord_api.trouble import LimitedError, StaleError
from bot.domain.reload import MOST_REFUSED
from bot.metrics import Metrics

CALL_TIMEOUT = 5.0
"""Seconds that one call may take by default."""
EDIT_TIMEOUT = 5.0
"""Seconds that one edit may take before it is dropped."""
_PLACE_GONE = (10003, 10004)  # channel, guild
_MESSAGE_GONE = 10008
_THREAD_ASLEEP = 50083
_TOKEN_DEAD = (10015, 50027)
"""Codes for an unknown webhook and an invalid webhook token: this token is never good again."""
_5XX = "5xx"

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Result(Enum):
    """The outcome of one call to Discord."""

    DONE = auto()
    LATER = auto()
    """It failed, but may work later."""
    ASLEEP = auto()
    """The thread is archived; a new message wakes it up, unless the thread is locked."""
    CLOSED = auto()
    """This route no longer leads anywhere."""
    MESSAGE_GONE = auto()
    PLACE_GONE = auto()


class Sent(NamedTuple):
    """A message as Discord has it: its ID and the people it mentions."""

    id: int
    mentions: frozenset[int]


class Tried(NamedTuple):
    """The result of one call; `wait`: the seconds after which it may be tried again.

    It may have taken effect even though nothing says so: if it is `unanswered` or, less likely, `broken`.
    """

    result: Result
    wait: float = 0.0
    unanswered: bool = False
    broken: bool = False
    sent: Sent | None = None
    """The message that was sent, if Discord's answer has it."""
    token_is_dead: bool = False
    """Whether the token will never work again."""


class Calls:
    """Makes the calls of one reload.

    `hold` returns once this process may show something about the reload, and raises Taken if another process
    looks after it now.
    """

    def __init__(
        self,
        limiter: Limiter,
        metrics: Metrics,
        hold: Callable[[], Awaitable[None]] | None = None,
        *,
        refused: int = 0,
    ) -> None:
        self._hold = hold
        self._limiter = limiter
        self._metrics = metrics
        self._dropped_at = -math.inf
        self.refused = refused
        """How many calls Discord has refused, even before a restart; calls that only have to wait don't
        count."""
        self._unnamed = Counter[str]()
        """How many 429s in a row named no wait, which happens after many edits of an old message (30046)."""

    def dropped_within(self, seconds: float) -> bool:
        """Return whether an edit was given up this recently, so that it may still land."""
        return clock() - self._dropped_at < seconds

    def wait(self, server: int, channel: int) -> float:
        """Seconds until our next turn with the bot's own token in a channel."""
        return self._limiter.wait(server, channel, clock())

    async def turn(self, server: int, channel: int, longest: float) -> bool:
        """Wait for our turn with the bot's own token; False: it is more than `longest` seconds away."""
        if self.wait(server, channel) > longest:
            return False
        await asyncio.sleep(self._limiter.take(server, channel, clock()))
        return True

    async def make(
        self,
        what: str,
        limit: float,
        make: Callable[[], Awaitable[object]],
        drawn: float | None = None,
    ) -> Tried:
        """Make one call, within `limit` seconds, or none after MOST_REFUSED; its first success ends it."""
        if self.refused >= MOST_REFUSED:
            return Tried(Result.CLOSED)
        if self._hold is not None:
            await self._hold()
        call = Call(drawn)
        token = current.set(call)
        outcome = "cancelled"
        try:
            async with asyncio.timeout(limit):
                made = await make()
        except discord.HTTPException as error:
            outcome = str(error.status) if error.status < 500 else _5XX
            log.warning("reply.refused", what=what, status=error.status, code=error.code)
            result = _read(error)
            self.refused += result is not Result.LATER
            return Tried(result, broken=call.broken, token_is_dead=error.code in _TOKEN_DEAD)
        except LimitedError as error:
            outcome = "limited"
            log.warning("reply.limited", what=what, wait=error.wait)
            return Tried(Result.LATER, wait=self._wait_after(error, what))
        except Exception as error:  # noqa: BLE001  # where an edit meets the outside world: discord.py lets
            # aiohttp's errors, the system's and, in corner cases, others get through; each of them may pass.
            reason = {StaleError: "dropped", TimeoutError: "timed out"}.get(type(error), "failed")
            outcome = _5XX if call.broken else reason  # discord.py itself tries again
            if call.unanswered and what == "edit":
                self._dropped_at = clock()
            log.warning("reply.failed", what=what, error=type(error).__name__)
            # The answer says 200 but is odd, so it may not come from Discord.
            done = call.done and isinstance(error, TimeoutError | aiohttp.ClientError)
            outcome = "sent" if done else outcome
            result = Result.DONE if done else Result.LATER
            return Tried(result, unanswered=call.unanswered, broken=call.broken)
        else:
            outcome = "sent"
        finally:
            current.reset(token)
            if outcome == "sent":
                del self._unnamed[what]
            self._metrics.discord_calls.labels(what, outcome).inc()
        return Tried(Result.DONE, sent=_sent_as(made))

    def _wait_after(self, error: LimitedError, what: str) -> float:
        if error.wait is None:
            self._unnamed[what] += 1
            return limit_pause(self._unnamed[what])
        return error.wait


def _sent_as(made: object) -> Sent | None:
    return Sent(made.id, frozenset(made.raw_mentions)) if isinstance(made, discord.Message) else None


def _read(error: discord.HTTPException) -> Result:
    if error.status == 429 or error.status >= 500:
        return Result.LATER
    if error.code in _PLACE_GONE:
        return Result.PLACE_GONE
    said = {_MESSAGE_GONE: Result.MESSAGE_GONE, _THREAD_ASLEEP: Result.ASLEEP}
    return said.get(error.code, Result.CLOSED)
