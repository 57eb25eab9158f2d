"""Puts reloads into Discord: the first answer, and a `Reply` for everything after it."""

import asyncio
import itertools
from collections.abc import Callable

import aiohttp
import discord
import structlog
from discord.webhook.async_ import async_context

from bot import words
from bot.cadence import retry_pause
from bot.pace import Pace
from bot.reload import Reload
from bot.reply import CALL_SECONDS, GIVE_UP_SECONDS, Reply
from bot.trace import clock

ACKNOWLEDGE_SECONDS = 2.5
"""Discord allows 3 s for the first answer; the rest is the way here."""
TRY_SECONDS = 1.0
MAY_STILL_ARRIVE_SECONDS = 5.0
"""So long after the command, a deferral that is on its way may still be accepted."""
_AGAIN_SECONDS = 0.25
_ALREADY_ACKNOWLEDGED = 40060

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class NeverAcknowledged(Exception):
    """Discord does not know the interaction, or not any more: nothing was shown to anyone."""


class Delivery:
    """Makes replies; shared by all reloads."""

    def __init__(
        self, bot: discord.Client, command: words.Command, now: Callable[[], float], pace: Pace
    ) -> None:
        self._bot = bot
        self._command = command
        self._now = now
        self._pace = pace

    def reply(self, reload: Reload) -> Reply:
        """The reply of a reload, live or resumed."""
        return Reply(self._bot, self._command, self._now, self._pace, reload)

    async def acknowledge(self, interaction: discord.Interaction) -> int | None:
        """Defer in public, trying again within Discord's 3 s; answers the reply's message id.

        None: it cannot be told whether the deferral arrived. Raises NeverAcknowledged.
        """
        until = clock() + ACKNOWLEDGE_SECONDS
        while clock() < until:
            try:
                async with asyncio.timeout_at(min(until, clock() + TRY_SECONDS)):
                    answer = await interaction.response.defer(thinking=True)
                return answer.message_id if answer is not None else None
            except discord.HTTPException as error:
                log.warning("reply.defer_refused", status=error.status, code=error.code)
                if error.code == _ALREADY_ACKNOWLEDGED:
                    return None
                if error.status < 500 and error.status != 429:  # mostly 10062: too late
                    raise NeverAcknowledged from None
            except (aiohttp.ClientError, OSError) as error:  # OSError: TimeoutError, too
                log.warning("reply.defer_failed", error=type(error).__name__)
            await asyncio.sleep(_AGAIN_SECONDS)
        return None

    async def find_message(self, reload: Reload) -> int | None:
        """Read by token which message the reply is, for up to ten minutes of trouble.

        None: the token is dead, so nobody can tell. Raises NeverAcknowledged.
        """
        until = clock() + GIVE_UP_SECONDS
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
                return int(message["id"])
            except discord.NotFound:
                if self._now() - reload.asked_at > MAY_STILL_ARRIVE_SECONDS:
                    raise NeverAcknowledged from None
            except discord.HTTPException as error:
                if error.status in (401, 403):
                    return None
            except (aiohttp.ClientError, OSError) as error:
                log.warning("reply.not_found_yet", error=type(error).__name__)
            await asyncio.sleep(retry_pause(attempt))
        return None
