#!/usr/bin/env python3
"""The simplest bot on hikari: /reload defers, asks the model API, edits every 5 s, and pings."""

import asyncio
import logging
import os
import time

import aiohttp
import hikari

SECONDS = float(os.environ["RELOAD_SECONDS"])
EVERY = 5.0
URL = os.environ["MODEL_API_URL"] + "/api/v4/dreambooth/model_reload"
KEY = os.environ["MODEL_API_KEY"]
log = logging.getLogger("bot")

bot = hikari.GatewayBot(
    os.environ["DISCORD_TOKEN"],
    intents=hikari.Intents.GUILDS,
    rest_url=os.environ["DISCORD_API_URL"],
    banner=None,
)


@bot.listen()
async def register(_: hikari.StartingEvent) -> None:
    """Register the command."""
    application = await bot.rest.fetch_application()
    command = bot.rest.slash_command_builder("reload", "Wake up a model").add_option(
        hikari.CommandOption(
            type=hikari.OptionType.STRING, name="model_id", description="The model", is_required=True
        )
    )
    await bot.rest.set_application_commands(application, [command])


@bot.listen()
async def reload(event: hikari.InteractionCreateEvent) -> None:
    """From the command to the ping."""
    interaction = event.interaction
    if not isinstance(interaction, hikari.CommandInteraction) or not interaction.options:
        return
    model_id = interaction.options[0].value
    await interaction.create_initial_response(hikari.ResponseType.DEFERRED_MESSAGE_CREATE)
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
    text = f"{interaction.user.mention} `{model_id}` is ready"
    await bot.rest.create_message(interaction.channel_id, text, user_mentions=[interaction.user])


async def show(interaction: hikari.CommandInteraction, text: str) -> None:
    """Edit once; a failed edit must not cost the ping."""
    try:
        await interaction.edit_initial_response(text)
    except hikari.HikariError:
        log.exception("an edit failed")


bot.run()
