"""/models: this server's models in a private list made for a phone, and each of them."""

import discord
from discord import app_commands
from discord.ext import commands

from bot import view
from bot.app import Rewarm
from bot.domain.allowance import made_by
from bot.domain.custom_ids import LIST, MODEL, WATCH
from bot.domain.server_models import Model, models_of
from bot.words.language import n_
from cogs.press import Press, known_reload, show_in_private


class PageButton(Press, template=LIST):
    """Turns to a page of the list."""

    async def press(self, interaction: discord.Interaction[Rewarm]) -> None:
        """Show it in place."""
        await _turn(interaction, int(self.match["page"]))


class ModelMenu(Press, template=MODEL):
    """Shows the model that was chosen."""

    async def press(self, interaction: discord.Interaction[Rewarm]) -> None:
        """Show it in place; the list, where it is no longer known."""
        await _show_model(interaction, next(iter(self.item.values), ""), int(self.match["page"]))


class WatchButton(Press, template=WATCH):
    """Watches the model of a reload, or no more."""

    async def press(self, interaction: discord.Interaction[Rewarm]) -> None:
        """Do it, and show the model anew."""
        bot = interaction.client
        reload = await known_reload(interaction, int(self.match["reload"]))
        if self.match["what"] == "watch":
            await bot.watches.watch(
                reload.server, reload.model, interaction.user.id, interaction.channel_id or 0
            )
        else:
            await bot.store.remove_watch(reload.server, reload.model)
        await _show_model(interaction, reload.model, int(self.match["page"]))


async def _show_model(interaction: discord.Interaction[Rewarm], id_: str, page: int) -> None:
    model = next((model for model in await _models(interaction) if model.id == id_), None)
    if model is None:
        await _turn(interaction, page)
        return
    bot, who, server = interaction.client, interaction.permissions.manage_guild, interaction.guild_id or 0
    watch, chosen = await bot.store.watch(server, id_), await bot.store.settings(server)
    watched = (chosen.ledger_channel or watch.channel) if watch is not None else None
    say = bot.languages.of(interaction.locale)
    await show_in_private(interaction, view.model_page(model, page, bot.now(), say, who=who, watched=watched))


async def _models(interaction: discord.Interaction[Rewarm]) -> list[Model]:
    bot = interaction.client
    return models_of(await bot.store.history(interaction.guild_id or 0), bot.now())


async def _turn(interaction: discord.Interaction[Rewarm], page: int) -> None:
    bot = interaction.client
    say = bot.languages.of(interaction.locale)
    made: list[tuple[int, int]] = []
    if interaction.permissions.manage_guild:
        made = made_by(await bot.store.paid_calls(interaction.guild_id or 0), bot.now())
    models = await _models(interaction)
    await show_in_private(interaction, view.models_page(models, page, bot.now(), say, made))


class ModelsCog(commands.Cog):
    """Shows a server's models."""

    def __init__(self, bot: Rewarm) -> None:
        self.bot = bot

    @app_commands.command(name=n_("models"), description=n_("This server's models: reloading, warm, cold"))
    async def models(self, interaction: discord.Interaction[Rewarm]) -> None:
        """Show the first page, from what is stored."""
        await _turn(interaction, 0)


async def setup(bot: Rewarm) -> None:
    """Called by discord.py."""
    bot.add_dynamic_items(PageButton, ModelMenu, WatchButton)
    await bot.add_cog(ModelsCog(bot))
