#!/usr/bin/env python3
"""The simplest bot on discord.py: /reload defers, asks the model API, edits every 5 s, and pings."""

import asyncio
import logging
import os
import time

import aiohttp
import discord
import yarl
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

SECONDS = float(os.environ["RELOAD_SECONDS"])
EVERY = 5.0
URL = os.environ["MODEL_API_URL"] + "/api/v4/dreambooth/model_reload"
KEY = os.environ["MODEL_API_KEY"]
log = logging.getLogger("bot")

# There is no setting for either address.
Route.BASE = os.environ["DISCORD_API_URL"]
DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(os.environ["GATEWAY_URL"])


class Bot(discord.Client):
    """With one command."""

    def __init__(self) -> None:
        mentions = discord.AllowedMentions(everyone=False, roles=False)
        super().__init__(intents=discord.Intents(guilds=True), allowed_mentions=mentions)
        self.tree = app_commands.CommandTree(self)

    async def setup_hook(self) -> None:
        """Register the command."""
        await self.tree.sync()


bot = Bot()


@bot.tree.command(name="reload", description="Wake up a model")
async def reload(interaction: discord.Interaction, model_id: str) -> None:
    """From the command to the ping."""
    await interaction.response.defer(thinking=True)
    body = {"key": KEY, "model_id": model_id}
    async with aiohttp.ClientSession() as session, session.post(URL, json=body) as response:
        answer = await response.json()
    if answer["status"] != "success":
        await show(interaction, f"`{model_id}` was not reloaded: {answer['message']}")
        return
    ends = time.monotonic() + SECONDS
    while (left := ends - time.monotonic()) > 0:
        await show(interaction, f"Reloading `{model_id}`: {left:.0f} s left")
        await asyncio.sleep(max(0.0, min(EVERY, ends - time.monotonic())))
    await show(interaction, f"**Ready** `{model_id}`")
    await interaction.channel.send(f"{interaction.user.mention} `{model_id}` is ready")


async def show(interaction: discord.Interaction, text: str) -> None:
    """Edit once; a failed edit must not cost the ping."""
    try:
        await interaction.edit_original_response(content=text)
    except discord.HTTPException:
        log.exception("an edit failed")


bot.run(os.environ["DISCORD_TOKEN"])
