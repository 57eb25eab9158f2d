"""Edits of one reload's reply: by token, by channel, and what closes either route.

By token: no permission needed, for 15 minutes at most, possibly less. By channel: with the bot's own token,
forever, but only where the bot may view. A closed route is not tried again.
"""

import functools
import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import discord
from discord.http import MultipartParameters, handle_message_parameters
from discord.webhook.async_ import async_context

from bot.discord_api.calls import Calls, Result
from bot.discord_api.http_trace import STALE_AGE, clock
from bot.discord_api.mentions import only
from bot.domain.picture import Picture
from bot.domain.reload import Reload
from bot.view import Drawn

TOKEN_AGE = 14 * 60.0
"""Seconds for which a token is used. Discord promises 15 minutes; the margin allows for clocks that differ.
"""
FIRST_NAP, LONGEST_NAP = 30.0, 3600.0
"""The first and the longest number of seconds without a countdown in an archived thread; it doubles each
time."""

_COMPONENTS_V2 = discord.MessageFlags(components_v2=True).value
_OPEN = (Result.DONE, Result.LATER, Result.ASLEEP)
_GONE = (Result.MESSAGE_GONE, Result.PLACE_GONE)


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit: its content, and within how many seconds; `drawn_at`: when a countdown's number was right."""

    layout: Drawn
    limit: float
    drawn_at: float | None = None
    picture: Picture | None = None

    @property
    def is_tick(self) -> bool:
        """Whether this is one of many edits: the next, five seconds later, will show the same thing."""
        return self.drawn_at is not None


class Edits:
    """The routes to one reload's reply. Anything learnt about them lasts as long as the process."""

    def __init__(self, bot: discord.Client, now: Callable[[], float], calls: Calls) -> None:
        self._bot = bot
        self._now = now
        self._calls = calls
        self._channel_open = True
        self._token_waits_until = self._channel_waits_until = -math.inf
        self._naps_until, self._nap = -math.inf, FIRST_NAP
        self._is_token_dead = False
        self._gone: Result | None = None
        """Whether somebody has deleted the message or its place, and which."""
        self.is_token_open = True
        self.is_asleep = False
        """Whether the thread was archived when the last edit was made."""
        self.has_landed = False
        """Whether an edit has arrived. Until then the reply may be "thinking", and a follow-up would become
        the reply."""

    @property
    def is_gone(self) -> bool:
        """Whether there is nothing left to edit."""
        return self._gone is not None

    def reopen(self) -> None:
        """Try each route once more: a tick may have met a brief fault, and a closed route may be open."""
        self.is_token_open = not self._is_token_dead
        self._channel_open = True

    async def make(self, reload: Reload, edit: Edit) -> Result:
        """Edit by token.

        Edit by channel if the token is dead, or if it fails and this is more than a tick.
        """
        if self._gone is not None or reload.message is None:
            return self._gone or Result.CLOSED
        if edit.is_tick and clock() < self._naps_until:
            return Result.ASLEEP
        by_token = await self._by_token(reload, edit)
        again = by_token is Result.CLOSED or (by_token is Result.LATER and not edit.is_tick)
        by_channel = Result.CLOSED
        if again and self._channel_open:
            by_channel = await self._by_channel(reload, edit)
        if by_channel is Result.MESSAGE_GONE and by_token is Result.LATER and not self.has_landed:
            by_channel = Result.CLOSED  # the reply may be "thinking", which the channel route may not know
        result = by_token if by_channel is Result.CLOSED else by_channel
        self._gone = result if result in _GONE else None
        self.has_landed = self.has_landed or result is Result.DONE
        self.is_asleep = result is Result.ASLEEP
        if self.is_asleep and edit.is_tick:
            self._naps_until, self._nap = clock() + self._nap, min(2 * self._nap, LONGEST_NAP)
        return result

    async def _by_token(self, reload: Reload, edit: Edit) -> Result:
        editor, since = reload.editor
        if not (self.is_token_open and self._now() - since < TOKEN_AGE):
            return Result.CLOSED
        if clock() < self._token_waits_until:
            return Result.LATER
        hook = discord.Webhook.partial(self._bot.application_id or 0, editor.token, client=self._bot)
        send = functools.partial(_edit_webhook, hook, reload.message or 0, edit)
        tried = await self._calls.make("edit", edit.limit, send, edit.drawn_at)
        result = tried.result
        self._token_waits_until = clock() + tried.wait
        self._is_token_dead = tried.token_is_dead
        self.is_token_open = result in (*_OPEN, Result.MESSAGE_GONE)
        # If the token route says that the place is gone, that may mean less: only the channel route knows for
        # sure.
        return Result.CLOSED if result is Result.PLACE_GONE else result

    async def _by_channel(self, reload: Reload, edit: Edit) -> Result:
        place = reload.editor[0].channel
        if not place:
            return Result.CLOSED
        if clock() < self._channel_waits_until:
            return Result.LATER
        if not await self._calls.turn(reload.server, place, STALE_AGE if edit.is_tick else edit.limit):
            return Result.LATER

        async def send() -> None:
            with _parameters(edit) as made:
                await self._bot.http.edit_message(place, reload.message or 0, params=made)

        tried = await self._calls.make("edit", edit.limit, send, edit.drawn_at)
        self._channel_waits_until = clock() + tried.wait
        self._channel_open = tried.result in _OPEN
        return tried.result


async def _edit_webhook(hook: discord.Webhook, message: int, edit: Edit) -> None:
    """Edit as `Webhook.edit_message` does, but make no Message of the answer, since nobody looks at it."""
    with _parameters(edit) as made:
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


@contextmanager
def _parameters(edit: Edit) -> Iterator[MultipartParameters]:
    """Make what an edit sends, once for each try, because discord.py closes the files it has sent.

    discord.py leaves the form and its files referring to themselves, megabytes, until the garbage collector
    runs; here they are released.
    """
    made = _made(edit)
    try:
        with made:
            yield made
    finally:
        for file in made.files or ():
            vars(file.fp).clear()
            with suppress(BufferError):  # an upload that was cut short still reads from it
                file.fp.close()


def _made(edit: Edit) -> MultipartParameters:
    layout, named = edit.layout, only(edit.layout.named)
    if edit.picture is not None:
        file = discord.File(io.BytesIO(edit.picture.data), edit.picture.name)
        return handle_message_parameters(
            content=None, view=layout.as_view(), allowed_mentions=named, attachments=[file]
        )
    payload = {
        "content": None,  # an announcement has plain text until a test image makes it a layout
        "flags": _COMPONENTS_V2,
        "components": layout.components,
        "allowed_mentions": named.to_dict(),
    }
    return MultipartParameters(payload, None, None)
