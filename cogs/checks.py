"""The conditions on who asks, and where, that a command checks first."""

import discord

from bot.app import Rewarm
from bot.discord_api.permissions import invitation
from bot.domain.errors import NotAllowed, NotAMember


def require_manager(interaction: discord.Interaction[Rewarm]) -> None:
    """Check the permission when a command runs: hiding the command is only a default. Raises NotAllowed."""
    if not interaction.permissions.manage_guild:
        raise NotAllowed


def require_member(interaction: discord.Interaction[Rewarm]) -> int:
    """Return the ID of a server that the bot is a member of. Raises NotAMember."""
    bot, server = interaction.client, interaction.guild_id or 0
    if bot.get_guild(server) is None:
        raise NotAMember(invitation(bot.application_id or 0, server))
    return server
