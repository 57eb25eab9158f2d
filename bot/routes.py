"""The ways from us to one reload's reply and its channels: by token, by channel, and what closes them.

By token: no permission needed, for 15 minutes at most, possibly less. By channel: with the bot's own token,
for ever, but only where the bot may view (and, for pings, send). A way that is closed is not tried again.
"""

import functools
import io
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import discord
from discord.http import MultipartParameters, handle_message_parameters
from discord.webhook.async_ import async_context

from bot.calls import Calls, Result
from bot.metrics import Metrics
from bot.pace import Pace
from bot.picture import Picture
from bot.reload import Asker, Ping, Reload, ping_nonce
from bot.trace import STALE_SECONDS, clock
from bot.view import Drawn

TOKEN_SECONDS = 14 * 60.0
"""Discord promises 15 minutes; a margin, as clocks differ."""
CALL_SECONDS = 5.0
FOLLOW_UP_INSTEAD_SECONDS = 2.0
LONGEST_TURN_SECONDS = 60.0
"""A turn in a crowd is waited for; one that is further away is asked for again later."""
FOLLOW_UP_PATIENCE = 12
UNANSWERED_COSTS = 4
"""A follow-up has no nonce: one that may have been done is not repeated for ever. So many tries that met
trouble of Discord's own (over a minute of it), or a third of that whose answer was lost."""

_NO_READ_HISTORY = 160002

_COMPONENTS_V2 = discord.MessageFlags(components_v2=True).value
_OPEN = (Result.DONE, Result.LATER, Result.ASLEEP)
_GONE = (Result.MESSAGE_GONE, Result.PLACE_GONE)


class Routes:
    """One reload's ways; what is known of them lives as long as the process."""

    def __init__(
        self,
        bot: discord.Client,
        now: Callable[[], float],
        pace: Pace,
        metrics: Metrics,
        hold: Callable[[], Awaitable[None]],
    ) -> None:
        self._bot = bot
        self._now = now
        self._pace = pace
        self._calls = Calls(pace, metrics, hold)
        self._token_open = self._channel_open = True
        self._no_sending: set[int] = set()
        """Channels that refused a ping."""
        self._perhaps_sent: set[int] = set()
        """Pings that may have gone out by channel: only there does the nonce guard them."""
        self._hardly_sent: set[int] = set()
        """The same, but Discord spoke of trouble of its own: where it lets nobody send, they have not."""
        self._token_waits_until = -math.inf
        self._follow_ups: Counter[int] = Counter()
        self._follow_ups_wait_until = -math.inf
        self._dead: set[str] = set()
        self._gone: Result | None = None
        """Message or place: what somebody has deleted."""
        self._landed = False

    def reopen(self) -> None:
        """Try each way once more: a tick may have met a hiccup."""
        self._token_open = self._channel_open = True

    def dropped_within(self, seconds: float) -> bool:
        """Tell whether an edit was given up lately: it may still land."""
        return self._calls.dropped_within(seconds)

    async def edit(
        self,
        reload: Reload,
        layout: Drawn,
        limit: float,
        *,
        tick: bool,
        picture: Picture | None = None,
    ) -> Result:
        """Edit by token; by channel where the token is dead, or in trouble and it is no mere `tick`."""
        if self._gone is not None or reload.message is None:
            return self._gone or Result.CLOSED
        drawn = clock() if tick else None
        by_token = await self._edit_by_token(reload, layout, limit, drawn, picture)
        again = by_token is Result.CLOSED or (by_token is Result.LATER and not tick)
        by_channel = Result.CLOSED
        if again and self._channel_open:
            by_channel = await self._edit_by_channel(reload, layout, limit, drawn, picture)
        if by_channel is Result.MESSAGE_GONE and by_token is Result.LATER and not self._landed:
            by_channel = Result.CLOSED  # it may be "thinking", which the channel route may not know
        result = by_token if by_channel is Result.CLOSED else by_channel
        self._gone = result if result in _GONE else None
        self._landed = self._landed or result is Result.DONE
        return result

    async def _edit_by_token(
        self,
        reload: Reload,
        layout: Drawn,
        limit: float,
        drawn: float | None,
        picture: Picture | None,
    ) -> Result:
        editor, since = reload.editor
        if not (self._token_open and self._now() - since < TOKEN_SECONDS):
            return Result.CLOSED
        if clock() < self._token_waits_until:
            return Result.LATER
        make = functools.partial(self._edit_webhook, self._hook(editor), reload.message or 0, layout, picture)
        tried = await self._calls.make("edit", limit, make, drawn)
        result = tried.result
        self._token_waits_until = clock() + tried.wait
        self._token_open = result in (*_OPEN, Result.MESSAGE_GONE)
        # Said of a token, a place that is gone may be less: the channel route knows for sure.
        return Result.CLOSED if result is Result.PLACE_GONE else result

    async def _edit_webhook(
        self, hook: discord.Webhook, message: int, layout: Drawn, picture: Picture | None
    ) -> None:
        """As `Webhook.edit_message` does, but makes no Message of the answer: nobody looks at it."""
        with _made(layout, picture) as made:
            await async_context.get().edit_webhook_message(
                hook.id,
                hook.token or "",
                message,
                session=hook.session,
                payload=made.payload,
                multipart=made.multipart,
                files=made.files,
                with_components=True,
            )

    async def _edit_by_channel(
        self,
        reload: Reload,
        layout: Drawn,
        limit: float,
        drawn: float | None,
        picture: Picture | None,
    ) -> Result:
        longest = limit if drawn is None else STALE_SECONDS
        place = reload.editor[0].channel
        if not await self._calls.turn(reload.server, place, longest):
            return Result.LATER

        async def edit() -> None:
            with _made(layout, picture) as made:
                await self._bot.http.edit_message(place, reload.message or 0, params=made)

        tried = await self._calls.make("edit", limit, edit, drawn)
        self._channel_open = tried.result in _OPEN
        return tried.result

    async def ping(self, reload: Reload, number: int, ping: Ping, text: str) -> Result:
        """Ping by channel, guarded by its nonce; by follow-up where that is refused or slow."""
        mentions = _only(ping.users)
        wait = self._pace.wait(reload.server, ping.channel, clock())
        slow = wait > FOLLOW_UP_INSTEAD_SECONDS and number not in self._perhaps_sent | self._hardly_sent
        by_channel = functools.partial(self._ping_by_channel, reload, number, ping, text, mentions)
        follow_up = functools.partial(self._follow_up, reload, number, ping, text, mentions)
        for way in (follow_up, by_channel) if slow else (by_channel, follow_up):
            if way is follow_up and number in self._perhaps_sent:
                return Result.CLOSED
            result = await way()
            if result is not Result.CLOSED:
                return result
        return Result.LATER if self._may_land(reload, ping) else Result.CLOSED

    async def _follow_up(
        self, reload: Reload, number: int, ping: Ping, text: str, mentions: discord.AllowedMentions
    ) -> Result:
        while (asker := self._who_can_follow_up(reload, ping)) is not None:
            if self._follow_ups[number] >= FOLLOW_UP_PATIENCE:
                return Result.CLOSED
            if clock() < self._follow_ups_wait_until:
                return Result.LATER
            hook = self._hook(asker)
            send = functools.partial(hook.send, text, allowed_mentions=mentions, wait=True)
            tried = await self._calls.make("ping", CALL_SECONDS, send)
            self._follow_ups[number] += UNANSWERED_COSTS if tried.unanswered else tried.broken
            self._follow_ups_wait_until = clock() + tried.wait
            if tried.result is Result.ASLEEP:  # a thread that a new message does not wake up is locked
                return Result.CLOSED
            if tried.result is not Result.CLOSED:
                return tried.result
            self._dead.add(asker.token)  # the next one's may be alive
        return Result.CLOSED

    def _may_land(self, reload: Reload, ping: Ping) -> bool:
        """Whether the owner could yet send a follow-up: once the reply is no longer "thinking"."""
        return (
            ping.channel == reload.owner.channel
            and not self._landed
            and self._gone is None
            and self._token_open
            and self._fresh(reload)
            and reload.message is not None
        )

    async def _ping_by_channel(
        self, reload: Reload, number: int, ping: Ping, text: str, mentions: discord.AllowedMentions
    ) -> Result:
        if ping.channel in self._no_sending:
            return Result.CLOSED
        if not await self._calls.turn(reload.server, ping.channel, LONGEST_TURN_SECONDS):
            return Result.LATER
        nonce = ping_nonce(reload, number)
        tried = await self._calls.make(
            "ping", CALL_SECONDS, lambda: self._send(reload, ping, nonce, text, mentions)
        )
        if tried.unanswered:
            self._perhaps_sent.add(number)
        if tried.broken:
            self._hardly_sent.add(number)
        # A thread that a new message does not wake up is locked.
        result = Result.CLOSED if tried.result is Result.ASLEEP else tried.result
        if result is Result.CLOSED:
            self._no_sending.add(ping.channel)
        return result

    async def _send(
        self, reload: Reload, ping: Ping, nonce: str, text: str, mentions: discord.AllowedMentions
    ) -> None:
        sent = await self._send_once(reload, ping, nonce, text, mentions)
        others = set(ping.users) - set(sent.raw_mentions)
        if others and sent.raw_mentions:
            # It was sent before, by a process that could not store that; since then they have joined.
            await self._send_once(reload, ping, f"{nonce}+", text, _only(others))

    async def _send_once(
        self, reload: Reload, ping: Ping, nonce: str, text: str, mentions: discord.AllowedMentions
    ) -> discord.Message:
        channel = self._bot.get_partial_messageable(ping.channel)
        if ping.channel == reload.owner.channel and reload.message is not None:
            reference = discord.MessageReference(
                message_id=reload.message, channel_id=ping.channel, fail_if_not_exists=False
            )
            try:
                return await channel.send(text, nonce=nonce, reference=reference, allowed_mentions=mentions)
            except discord.HTTPException as error:
                if error.code != _NO_READ_HISTORY:
                    raise
        return await channel.send(text, nonce=nonce, allowed_mentions=mentions)

    def _who_can_follow_up(self, reload: Reload, ping: Ping) -> Asker | None:
        """An asker in the ping's channel whose token can send; while the reply is "thinking" it cannot."""
        if not self._fresh(reload):
            return None
        owner_can = self._landed and self._token_open
        able = (
            a
            for a in reload.askers
            if a.channel == ping.channel and a.token not in self._dead and (owner_can or a != reload.owner)
        )
        return next(able, None)

    def _fresh(self, reload: Reload) -> bool:
        return self._now() - reload.asked_at < TOKEN_SECONDS

    def _hook(self, asker: Asker) -> discord.Webhook:
        return discord.Webhook.partial(self._bot.application_id or 0, asker.token, client=self._bot)


def _only(users: Iterable[int]) -> discord.AllowedMentions:
    """Notify these people, whoever else is mentioned."""
    people = [discord.Object(user) for user in users]
    return discord.AllowedMentions(everyone=False, roles=False, replied_user=False, users=people)


@contextmanager
def _made(layout: Drawn, picture: Picture | None) -> Iterator[MultipartParameters]:
    """What an edit sends; for each try anew, as discord.py closes the files that it has sent.

    It leaves them holding themselves, megabytes, until the collector comes by: here they are let go of.
    """
    made = _parameters(layout, picture)
    try:
        with made:
            yield made
    finally:
        for file in made.files or ():
            vars(file.fp).clear()
            with suppress(BufferError):  # an upload that was cut short still looks at it
                file.fp.close()


def _parameters(layout: Drawn, picture: Picture | None) -> MultipartParameters:
    quiet = discord.AllowedMentions.none()
    if picture is not None:
        file = discord.File(io.BytesIO(picture.data), picture.name)
        return handle_message_parameters(view=layout.as_view(), allowed_mentions=quiet, attachments=[file])
    payload = {"flags": _COMPONENTS_V2, "components": layout.components, "allowed_mentions": quiet.to_dict()}
    return MultipartParameters(payload, None, None)
