"""/models: this server's models in a private list made for a phone, and each of them."""

import discord
from discord import app_commands
from discord.ext import commands

from bot import view
from bot.app import Rewarm
from bot.discord_api.permissions import may_write
from bot.discord_api.place import place_of
from bot.domain.allowance import made_by
from bot.domain.custom_ids import LIST, MODEL, WATCH, WATCHERS
from bot.domain.errors import MayNotWrite
from bot.domain.server_models import models_of
from bot.view import MODELS_PER_PAGE
from bot.words.language import n_
from bot.words.models import SHOWN_RELOADS
from cogs.checks import require_manager
from cogs.press import Press, known_reload, show_in_private, values_of


class PageButton(Press, template=LIST):
    """Turns to a page of the list."""

    async def press(self, interaction: discord.Interaction[Rewarm]) -> None:
        """Show it in place."""
        await _turn(interaction, int(self.match["page"]))


class ModelMenu(Press, template=MODEL):
    """Shows the model that was chosen."""

    async def press(self, interaction: discord.Interaction[Rewarm]) -> None:
        """Show it in place, or the list if it is no longer known."""
        await _show_model(interaction, next(iter(self.item.values), ""), int(self.match["page"]))


class WatchButton(Press, template=WATCH):
    """Starts or stops watching the model of a reload."""

    async def press(self, interaction: discord.Interaction[Rewarm]) -> None:
        """Do it, and show the model again."""
        bot = interaction.client
        reload = await known_reload(interaction, int(self.match["reload"]))
        if self.match["what"] == "watch":
            _require_sending(interaction)
            await bot.watches.watch(
                reload.server, reload.model, interaction.user.id, interaction.channel_id or 0
            )
        else:
            await bot.store.remove_watch(reload.server, reload.model, {interaction.user.id})
        await _show_model(interaction, reload.model, int(self.match["page"]))


class WatchersMenu(Press, template=WATCHERS):
    """Removes watchers: those whom a moderator took out of the menu."""

    async def press(self, interaction: discord.Interaction[Rewarm]) -> None:
        """Check the permission once more, do it, and show the model again.

        People who were put in are not added; those who came after the menu was shown stay.
        """
        require_manager(interaction)
        reload = await known_reload(interaction, int(self.match["reload"]))
        stay = set(values_of(interaction))
        if out := {user.id for user in self.item.default_values if str(user.id) not in stay}:
            await interaction.client.store.remove_watch(reload.server, reload.model, out)
        await _show_model(interaction, reload.model, int(self.match["page"]))


def _require_sending(interaction: discord.Interaction[Rewarm]) -> None:
    """Check that they may write here themselves, as the bot will mention them. Raises MayNotWrite."""
    may, is_thread = interaction.permissions, bool(place_of(interaction).parent)
    if not (may.send_messages_in_threads if is_thread else may.send_messages):
        raise MayNotWrite


async def _show_model(interaction: discord.Interaction[Rewarm], id_: str, page: int) -> None:
    bot, who, server = interaction.client, interaction.permissions.manage_guild, interaction.guild_id or 0
    model = next(iter(models_of(await bot.store.about(server, id_, SHOWN_RELOADS), bot.now())), None)
    if model is None:
        await _turn(interaction, page)
        return
    watch, chosen = await bot.store.watch(server, id_), await bot.store.settings(server)
    channel = (chosen.ledger_channel or watch.channel) if watch is not None else None
    say, user = bot.languages.of(interaction.locale), interaction.user.id
    can = channel is None or may_write(interaction, channel) is not False
    page_of = view.model_page(
        model, page, bot.now(), say, user=user, who=who, watch=watch, channel=channel, may_write=can
    )
    await show_in_private(interaction, page_of)


async def _turn(interaction: discord.Interaction[Rewarm], page: int) -> None:
    """Show a page, or the last one if it no longer exists."""
    bot, server = interaction.client, interaction.guild_id or 0
    say = bot.languages.of(interaction.locale)
    count, reloads = await bot.store.models(server, page * MODELS_PER_PAGE, MODELS_PER_PAGE)
    pages = max(1, -(-count // MODELS_PER_PAGE))
    if page >= pages:
        page = pages - 1
        _, reloads = await bot.store.models(server, page * MODELS_PER_PAGE, MODELS_PER_PAGE)
    models = models_of(reloads, bot.now())
    made: list[tuple[int, int]] = []
    if interaction.permissions.manage_guild:
        made = made_by(await bot.store.paid_calls(server), bot.now())
    await show_in_private(interaction, view.models_page(models, page, pages, bot.now(), say, made))


class ModelsCog(commands.Cog):
    """Shows a server's models."""

    def __init__(self, bot: Rewarm) -> None:
        self.bot = bot

    @app_commands.command(name=n_("models"), description=n_("This server's models: reloading, warm or cold"))
    async def models(self, interaction: discord.Interaction[Rewarm]) -> None:
        """Show the first page, from what is stored."""
        await _turn(interaction, 0)


async def setup(bot: Rewarm) -> None:
    """Called by discord.py."""
    bot.add_dynamic_items(PageButton, ModelMenu, WatchButton, WatchersMenu)
    await bot.add_cog(ModelsCog(bot))
