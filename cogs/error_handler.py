"""The one place where errors of commands and modals are shown, always in private.

Anything a person can change is explained. The rest is one sentence with a short reference, which the log has,
too.
"""

from collections.abc import Awaitable

import discord
import structlog
from discord import app_commands

from bot.app import Rewarm
from bot.discord_api.responses import NeverAcknowledged
from bot.domain.errors import Refusal, SealBroken, StoreTrouble
from bot.logs import new_ref
from bot.words.errors import broken, refusal, stale_command, storage_trouble

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def on_error(interaction: discord.Interaction[Rewarm], error: app_commands.AppCommandError) -> None:
    """Show what happened to the person who ran the command."""
    cause = _cause(error)
    if isinstance(cause, NeverAcknowledged):
        return  # too late: there is no way to answer any more
    await interaction.client.responses.say(interaction, _wording(interaction, cause))


async def errors_shown(interaction: discord.Interaction[Rewarm], doing: Awaitable[None]) -> None:
    """Handle a press or a form, showing its errors: discord.py would only log them."""
    try:
        await doing
    except Exception as error:  # noqa: BLE001  # all of them go to the one handler, which logs what is odd
        await on_error(interaction, app_commands.AppCommandError(error))


def _cause(error: BaseException) -> BaseException:
    if isinstance(error, app_commands.CommandInvokeError):
        return error.original
    if type(error) is app_commands.AppCommandError and error.args and isinstance(error.args[0], Exception):
        return error.args[0]
    return error


def _wording(interaction: discord.Interaction[Rewarm], cause: BaseException) -> str:
    say = interaction.client.languages.of(interaction.locale)
    if isinstance(cause, Refusal):
        return refusal(cause, say, may_manage=interaction.permissions.manage_guild)
    if isinstance(cause, app_commands.CommandSignatureMismatch | app_commands.CommandNotFound):
        return stale_command(say)
    ref = new_ref()
    if isinstance(cause, StoreTrouble | SealBroken):
        log.error("command.failed", ref=ref, error=str(cause))  # a traceback of each would be no news
        command = interaction.command  # None: a press or a form of a reply
        of_reload = command is None or command.qualified_name == "reload"
        return storage_trouble(ref, say, of_reload=of_reload)
    log.error("command.failed", ref=ref, error=type(cause).__name__, exc_info=cause)
    return broken(ref, say)


async def setup(bot: Rewarm) -> None:
    """Called by discord.py."""
    bot.tree.error(on_error)
