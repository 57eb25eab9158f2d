"""Pings of one reload: by channel, by follow-up, and what closes either route.

By channel: with the bot's own token, forever, but only where the bot may view and send; a nonce guards it. By
follow-up: no permission needed, while an asker's token lives. A closed route is not tried again.
"""

import functools
import math
from collections import Counter
from collections.abc import Callable

import discord

from bot.discord_api.calls import CALL_TIMEOUT, Calls, Result
from bot.discord_api.client import PatientBot
from bot.discord_api.edits import TOKEN_AGE, Edits
from bot.discord_api.http_trace import clock
from bot.discord_api.mentions import only
from bot.domain.reload import Asker, Ping, Reload

FOLLOW_UP_INSTEAD_DELAY = 2.0
TURN_TIMEOUT = 60.0
"""Seconds that a turn in a crowd is waited for; one that is further away is asked for again later."""
FOLLOW_UP_PATIENCE = 12
"""How many tries may meet a 5xx. Follow-ups have no nonce, so each retry may ping twice."""
UNANSWERED_COSTS = 4
"""How many tries one counts as if its answer was lost."""

Text = Callable[[], str]
"""Called when the ping goes out: if it had to wait, it says that it is late."""
_NO_READ_HISTORY = (160002, 160009)


class Pings:
    """The routes to the people of one reload. Anything learnt about them lasts as long as the process."""

    def __init__(self, bot: PatientBot, now: Callable[[], float], calls: Calls, edits: Edits) -> None:
        self._bot = bot
        self._now = now
        self._calls = calls
        self._edits = edits
        self._no_sending: set[int] = set()
        """Channels that refused a ping."""
        self._perhaps_sent: set[str] = set()
        """Nonces of pings that may have gone out by channel; they protect only there."""
        self._hardly_sent: set[str] = set()
        """The same for pings that Discord answered with an error of its own: if nobody may send there, they
        have not gone out."""
        self._follow_ups: Counter[str] = Counter()
        self._follow_ups_wait_until = -math.inf
        self._dead: set[str] = set()

    def reopen(self) -> None:
        """Try each channel once more, as it may be open again. A token that was refused is left alone."""
        self._no_sending.clear()

    async def send(self, reload: Reload, nonce: str, ping: Ping, text: Text) -> Result:
        """Ping by channel, guarded by its nonce; by follow-up if that is refused, slow or unknown."""
        mentions = only(ping.users)
        wait = self._calls.wait(reload.server, ping.channel)
        unsure = wait > FOLLOW_UP_INSTEAD_DELAY or ping.channel in self._bot.unknown_places
        other_way = unsure and nonce not in self._perhaps_sent | self._hardly_sent
        by_channel = functools.partial(self._ping_by_channel, reload, nonce, ping, text, mentions)
        follow_up = functools.partial(self._follow_up, reload, nonce, ping, text, mentions)
        for way in (follow_up, by_channel) if other_way else (by_channel, follow_up):
            if way is follow_up and nonce in self._perhaps_sent:
                return Result.CLOSED
            result = await way()
            if result is not Result.CLOSED:
                return result
        return Result.LATER if self._may_land(reload, ping) else Result.CLOSED

    async def _follow_up(
        self, reload: Reload, nonce: str, ping: Ping, text: Text, mentions: discord.AllowedMentions
    ) -> Result:
        while (asker := self._who_can_follow_up(reload, ping)) is not None:
            if self._follow_ups[nonce] >= FOLLOW_UP_PATIENCE:
                return Result.CLOSED
            if clock() < self._follow_ups_wait_until:
                return Result.LATER
            hook = self._hook(asker)
            silent = not ping.users
            send = functools.partial(hook.send, text(), allowed_mentions=mentions, silent=silent, wait=True)
            tried = await self._calls.make("ping", CALL_TIMEOUT, send)
            self._follow_ups[nonce] += UNANSWERED_COSTS if tried.unanswered else tried.broken
            self._follow_ups_wait_until = clock() + tried.wait
            if tried.result is Result.ASLEEP:  # a thread that a new message does not wake up is locked
                return Result.CLOSED
            if tried.result is not Result.CLOSED:
                return tried.result
            self._dead.add(asker.token)  # the next asker's may be alive
        return Result.CLOSED

    def _may_land(self, reload: Reload, ping: Ping) -> bool:
        """Return whether the owner could still send a follow-up: once the reply is no longer "thinking"."""
        return (
            ping.channel == reload.owner.channel
            and not self._edits.has_landed
            and not self._edits.is_gone
            and not self._edits.is_asleep
            and self._edits.is_token_open
            and self._fresh(reload)
            and reload.message is not None
        )

    async def _ping_by_channel(
        self, reload: Reload, nonce: str, ping: Ping, text: Text, mentions: discord.AllowedMentions
    ) -> Result:
        if not ping.channel or ping.channel in self._no_sending:
            return Result.CLOSED
        if not await self._calls.turn(reload.server, ping.channel, TURN_TIMEOUT):
            return Result.LATER
        send = functools.partial(self._send, reload, ping, nonce, text, mentions)
        tried = await self._calls.make("ping", CALL_TIMEOUT, send)
        mentioned = tried.sent.mentions if tried.sent is not None else frozenset()
        if mentioned and (others := set(ping.users) - mentioned):
            # A process that could not store that sent it before; more people have joined since.
            send = functools.partial(self._send, reload, ping, f"{nonce}+", text, only(others))
            tried = await self._calls.make("ping", CALL_TIMEOUT, send)
        if tried.unanswered:
            self._perhaps_sent.add(nonce)
        if tried.broken:
            self._hardly_sent.add(nonce)
        # If a new message does not wake a thread up, the thread is locked.
        result = Result.CLOSED if tried.result is Result.ASLEEP else tried.result
        if result is Result.CLOSED:
            self._no_sending.add(ping.channel)
        return result

    async def _send(
        self, reload: Reload, ping: Ping, nonce: str, text: Text, mentions: discord.AllowedMentions
    ) -> discord.Message:
        channel = self._bot.get_partial_messageable(ping.channel)
        send = functools.partial(
            channel.send, text(), nonce=nonce, allowed_mentions=mentions, silent=not ping.users
        )
        if ping.channel == reload.owner.channel and reload.message is not None:
            reference = discord.MessageReference(
                message_id=reload.message, channel_id=ping.channel, fail_if_not_exists=False
            )
            try:
                return await send(reference=reference)
            except discord.HTTPException as error:
                if error.code not in _NO_READ_HISTORY:
                    raise
        return await send()

    def _who_can_follow_up(self, reload: Reload, ping: Ping) -> Asker | None:
        """Return an asker in the ping's channel whose token can send; not while the reply is "thinking"."""
        if not self._fresh(reload):
            return None
        owner_can = self._edits.has_landed and self._edits.is_token_open
        able = (
            a
            for a in reload.askers
            if a.channel == ping.channel and a.token not in self._dead and (owner_can or a != reload.owner)
        )
        return next(able, None)

    def _fresh(self, reload: Reload) -> bool:
        return self._now() - reload.asked_at < TOKEN_AGE

    def _hook(self, asker: Asker) -> discord.Webhook:
        return discord.Webhook.partial(self._bot.application_id or 0, asker.token, client=self._bot)
