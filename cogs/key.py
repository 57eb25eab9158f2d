"""/key set, status, remove: for those with the Manage Server permission, in private."""

import functools

import discord
from discord import app_commands
from discord.ext import commands
from discord.utils import escape_markdown, escape_mentions

from bot import words
from bot.app import Rewarm
from bot.errors import NotAllowed, NotAMember
from bot.invite import invitation
from bot.keys import LONGEST_KEY, parse_key
from bot.words.language import n_

FORM_SECONDS = 900.0
"""How long an open form is waited for."""


def require_manager(interaction: discord.Interaction[Rewarm]) -> None:
    """Check the right when a command runs: hiding the command is only a default. Raises NotAllowed."""
    if not interaction.permissions.manage_guild:
        raise NotAllowed


def require_member(interaction: discord.Interaction[Rewarm]) -> int:
    """The id of a server that the bot is a member of. Raises NotAMember."""
    bot, server = interaction.client, interaction.guild_id or 0
    if bot.get_guild(server) is None:
        raise NotAMember(invitation(bot.application_id or 0, server))
    return server


class KeyModal(discord.ui.Modal):
    """Asks for the key where nobody else sees it."""

    def __init__(self, say: words.Language) -> None:
        super().__init__(title=say(words.KEY_TITLE), timeout=FORM_SECONDS)
        # Longer than a key may be, so that surrounding space does not count.
        self._box: discord.ui.TextInput[KeyModal] = discord.ui.TextInput(
            max_length=2 * LONGEST_KEY, custom_id="key"
        )
        label, hint = say(words.KEY_LABEL), say(words.KEY_HINT)
        self.add_item(discord.ui.Label(text=label, description=hint, component=self._box))

    async def on_submit(self, interaction: discord.Interaction[Rewarm]) -> None:  # type: ignore[override]
        """Check the right once more: it may have been taken away while the modal was open."""
        require_manager(interaction)
        key = parse_key(self._box.value)
        say = interaction.client.languages.of(interaction.locale)
        deliver = interaction.client.delivery
        defer = functools.partial(interaction.response.defer, ephemeral=True, thinking=True)
        await deliver.first_answer(interaction, defer)
        keys, who = interaction.client.keys, interaction.user
        checked = await keys.check(key)
        server = require_member(interaction)  # it may have removed us meanwhile, and is forgotten
        await keys.set(server, key, who.id, who.display_name)
        await deliver.say(interaction, words.key_stored(say, checked=checked))

    async def on_error(self, interaction: discord.Interaction[Rewarm], error: Exception) -> None:  # type: ignore[override]
        """Leave it to the one handler."""
        await interaction.client.tree.on_error(interaction, app_commands.AppCommandError(error))


@app_commands.default_permissions(manage_guild=True)
@app_commands.allowed_installs(guilds=True, users=False)
@app_commands.allowed_contexts(guilds=True, dms=False, private_channels=False)
class KeyCog(commands.GroupCog, group_name=n_("key"), group_description=n_("This server's API key")):
    """Keeps a server's API key."""

    def __init__(self, bot: Rewarm) -> None:
        self.bot = bot

    @app_commands.command(name=n_("set"), description=n_("Store or replace this server's API key"))
    async def set_key(self, interaction: discord.Interaction[Rewarm]) -> None:
        require_manager(interaction)
        require_member(interaction)
        modal = KeyModal(self.bot.languages.of(interaction.locale))
        # discord.py keeps a form only once it has seen its answer arrive: one whose answer was slow or lost
        # is open on somebody's phone all the same.
        self.bot._connection.store_view(modal)  # noqa: SLF001
        show = functools.partial(interaction.response.send_modal, modal)
        await self.bot.delivery.first_answer(interaction, show)

    @app_commands.command(name=n_("status"), description=n_("Who set this server's API key, and when"))
    async def status(self, interaction: discord.Interaction[Rewarm]) -> None:
        require_manager(interaction)
        status = await self.bot.keys.status(interaction.guild_id or 0)
        say = self.bot.languages.of(interaction.locale)
        if status is None:
            text = words.no_key(say)
        elif status.tail is None:
            text = words.key_unreadable(say)
        else:
            text = words.key_status(
                escape_mentions(escape_markdown(status.by_name)), status.at, status.tail, say
            )
        await self.bot.delivery.say(interaction, text)

    @app_commands.command(name=n_("remove"), description=n_("Delete this server's API key for good"))
    async def remove(self, interaction: discord.Interaction[Rewarm]) -> None:
        require_manager(interaction)
        defer = functools.partial(interaction.response.defer, ephemeral=True, thinking=True)
        await self.bot.delivery.first_answer(interaction, defer)
        existed = await self.bot.keys.remove(interaction.guild_id or 0)
        say = self.bot.languages.of(interaction.locale)
        await self.bot.delivery.say(interaction, words.key_removed(say, existed=existed))


async def setup(bot: Rewarm) -> None:
    """Called by discord.py."""
    await bot.add_cog(KeyCog(bot))
