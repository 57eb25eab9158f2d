"""The ways from us to one reload's reply and its channels: by token, by channel, and what closes them.

By token: no permission needed, for 15 minutes at most, possibly less. By channel: with the bot's own token,
for ever, but only where the bot may view (and, for pings, send). A way that is closed is not tried again.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import NamedTuple

import discord
import structlog

from bot.pace import Pace
from bot.reload import Asker, Ping, Reload
from bot.trace import STALE_SECONDS, Call, LimitedError, clock, current

TOKEN_SECONDS = 14 * 60.0
"""Discord promises 15 minutes; a margin, as clocks differ."""
CALL_SECONDS = 5.0
FOLLOW_UP_INSTEAD_SECONDS = 2.0
LONGEST_TURN_SECONDS = 60.0
"""A turn in a crowd is waited for; one that is further away is asked for again later."""
MOST_FOLLOW_UPS = 3
"""A follow-up has no nonce: one whose answer was lost may ping again, so it is not tried for ever."""

_PLACE_GONE = (10003, 10004)  # channel, guild
_MESSAGE_GONE = 10008
_THREAD_ASLEEP = 50083
_NO_READ_HISTORY = 160002

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Result(Enum):
    """What came of one call to Discord."""

    DONE = auto()
    LATER = auto()
    """Trouble that may pass."""
    ASLEEP = auto()
    """A thread that is archived: a new message wakes it up, unless it is locked."""
    CLOSED = auto()
    """This way leads nowhere any more."""
    MESSAGE_GONE = auto()
    PLACE_GONE = auto()


_OPEN = (Result.DONE, Result.LATER, Result.ASLEEP)
_GONE = (Result.MESSAGE_GONE, Result.PLACE_GONE)


class Routes:
    """One reload's ways; what is known of them lives as long as the process."""

    def __init__(self, bot: discord.Client, now: Callable[[], float], pace: Pace, reload_id: int) -> None:
        self._bot = bot
        self._now = now
        self._pace = pace
        self._id = reload_id
        self._token_open = self._channel_open = True
        self._no_sending: set[int] = set()
        """Channels that refused a ping."""
        self._token_waits_until = -math.inf
        self._follow_ups: Counter[int] = Counter()
        self._gone: Result | None = None
        """Message or place: what somebody has deleted."""
        self._landed = False
        self._dropped_at = -math.inf

    def reopen(self) -> None:
        """Try each way once more: a tick may have met a hiccup."""
        self._token_open = self._channel_open = True

    def dropped_within(self, seconds: float) -> bool:
        """Tell whether an edit was given up lately: it may still land."""
        return clock() - self._dropped_at < seconds

    async def edit(
        self, reload: Reload, layout: discord.ui.LayoutView, limit: float, *, tick: bool
    ) -> Result:
        """Edit by token; by channel where the token is dead, or in trouble and it is no mere `tick`."""
        if self._gone is not None or reload.message is None:
            return self._gone or Result.CLOSED
        drawn = clock() if tick else None
        by_token = await self._edit_by_token(reload, layout, limit, drawn)
        again = by_token is Result.CLOSED or (by_token is Result.LATER and not tick)
        by_channel = Result.CLOSED
        if again and self._channel_open:
            by_channel = await self._edit_by_channel(reload, layout, limit, drawn)
        if by_channel is Result.MESSAGE_GONE and by_token is Result.LATER and not self._landed:
            by_channel = Result.CLOSED  # it may be "thinking", which the channel route may not know
        result = by_token if by_channel is Result.CLOSED else by_channel
        self._gone = result if result in _GONE else None
        self._landed = self._landed or result is Result.DONE
        return result

    async def _edit_by_token(
        self, reload: Reload, layout: discord.ui.LayoutView, limit: float, drawn: float | None
    ) -> Result:
        if not (self._token_open and self._fresh(reload)):
            return Result.CLOSED
        if clock() < self._token_waits_until:
            return Result.LATER
        hook, quiet, number = self._hook(reload.owner), discord.AllowedMentions.none(), reload.message or 0
        tried = await self._attempt(
            "edit", limit, lambda: hook.edit_message(number, view=layout, allowed_mentions=quiet), drawn
        )
        result = tried.result
        self._token_waits_until = clock() + tried.wait
        self._token_open = result in (*_OPEN, Result.MESSAGE_GONE)
        # Said of a token, a place that is gone may be less: the channel route knows for sure.
        return Result.CLOSED if result is Result.PLACE_GONE else result

    async def _edit_by_channel(
        self, reload: Reload, layout: discord.ui.LayoutView, limit: float, drawn: float | None
    ) -> Result:
        longest = limit if drawn is None else STALE_SECONDS
        if not await self._turn(reload.server, reload.owner.channel, longest):
            return Result.LATER
        channel = self._bot.get_partial_messageable(reload.owner.channel)
        message, quiet = channel.get_partial_message(reload.message or 0), discord.AllowedMentions.none()
        tried = await self._attempt(
            "edit", limit, lambda: message.edit(view=layout, allowed_mentions=quiet), drawn
        )
        self._channel_open = tried.result in _OPEN
        return tried.result

    async def ping(self, reload: Reload, number: int, ping: Ping, text: str) -> Result:
        """Ping by channel, guarded by its nonce; by follow-up where that is refused or slow."""
        asker = self._who_can_follow_up(reload, ping)
        people = [discord.Object(user) for user in ping.users]
        mentions = discord.AllowedMentions(everyone=False, roles=False, replied_user=False, users=people)
        slow = self._pace.wait(reload.server, ping.channel, clock()) > FOLLOW_UP_INSTEAD_SECONDS
        result = Result.CLOSED
        if ping.channel not in self._no_sending and not (slow and asker is not None):
            result = await self._ping_by_channel(reload, number, ping, text, mentions)
        if result is not Result.CLOSED or asker is None:
            return result
        hook = self._hook(asker)
        tried = await self._attempt(
            "ping", CALL_SECONDS, lambda: hook.send(text, allowed_mentions=mentions, wait=True)
        )
        self._follow_ups[number] += tried.unanswered
        return tried.result if self._follow_ups[number] < MOST_FOLLOW_UPS else Result.CLOSED

    async def _ping_by_channel(
        self, reload: Reload, number: int, ping: Ping, text: str, mentions: discord.AllowedMentions
    ) -> Result:
        if not await self._turn(reload.server, ping.channel, LONGEST_TURN_SECONDS):
            return Result.LATER
        nonce = f"{self._id}-{number}"
        tried = await self._attempt(
            "ping", CALL_SECONDS, lambda: self._send(reload, ping, nonce, text, mentions)
        )
        # A thread that a new message does not wake up is locked.
        result = Result.CLOSED if tried.result is Result.ASLEEP else tried.result
        if result is Result.CLOSED:
            self._no_sending.add(ping.channel)
        return result

    async def _send(
        self, reload: Reload, ping: Ping, nonce: str, text: str, mentions: discord.AllowedMentions
    ) -> None:
        channel = self._bot.get_partial_messageable(ping.channel)
        if ping.channel == reload.owner.channel and reload.message is not None:
            reference = discord.MessageReference(
                message_id=reload.message, channel_id=ping.channel, fail_if_not_exists=False
            )
            try:
                await channel.send(text, nonce=nonce, reference=reference, allowed_mentions=mentions)
            except discord.HTTPException as error:
                if error.code != _NO_READ_HISTORY:
                    raise
            else:
                return
        await channel.send(text, nonce=nonce, allowed_mentions=mentions)

    def _who_can_follow_up(self, reload: Reload, ping: Ping) -> Asker | None:
        """An asker in the ping's channel whose token can send; while the reply is "thinking" it cannot."""
        if not self._fresh(reload):
            return None
        owner_can = self._landed and self._token_open
        able = (a for a in reload.askers if a.channel == ping.channel and (owner_can or a != reload.owner))
        return next(able, None)

    def _fresh(self, reload: Reload) -> bool:
        return self._now() - reload.asked_at < TOKEN_SECONDS

    def _hook(self, asker: Asker) -> discord.Webhook:
        return discord.Webhook.partial(self._bot.application_id or 0, asker.token, client=self._bot)

    async def _turn(self, server: int, channel: int, longest: float) -> bool:
        """Wait for our turn with the bot's own token; False: it is further away than `longest` seconds."""
        if self._pace.wait(server, channel, clock()) > longest:
            return False
        await asyncio.sleep(self._pace.take(server, channel, clock()))
        return True

    async def _attempt(
        self, what: str, limit: float, make: Callable[[], Awaitable[object]], drawn: float | None = None
    ) -> "_Tried":
        call = Call(drawn)
        token = current.set(call)
        try:
            async with asyncio.timeout(limit):
                await make()
        except discord.HTTPException as error:
            log.warning("reply.refused", what=what, reload=self._id, status=error.status, code=error.code)
            return _Tried(_read(error))
        except LimitedError as error:
            log.warning("reply.limited", what=what, reload=self._id, wait=error.wait)
            return _Tried(Result.LATER, wait=error.wait or 0.0)
        except Exception as error:  # noqa: BLE001  # where an edit meets the outside world: discord.py lets
            # through errors of aiohttp, of the system and, in corners, others; each of them may pass.
            if call.unanswered and what == "edit":
                self._dropped_at = clock()
            log.warning("reply.failed", what=what, reload=self._id, error=type(error).__name__)
            return _Tried(Result.DONE if call.done else Result.LATER, unanswered=call.unanswered)
        finally:
            current.reset(token)
        return _Tried(Result.DONE)


class _Tried(NamedTuple):
    """What came of one call; `wait`: seconds for which Discord wants no more of these."""

    result: Result
    wait: float = 0.0
    unanswered: bool = False


def _read(error: discord.HTTPException) -> Result:
    if error.status == 429 or error.status >= 500:
        return Result.LATER
    if error.code in _PLACE_GONE:
        return Result.PLACE_GONE
    said = {_MESSAGE_GONE: Result.MESSAGE_GONE, _THREAD_ASLEEP: Result.ASLEEP}
    return said.get(error.code, Result.CLOSED)
