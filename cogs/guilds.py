"""Receives the events of the bot joining or leaving a server."""

import discord
from discord.ext import commands

from bot.app import Rewarm


class GuildsCog(commands.Cog):
    """Passes them to `bot.jobs.servers`."""

    def __init__(self, bot: Rewarm) -> None:
        self.bot = bot

    @commands.Cog.listener()
    async def on_guild_join(self, guild: discord.Guild) -> None:
        """Called on an invitation, or when a server is first seen."""
        await self.bot.servers.leave_if_blocked([guild])

    @commands.Cog.listener()
    async def on_ready(self) -> None:
        """Called at the start and after a new login: an invitation in between is not reported."""
        await self.bot.servers.leave_if_blocked(self.bot.guilds)

    @commands.Cog.listener()
    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """Called on what seems a removal; a server that is merely unavailable sends another event."""
        await self.bot.servers.removed(guild.id)


async def setup(bot: Rewarm) -> None:
    """Called by discord.py."""
    await bot.add_cog(GuildsCog(bot))
