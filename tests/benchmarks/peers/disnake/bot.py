#!/usr/bin/env python3
"""The simplest bot on disnake: /reload defers, asks the model API, edits every 5 s, and pings."""

import asyncio
import logging
import os
import time

import aiohttp
import disnake
from disnake.ext import commands
from disnake.http import Route

SECONDS = float(os.environ["RELOAD_SECONDS"])
EVERY = 5.0
URL = os.environ["MODEL_API_URL"] + "/api/v4/dreambooth/model_reload"
KEY = os.environ["MODEL_API_KEY"]
log = logging.getLogger("bot")

# There is no setting for it.
Route.BASE = os.environ["DISCORD_API_URL"]

logging.basicConfig(level=logging.INFO)
mentions = disnake.AllowedMentions(everyone=False, roles=False)
bot = commands.InteractionBot(intents=disnake.Intents(guilds=True), allowed_mentions=mentions)


@bot.slash_command(name="reload", description="Wake up a model")
async def reload(inter: disnake.ApplicationCommandInteraction, model_id: str) -> None:
    """From the command to the ping."""
    await inter.response.defer()
    body = {"key": KEY, "model_id": model_id}
    async with aiohttp.ClientSession() as session, session.post(URL, json=body) as response:
        answer = await response.json()
    if answer["status"] != "success":
        await show(inter, f"`{model_id}` was not reloaded: {answer['message']}")
        return
    ends = time.monotonic() + SECONDS
    while (left := ends - time.monotonic()) > 0:
        await show(inter, f"Reloading `{model_id}`: {left:.0f} s left")
        await asyncio.sleep(max(0.0, min(EVERY, ends - time.monotonic())))
    await show(inter, f"**Ready** `{model_id}`")
    await inter.channel.send(f"{inter.author.mention} `{model_id}` is ready")


async def show(inter: disnake.ApplicationCommandInteraction, text: str) -> None:
    """Edit once; a failed edit must not cost the ping."""
    try:
        await inter.edit_original_response(content=text)
    except disnake.HTTPException:
        log.exception("an edit failed")


bot.run(os.environ["DISCORD_TOKEN"])
