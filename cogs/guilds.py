"""Joining and leaving: when the bot is removed from a server, the server's data goes."""

import discord
import structlog
from discord.ext import commands

from bot.app import Rewarm

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class GuildsCog(commands.Cog):
    """Forgets servers that removed the bot."""

    def __init__(self, bot: Rewarm) -> None:
        self.bot = bot

    @commands.Cog.listener()
    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """Removed, not merely unavailable: that is another event."""
        await self.bot.runner.forget(guild.id)
        log.info("server.forgotten", server=guild.id)


async def setup(bot: Rewarm) -> None:
    """Called by discord.py."""
    await bot.add_cog(GuildsCog(bot))
