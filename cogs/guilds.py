"""Joining and leaving: when the bot is removed from a server, the server's data goes."""

import asyncio
import itertools

import discord
import structlog
from discord.ext import commands

from bot.app import Rewarm
from bot.cadence import retry_pause
from bot.errors import StoreTrouble

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class GuildsCog(commands.Cog):
    """Forgets servers that removed the bot."""

    def __init__(self, bot: Rewarm) -> None:
        self.bot = bot

    @commands.Cog.listener()
    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """Removed, not merely unavailable: that is another event."""
        for attempt in itertools.count():
            try:
                await self.bot.runner.forget(guild.id)
            except StoreTrouble as error:
                log.error("server.not_forgotten", server=guild.id, error=str(error))  # noqa: TRY400
                await asyncio.sleep(retry_pause(attempt))
            else:
                log.info("server.forgotten", server=guild.id)
                return


async def setup(bot: Rewarm) -> None:
    """Called by discord.py."""
    await bot.add_cog(GuildsCog(bot))
