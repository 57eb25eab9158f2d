"""/help: what the bot does, in private."""

import discord
from discord import app_commands
from discord.ext import commands

from bot.app import Rewarm
from bot.words.help import help_text
from bot.words.language import n_


class HelpCog(commands.Cog):
    """Explains the bot."""

    def __init__(self, bot: Rewarm) -> None:
        self.bot = bot

    @app_commands.command(name=n_("help"), description=n_("What Rewarm does and how to use it"))
    async def help(self, interaction: discord.Interaction[Rewarm]) -> None:
        """Commands that are hidden from the person are left out."""
        text = help_text(
            self.bot.languages.of(interaction.locale),
            self.bot.support_url,
            self.bot.runner.seconds,
            may_manage=interaction.permissions.manage_guild,
        )
        await self.bot.responses.say(interaction, text)


async def setup(bot: Rewarm) -> None:
    """Called by discord.py."""
    await bot.add_cog(HelpCog(bot))
