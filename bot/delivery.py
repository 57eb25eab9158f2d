"""Puts reloads into Discord: the first answer, and a `Reply` for everything after it."""

import asyncio
import functools
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import discord
import structlog
from discord.webhook.async_ import async_context

from bot.cadence import retry_pause
from bot.languages import Languages
from bot.metrics import Metrics
from bot.pace import Pace
from bot.reload import Reload
from bot.reply import PATIENCE_SECONDS, Reply
from bot.routes import CALL_SECONDS, Routes
from bot.trace import NETWORK, TROUBLE, clock, named_wait

ACKNOWLEDGE_SECONDS = 2.5
"""Discord allows 3 s for the first answer; the rest is the way here."""
TRY_SECONDS = 1.0
MAY_STILL_ARRIVE_SECONDS = 5.0
"""So long after the command, a deferral that is on its way may still be accepted."""
_AGAIN_SECONDS = 0.25
_ANSWERED = "answered"
"""In an interaction's extras: whether discord.py has seen the answer arrive is another question."""
_RESOLVE_TRIES = 10
"""The last one comes a minute after the first."""
_ALREADY_ACKNOWLEDGED = 40060
_EPHEMERAL = discord.MessageFlags(ephemeral=True).value

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class NeverAcknowledged(Exception):
    """Discord does not know the interaction, or not any more: nothing was shown, or a refusal in private."""


class Delivery:
    """Makes replies; shared by all reloads."""

    def __init__(
        self,
        bot: discord.Client,
        languages: Languages,
        now: Callable[[], float],
        pace: Pace,
        metrics: Metrics,
        hold: Callable[[int], Awaitable[None]],
    ) -> None:
        self._bot = bot
        self._hold = hold
        self._metrics = metrics
        self._languages = languages
        self._now = now
        self._pace = pace

    def reply(self, reload: Reload) -> Reply:
        """The reply of a reload, live or resumed."""
        hold = functools.partial(self._hold, reload.id)
        routes = Routes(self._bot, self._now, self._pace, self._metrics, hold)
        return Reply(routes, self._metrics, self._languages.of(reload.locale), self._now)

    async def acknowledge(self, interaction: discord.Interaction) -> int | None:
        """Defer in public; answers the reply's message id.

        None: it cannot be told whether the deferral arrived. Raises NeverAcknowledged.
        """
        defer = functools.partial(interaction.response.defer, thinking=True)
        answer = await self.first_answer(interaction, defer)
        return answer.message_id if answer is not None else None

    async def first_answer(self, interaction: discord.Interaction, send: Callable[[], Awaitable[Any]]) -> Any:
        """Answer an interaction, trying again within Discord's 3 s; answers what `send` does.

        None: it cannot be told whether the answer arrived. Raises NeverAcknowledged.
        """
        interaction.extras[_ANSWERED] = True
        until = clock() + ACKNOWLEDGE_SECONDS
        pause = 0.0
        while clock() + pause < until:
            await asyncio.sleep(pause)
            pause += _AGAIN_SECONDS
            try:
                async with asyncio.timeout_at(min(until, clock() + TRY_SECONDS)):
                    answer = await send()
                took = self._now() - interaction.created_at.timestamp()
                self._metrics.first_answer.observe(max(0.0, took))
                self._metrics.discord_calls.labels("answer", "sent").inc()
                return answer
            except discord.HTTPException as error:
                log.warning("reply.answer_refused", status=error.status, code=error.code)
                self._metrics.discord_calls.labels("answer", str(error.status)).inc()
                if error.code == _ALREADY_ACKNOWLEDGED:
                    return None
                if error.status < 500 and error.status != 429:  # mostly 10062: too late
                    raise NeverAcknowledged from None
            except TROUBLE as error:
                odd = None if isinstance(error, NETWORK) else error
                self._metrics.discord_calls.labels("answer", "failed").inc()
                log.warning("reply.answer_failed", error=type(error).__name__, exc_info=odd)
        return None

    async def say(self, interaction: discord.Interaction, text: str) -> None:
        """Answer in private: at once, or as what a deferral was for. What cannot be said is logged."""
        quiet = discord.AllowedMentions.none()
        try:
            if _ANSWERED in interaction.extras:
                await self._resolve(interaction, text)
                return
            send = interaction.response.send_message
            await self.first_answer(
                interaction, functools.partial(send, text, ephemeral=True, allowed_mentions=quiet)
            )
        except NeverAcknowledged:
            log.warning("reply.not_said")

    async def _resolve(self, interaction: discord.Interaction, text: str) -> None:
        """Say what a deferral was for: nothing is left "thinking" for a hiccup."""
        for attempt in range(_RESOLVE_TRIES):
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    await interaction.edit_original_response(
                        content=text, allowed_mentions=discord.AllowedMentions.none()
                    )
            except TROUBLE as error:
                log.warning("reply.not_resolved", error=type(error).__name__)
                if isinstance(error, discord.HTTPException) and error.status in (401, 403, 404):
                    return
                await asyncio.sleep(max(retry_pause(attempt), named_wait(error)))
            else:
                return

    async def find_message(self, reload: Reload) -> int | None:
        """Read by token which message the reply is, for up to ten minutes of trouble.

        None: the token is dead, so nobody can tell. Raises NeverAcknowledged.
        """
        until = clock() + PATIENCE_SECONDS
        token = reload.owner.token
        hook = discord.Webhook.partial(self._bot.application_id or 0, token, client=self._bot)
        for attempt in itertools.count():
            if clock() >= until:
                break
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    message = await async_context.get().get_original_interaction_response(
                        hook.id, token, session=hook.session
                    )
                if message.get("flags", 0) & _EPHEMERAL:
                    raise NeverAcknowledged  # they were told in private that it cannot be
                return int(message["id"])
            except discord.NotFound:
                if self._now() - reload.asked_at > MAY_STILL_ARRIVE_SECONDS:
                    raise NeverAcknowledged from None
            except TROUBLE as error:
                if isinstance(error, discord.HTTPException) and error.status in (401, 403):
                    return None
                log.warning("reply.not_found_yet", error=type(error).__name__)
            await asyncio.sleep(retry_pause(attempt))
        return None
