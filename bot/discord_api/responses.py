"""Interaction responses: the first response within 3 s, and the message that resolves a deferral."""

import asyncio
import functools
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import discord
import structlog
from discord.webhook.async_ import async_context

from bot.backoff import retry_pause
from bot.discord_api.calls import CALL_TIMEOUT
from bot.discord_api.http_trace import clock
from bot.discord_api.reply import RETRY_PATIENCE
from bot.discord_api.trouble import NETWORK, TROUBLE, named_wait
from bot.domain.reload import Reload
from bot.metrics import Metrics

RESPONSE_TIMEOUT = 2.5
"""Seconds for the first response. Discord allows 3 s; the event has used up the rest on its way here."""
RESPONSE_TRY_TIMEOUT = 1.0
DEFERRAL_AGE = 5.0
"""Seconds after the command until which a deferral in flight may still be accepted."""
_RETRY_DELAY = 0.25
_ANSWERED = "answered"
"""A key in an interaction's extras. Whether discord.py has seen the response arrive is another question."""
_RESOLVE_TRIES = 10
"""How many times resolving a deferral is tried; the last try comes a minute after the first."""
_ALREADY_ACKNOWLEDGED = 40060
_EPHEMERAL = discord.MessageFlags(ephemeral=True).value

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class NeverAcknowledged(Exception):
    """Discord doesn't know the interaction, or no longer does: nothing was shown, or a refusal in private."""


class Responses:
    """Responds to interactions."""

    def __init__(
        self,
        bot: discord.Client,
        metrics: Metrics,
        now: Callable[[], float],
    ) -> None:
        self._bot = bot
        self._metrics = metrics
        self._now = now

    async def acknowledge(self, interaction: discord.Interaction) -> int | None:
        """Defer in public; return the reply's message ID.

        None: we can't tell whether the deferral arrived. Raises NeverAcknowledged.
        """
        defer = functools.partial(interaction.response.defer, thinking=True)
        answer = await self.respond(interaction, defer)
        return answer.message_id if answer is not None else None

    async def respond(self, interaction: discord.Interaction, send: Callable[[], Awaitable[Any]]) -> Any:
        """Answer an interaction, retrying within Discord's 3 s; return what `send` does.

        None: we can't tell whether the answer arrived. Raises NeverAcknowledged.
        """
        interaction.extras[_ANSWERED] = True
        until = clock() + RESPONSE_TIMEOUT
        pause = 0.0
        while clock() + pause < until:
            await asyncio.sleep(pause)
            pause += _RETRY_DELAY
            try:
                async with asyncio.timeout_at(min(until, clock() + RESPONSE_TRY_TIMEOUT)):
                    answer = await send()
                took = self._now() - interaction.created_at.timestamp()
                self._metrics.respond.observe(max(0.0, took))
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
        """Answer in private, directly or as the resolution of a deferral.

        A message that can't be sent is logged.
        """
        quiet = discord.AllowedMentions.none()
        try:
            if _ANSWERED in interaction.extras:
                await self._resolve(interaction, text)
                return
            send = interaction.response.send_message
            await self.respond(
                interaction, functools.partial(send, text, ephemeral=True, allowed_mentions=quiet)
            )
        except NeverAcknowledged:
            log.warning("reply.not_said")

    async def _resolve(self, interaction: discord.Interaction, text: str) -> None:
        """Resolve a deferred response, retrying, so that it never stays "thinking"."""
        for attempt in range(_RESOLVE_TRIES):
            try:
                async with asyncio.timeout(CALL_TIMEOUT):
                    await interaction.edit_original_response(
                        content=text, view=None, allowed_mentions=discord.AllowedMentions.none()
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
        until = clock() + RETRY_PATIENCE
        token = reload.owner.token
        hook = discord.Webhook.partial(self._bot.application_id or 0, token, client=self._bot)
        for attempt in itertools.count():
            if clock() >= until:
                break
            try:
                async with asyncio.timeout(CALL_TIMEOUT):
                    message = await async_context.get().get_original_interaction_response(
                        hook.id, token, session=hook.session
                    )
                if message.get("flags", 0) & _EPHEMERAL:
                    raise NeverAcknowledged  # a private refusal was the first answer
                return int(message["id"])
            except discord.NotFound:
                if self._now() - reload.asked_at > DEFERRAL_AGE:
                    raise NeverAcknowledged from None
            except TROUBLE as error:
                if isinstance(error, discord.HTTPException) and error.status in (401, 403):
                    return None
                log.warning("reply.not_found_yet", error=type(error).__name__)
            await asyncio.sleep(retry_pause(attempt))
        return None
