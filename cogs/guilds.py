"""Hears that the bot comes to a server, or goes from one."""

import discord
from discord.ext import commands

from bot.app import Rewarm


class GuildsCog(commands.Cog):
    """Tells `bot.jobs.servers`."""

    def __init__(self, bot: Rewarm) -> None:
        self.bot = bot

    @commands.Cog.listener()
    async def on_guild_join(self, guild: discord.Guild) -> None:
        """Invited, or known for the first time."""
        await self.bot.servers.leave_if_blocked([guild])

    @commands.Cog.listener()
    async def on_ready(self) -> None:
        """Up, and again after a new login: an invitation meanwhile is not told."""
        await self.bot.servers.leave_if_blocked(self.bot.guilds)

    @commands.Cog.listener()
    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """Removed, as it seems; not merely unavailable: that is another event."""
        await self.bot.servers.removed(guild.id)


async def setup(bot: Rewarm) -> None:
    """Called by discord.py."""
    await bot.add_cog(GuildsCog(bot))
