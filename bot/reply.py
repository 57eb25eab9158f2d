"""One reload's message in Discord, and its pings: by token, by channel, again after trouble.

Two routes lead to a reply. By token: no permission needed, for 15 minutes at most, possibly less. By
channel: with the bot's own token, for ever, but only where the bot may view (and, for pings, send).
"""

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable
from enum import Enum, auto

import discord
import structlog

from bot import view, words
from bot.cadence import EDIT_LIMIT, retry_pause
from bot.pace import Pace
from bot.reload import Asker, Ping, Reload
from bot.trace import STALE_SECONDS, Call, LimitedError, clock, current

TOKEN_SECONDS = 14 * 60.0
"""Discord promises 15 minutes; a margin, as clocks differ."""
CALL_SECONDS = 5.0
FIRST_TRY_SECONDS = 2.0
"""The first try to show an ending: a stuck route must not hold up the ping."""
GIVE_UP_SECONDS = 600.0
FOLLOW_UP_INSTEAD_SECONDS = 2.0
LONGEST_TURN_SECONDS = 60.0
"""A turn in a crowd is waited for; one that is further away is asked for again later."""

_PLACE_GONE = (10003, 10004)  # channel, guild
_MESSAGE_GONE = 10008
_NO_READ_HISTORY = 160002

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Result(Enum):
    """What came of one call to Discord."""

    DONE = auto()
    LATER = auto()
    """Trouble that may pass."""
    CLOSED = auto()
    """This route leads nowhere any more."""
    MESSAGE_GONE = auto()
    PLACE_GONE = auto()


class Reply:
    """One reload's message in Discord: what is known of the ways to it lives as long as the process."""

    def __init__(
        self,
        bot: discord.Client,
        command: words.Command,
        now: Callable[[], float],
        pace: Pace,
        reload: Reload,
    ) -> None:
        self._bot = bot
        self._command = command
        self._now = now
        self._pace = pace
        self._id = reload.id
        self._token_open = True
        self._channel_open = True
        self._gone: Result | None = None
        """Message or place: what somebody has deleted."""
        self._token_waits_until = -math.inf
        self._landed = False
        self._dropped_at = -math.inf

    async def show(self, reload: Reload, now: float, limit: float) -> None:
        """Show the countdown as of `now`, within `limit` seconds or not at all."""
        if self._pace.wait(reload.server, reload.owner.channel, clock()) > STALE_SECONDS and self._by_channel(
            reload
        ):
            return
        await self._edit(reload, now, min(limit, EDIT_LIMIT), tick=True)

    async def tell(self, reload: Reload, sent: Callable[[int], Awaitable[None]]) -> bool:
        """Show the ending and ping: edit first, then pings; after trouble again and again.

        `sent` is told the number of each ping that went out. False: some of it could not be said, though
        the place still exists, so a later start may try again.
        """
        until = clock() + GIVE_UP_SECONDS  # from then on, only now and then
        self._token_open = self._channel_open = True  # each route once more: a tick may have met a hiccup
        shown = Result.LATER
        due = dict(enumerate(reload.pings))
        refused = False
        for attempt in itertools.count():
            if shown is Result.LATER:
                limit = CALL_SECONDS if attempt else FIRST_TRY_SECONDS
                shown = await self._edit(reload, self._now(), limit, tick=False)
                if shown not in (Result.DONE, Result.LATER):
                    due.update(_ping_instead(reload))
            for number, ping in list(due.items()):
                result = Result.DONE
                if number not in reload.pinged:
                    alone = shown is not Result.DONE
                    text = words.ping(reload, ping, self._now(), self._command, alone=alone)
                    result = await self._ping(reload, number, ping, text)
                    if result is Result.DONE:
                        await sent(number)
                if result is not Result.LATER:
                    refused = refused or result is Result.CLOSED
                    del due[number]
            if shown is not Result.LATER and not due:
                break
            await asyncio.sleep(retry_pause(attempt) if clock() < until else GIVE_UP_SECONDS)
        await self._settle(reload)
        return not refused and shown is not Result.CLOSED

    async def _settle(self, reload: Reload) -> None:
        """An edit dropped in mid-air just now may still land over the ending: say the ending once more."""
        if clock() - self._dropped_at < 2 * EDIT_LIMIT:
            await asyncio.sleep(EDIT_LIMIT)
            await self._edit(reload, self._now(), CALL_SECONDS, tick=False)

    async def _edit(self, reload: Reload, now: float, limit: float, *, tick: bool) -> Result:
        """Edit by token; by channel where the token is dead, or in trouble and it is no mere `tick`.

        A route that is closed stays closed: it is not asked again.
        """
        layout = view.render(reload, now, self._command)
        drawn = clock() if tick else None
        result = self._gone or Result.CLOSED
        if self._gone is None and not self._by_channel(reload) and reload.message is not None:
            result = await self._edit_by_token(reload, layout, limit, drawn)
        again = result is Result.CLOSED or (result is Result.LATER and not tick)
        if again and self._channel_open and reload.message is not None:
            by_channel = await self._edit_by_channel(reload, layout, limit, drawn)
            result = by_channel if by_channel is not Result.CLOSED else result
        if result in (Result.MESSAGE_GONE, Result.PLACE_GONE):
            self._gone = result
        self._landed = self._landed or result is Result.DONE
        return result

    async def _edit_by_token(
        self, reload: Reload, layout: discord.ui.LayoutView, limit: float, drawn: float | None
    ) -> Result:
        if clock() < self._token_waits_until:
            return Result.LATER
        hook, quiet = self._hook(reload.owner), discord.AllowedMentions.none()
        result, wait = await self._attempt(
            "edit",
            limit,
            lambda: hook.edit_message(reload.message or 0, view=layout, allowed_mentions=quiet),
            drawn,
        )
        self._token_waits_until = clock() + wait
        self._token_open = result in (Result.DONE, Result.LATER, Result.MESSAGE_GONE)
        # Said of a token, a place that is gone may be less: the channel route knows for sure.
        return Result.CLOSED if result is Result.PLACE_GONE else result

    async def _edit_by_channel(
        self, reload: Reload, layout: discord.ui.LayoutView, limit: float, drawn: float | None
    ) -> Result:
        channel = self._bot.get_partial_messageable(reload.owner.channel)
        message, quiet = channel.get_partial_message(reload.message or 0), discord.AllowedMentions.none()
        if not await self._turn(reload.server, reload.owner.channel, limit):
            return Result.LATER
        result, _ = await self._attempt(
            "edit", limit, lambda: message.edit(view=layout, allowed_mentions=quiet), drawn
        )
        self._channel_open = result in (Result.DONE, Result.LATER)
        return result

    async def last_words(self, reload: Reload, text: str) -> None:
        """Where telling itself has failed: one plain message to who asked."""
        ping = Ping(reload.owner.channel, (reload.owner.user,))
        await self._ping(reload, len(reload.pings), ping, f"<@{reload.owner.user}> {text}")

    async def _ping(self, reload: Reload, number: int, ping: Ping, text: str) -> Result:
        """Ping by channel, guarded by its nonce; by follow-up where that is refused or slow."""
        people = [discord.Object(user) for user in ping.users]
        mentions = discord.AllowedMentions(everyone=False, roles=False, replied_user=False, users=people)
        asker = self._who_can_follow_up(reload, ping)
        wait = self._pace.wait(reload.server, ping.channel, clock())
        result = Result.CLOSED
        if wait <= FOLLOW_UP_INSTEAD_SECONDS or asker is None:
            if not await self._turn(reload.server, ping.channel, LONGEST_TURN_SECONDS):
                return Result.LATER
            nonce = f"{self._id}-{number}"
            result, _ = await self._attempt(
                "ping", CALL_SECONDS, lambda: self._send(reload, ping, nonce, text, mentions)
            )
        if result is not Result.CLOSED or asker is None:
            return result
        hook = self._hook(asker)
        result, _ = await self._attempt(
            "ping", CALL_SECONDS, lambda: hook.send(text, allowed_mentions=mentions, wait=True)
        )
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

    def _by_channel(self, reload: Reload) -> bool:
        return not (self._token_open and self._fresh(reload))

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
    ) -> tuple[Result, float]:
        """Make one call; what came of it, and for how many seconds Discord wants no more of these."""
        call = Call(drawn)
        token = current.set(call)
        try:
            async with asyncio.timeout(limit):
                await make()
        except discord.HTTPException as error:
            log.warning("reply.refused", what=what, reload=self._id, status=error.status, code=error.code)
            return _read(error), 0.0
        except LimitedError as error:
            log.warning("reply.limited", what=what, reload=self._id, wait=error.wait)
            return Result.LATER, error.wait or 0.0
        except Exception as error:  # noqa: BLE001  # where an edit meets the outside world: discord.py lets
            # through errors of aiohttp, of the system and, in corners, others; each of them may pass.
            if isinstance(error, TimeoutError) and what == "edit" and not call.done:
                self._dropped_at = clock()
            log.warning("reply.failed", what=what, reload=self._id, error=type(error).__name__)
            return (Result.DONE if call.done else Result.LATER), 0.0
        finally:
            current.reset(token)
        return Result.DONE, 0.0


def _ping_instead(reload: Reload) -> dict[int, Ping]:
    """Where the reply cannot show the ending, its owner is pinged even if they need not have been."""
    owner = reload.owner
    if any(ping.channel == owner.channel and owner.user in ping.users for ping in reload.pings):
        return {}
    return {len(reload.pings): Ping(owner.channel, (owner.user,))}


def _read(error: discord.HTTPException) -> Result:
    if error.status == 429 or error.status >= 500:
        return Result.LATER
    if error.code in _PLACE_GONE:
        return Result.PLACE_GONE
    return Result.MESSAGE_GONE if error.code == _MESSAGE_GONE else Result.CLOSED
