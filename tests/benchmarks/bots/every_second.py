"""A bot as tutorials write it: an edit, a second's sleep, and again."""

import asyncio

import discord

from tests.benchmarks.bots.plain import SECONDS, PlainBot, reloading


class EverySecond(PlainBot):
    """Counts by seconds slept: it ends later by all the time that its edits took."""

    async def count(self, interaction: discord.Interaction, model: str) -> None:
        """Edit once a second."""
        for left in range(int(SECONDS), 0, -1):
            await interaction.edit_original_response(embed=reloading(model, left))
            await asyncio.sleep(1)


def make() -> discord.Client:
    """Make the bot."""
    return EverySecond()
