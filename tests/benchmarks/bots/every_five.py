"""A bot that edits every 5 s, by the monotonic clock: as little as a countdown by discord.py can be."""

import asyncio
import time

import discord

from tests.benchmarks.bots.plain import SECONDS, PlainBot, reloading

EVERY = 5.0


class EveryFive(PlainBot):
    """Ends on time; no limits, no tries, no time limits."""

    async def count(self, interaction: discord.Interaction, model: str) -> None:
        """Edit every 5 s."""
        ends = time.monotonic() + SECONDS
        while (left := ends - time.monotonic()) > 0:
            await self.show(interaction, model, left)
            await asyncio.sleep(min(EVERY, max(0.0, ends - time.monotonic())))

    async def show(self, interaction: discord.Interaction, model: str, left: float) -> None:
        """One edit."""
        await interaction.edit_original_response(embed=reloading(model, left))


def make() -> discord.Client:
    """Make the bot."""
    return EveryFive()
