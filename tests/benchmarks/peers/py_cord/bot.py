#!/usr/bin/env python3
"""The simplest bot on py-cord: /reload defers, asks the model API, edits every 5 s, and pings."""

import asyncio
import logging
import os
import time

import aiohttp
import discord
from discord.http import Route

SECONDS = float(os.environ["RELOAD_SECONDS"])
EVERY = 5.0
URL = os.environ["MODEL_API_URL"] + "/api/v4/dreambooth/model_reload"
KEY = os.environ["MODEL_API_KEY"]
log = logging.getLogger("bot")

# There is no setting for it.
Route.API_BASE_URL = os.environ["DISCORD_API_URL"]

logging.basicConfig(level=logging.INFO)
mentions = discord.AllowedMentions(everyone=False, roles=False)
bot = discord.Bot(intents=discord.Intents(guilds=True), allowed_mentions=mentions)


@bot.slash_command(name="reload", description="Wake up a model")
async def reload(ctx: discord.ApplicationContext, model_id: str) -> None:
    """From the command to the ping."""
    await ctx.defer()
    body = {"key": KEY, "model_id": model_id}
    async with aiohttp.ClientSession() as session, session.post(URL, json=body) as response:
        answer = await response.json()
    if answer["status"] != "success":
        await show(ctx, f"`{model_id}` was not reloaded: {answer['message']}")
        return
    ends = time.monotonic() + SECONDS
    while (left := ends - time.monotonic()) > 0:
        await show(ctx, f"Reloading `{model_id}`: {left:.0f} s left")
        await asyncio.sleep(max(0.0, min(EVERY, ends - time.monotonic())))
    await show(ctx, f"**Ready** `{model_id}`")
    await ctx.channel.send(f"{ctx.author.mention} `{model_id}` is ready")


async def show(ctx: discord.ApplicationContext, text: str) -> None:
    """Edit once; a failed edit must not cost the ping."""
    try:
        await ctx.interaction.edit_original_response(content=text)
    except discord.HTTPException:
        log.exception("an edit failed")


bot.run(os.environ["DISCORD_TOKEN"])
