"""/key set, status, remove: private, and only for people with the Manage Server permission."""

import functools

import discord
from discord import app_commands
from discord.ext import commands

from bot.app import Rewarm
from bot.domain.custom_ids import REMOVE_KEY
from bot.domain.errors import StoreTrouble, TooManyCalls
from bot.domain.events import What
from bot.keys import LONGEST_KEY, parse_key
from bot.model_api.balance import Balance
from bot.words.common import plain_name
from bot.words.errors import refusal
from bot.words.key import (
    KEY_HINT,
    KEY_LABEL,
    KEY_REMOVE,
    KEY_REMOVE_QUESTION,
    KEY_SHOWN,
    KEY_TITLE,
    balance_text,
    key_removed,
    key_status,
    key_stored,
    key_unreadable,
    no_key,
)
from bot.words.language import Language, n_
from bot.words.moderators import events_text
from cogs.checks import require_manager, require_member
from cogs.press import Press

FORM_TIMEOUT = 900.0
"""Seconds that an open form is waited for."""


class KeyModal(discord.ui.Modal):
    """Asks for the key where nobody else sees it."""

    def __init__(self, say: Language) -> None:
        super().__init__(title=say(KEY_TITLE), timeout=FORM_TIMEOUT)
        # Longer than a key may be, so that surrounding spaces don't count.
        self._box: discord.ui.TextInput[KeyModal] = discord.ui.TextInput(
            max_length=2 * LONGEST_KEY, custom_id="key"
        )
        label, hint = say(KEY_LABEL), say(KEY_HINT)
        self.add_item(discord.ui.Label(text=label, description=hint, component=self._box))
        self.add_item(discord.ui.TextDisplay(say(KEY_SHOWN)))

    async def on_submit(self, interaction: discord.Interaction[Rewarm]) -> None:  # type: ignore[override]
        """Check the permission once more: it may have been removed while the modal was open."""
        require_manager(interaction)
        key = parse_key(self._box.value)
        interaction.client.member_calls.count(interaction.guild_id or 0, interaction.user.id)
        say = interaction.client.languages.of(interaction.locale)
        deliver = interaction.client.responses
        defer = functools.partial(interaction.response.defer, ephemeral=True, thinking=True)
        await deliver.respond(interaction, defer)
        keys, who = interaction.client.keys, interaction.user
        checked = await keys.check(require_member(interaction), key)
        server = require_member(interaction)  # it may have removed us in the meantime
        what = What.KEY_SET if await keys.status(server) is None else What.KEY_REPLACED
        await keys.set(server, key, who.id, who.display_name, checked)
        interaction.client.moderators.changed(server, what, who.id, who.display_name)
        stored = key_stored(say, checked=checked.works)
        await deliver.say(interaction, f"{stored}{_balance(interaction, checked.balance)}")

    async def on_error(self, interaction: discord.Interaction[Rewarm], error: Exception) -> None:  # type: ignore[override]
        """Leave it to the one handler."""
        await interaction.client.tree.on_error(interaction, app_commands.AppCommandError(error))


class RemoveKeyButton(Press, template=REMOVE_KEY):
    """Removes the key; its question becomes the answer."""

    async def press(self, interaction: discord.Interaction[Rewarm]) -> None:
        """Check the permission once more."""
        require_manager(interaction)
        bot, server, who = interaction.client, interaction.guild_id or 0, interaction.user
        await bot.responses.respond(interaction, interaction.response.defer)
        existed = await bot.keys.remove(server)
        if existed is not False:
            bot.moderators.changed(server, What.KEY_REMOVED, who.id, who.display_name)
        say = bot.languages.of(interaction.locale)
        await bot.responses.say(interaction, key_removed(say, existed=existed))


def _balance(interaction: discord.Interaction[Rewarm], left: Balance | None) -> str:
    """Return the sentence, with a space before it; empty if nobody knows."""
    bot = interaction.client
    return "" if left is None else f" {balance_text(left, bot.now(), bot.languages.of(interaction.locale))}"


@app_commands.default_permissions(manage_guild=True)
class KeyCog(commands.GroupCog, group_name=n_("key"), group_description=n_("This server's API key")):
    """Manages a server's API key."""

    def __init__(self, bot: Rewarm) -> None:
        self.bot = bot

    @app_commands.command(name=n_("set"), description=n_("Set or replace this server's API key"))
    async def set_key(self, interaction: discord.Interaction[Rewarm]) -> None:
        require_manager(interaction)
        require_member(interaction)
        modal = KeyModal(self.bot.languages.of(interaction.locale))
        # discord.py keeps a form only after its response was seen to arrive: if that was slow or lost,
        # somebody's phone shows the form anyway.
        self.bot._connection.store_view(modal)  # noqa: SLF001
        show = functools.partial(interaction.response.send_modal, modal)
        await self.bot.responses.respond(interaction, show)

    @app_commands.command(name=n_("status"), description=n_("Show who set the API key and when"))
    async def status(self, interaction: discord.Interaction[Rewarm]) -> None:
        require_manager(interaction)
        server = interaction.guild_id or 0
        status = await self.bot.keys.status(server)
        say = self.bot.languages.of(interaction.locale)
        if status is None:
            text = no_key(say)
        elif status.tail is None:
            text = key_unreadable(say)
        else:
            defer = functools.partial(interaction.response.defer, ephemeral=True, thinking=True)
            await self.bot.responses.respond(interaction, defer)
            name, checked = plain_name(status.by_name), status.checked
            text = key_status(name, status.at, status.tail, status.host, say, checked=checked)
            text += await self._left(interaction, server, say)
        lately = events_text(await self.bot.store.events(server), say)
        text = f"{text}\n{lately}" if lately else text
        await self.bot.responses.say(interaction, text)

    async def _left(self, interaction: discord.Interaction[Rewarm], server: int, say: Language) -> str:
        """Return the sentence about the balance; past the limit of calls, when it works again."""
        try:
            self.bot.member_calls.count(server, interaction.user.id)
        except TooManyCalls as error:
            return f" {refusal(error, say, may_manage=True)}"
        return _balance(interaction, await self.bot.keys.balance(server))

    @app_commands.command(name=n_("remove"), description=n_("Delete this server's API key for good"))
    async def remove(self, interaction: discord.Interaction[Rewarm]) -> None:
        """Ask once more."""
        require_manager(interaction)
        say = self.bot.languages.of(interaction.locale)
        if await self._has_no_key(interaction.guild_id or 0):
            await self.bot.responses.say(interaction, key_removed(say, existed=False))
            return
        question = discord.ui.View(timeout=None)
        label, style = say(KEY_REMOVE), discord.ButtonStyle.danger
        question.add_item(discord.ui.Button(label=label, style=style, custom_id=REMOVE_KEY))
        question.stop()  # otherwise discord.py keeps it
        send = functools.partial(
            interaction.response.send_message, say(KEY_REMOVE_QUESTION), view=question, ephemeral=True
        )
        await self.bot.responses.respond(interaction, send)

    async def _has_no_key(self, server: int) -> bool:
        try:
            return await self.bot.store.key(server) is None
        except StoreTrouble:  # a key that may be there can be removed anyway
            return False


async def setup(bot: Rewarm) -> None:
    """Called by discord.py."""
    bot.add_dynamic_items(RemoveKeyButton)
    await bot.add_cog(KeyCog(bot))
