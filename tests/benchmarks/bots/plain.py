"""The base of the compared bots: /reload defers, calls the model API, counts down, ends, and pings."""

import os

import aiohttp
import discord
from discord import app_commands

SECONDS = float(os.environ.get("RELOAD_SECONDS", "120"))
KEY = "a-key-0123456789"
_URL = f"{os.environ.get('MODEL_API_URL', '')}/api/v4/dreambooth/model_reload"


class PlainBot(discord.Client):
    """One file, nothing stored: what is open is lost with the process."""

    def __init__(self) -> None:
        super().__init__(intents=discord.Intents(guilds=True))
        self.tree = app_commands.CommandTree(self)
        self.session: aiohttp.ClientSession
        self.tree.command(name="reload", description="Wake up a model")(self._reload)

    async def setup_hook(self) -> None:
        """Called by discord.py."""
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        await self.tree.sync()

    async def _reload(self, interaction: discord.Interaction, model_id: str) -> None:
        await interaction.response.defer(thinking=True)
        async with self.session.post(_URL, json={"key": KEY, "model_id": model_id}) as response:
            answer = await response.json()
        if answer["status"] != "success":
            await interaction.edit_original_response(content=answer["message"])
            return
        await self.count(interaction, model_id)
        await interaction.edit_original_response(embed=ready(model_id))
        if isinstance(interaction.channel, discord.abc.Messageable):
            reply = await interaction.original_response()
            await interaction.channel.send(
                f"{interaction.user.mention} `{model_id}` is ready", reference=reply
            )

    async def count(self, interaction: discord.Interaction, model: str) -> None:
        """Show a countdown until the model should be ready."""
        raise NotImplementedError


def reloading(model: str, left: float) -> discord.Embed:
    """How a countdown looks."""
    done = round(8 * (1 - left / SECONDS))
    bar = "▰" * done + "▱" * (8 - done)
    embed = discord.Embed(title="Reloading", description=f"`{model}`", colour=discord.Colour.blurple())
    return embed.add_field(name="Time left", value=f"{bar} {round(left)} s")


def ready(model: str) -> discord.Embed:
    """How its ending looks."""
    return discord.Embed(description=f"**Ready** `{model}`", colour=discord.Colour.green())
