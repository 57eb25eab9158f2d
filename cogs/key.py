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


class KeyModal(discord.ui.Modal, title=words.KEY_TITLE):
    """Asks for the key where nobody else sees it."""

    key: discord.ui.Label["KeyModal"] = discord.ui.Label(
        text=words.KEY_LABEL,
        description=words.KEY_HINT,
        # Longer than a key may be, so that surrounding space does not count.
        component=discord.ui.TextInput(max_length=2 * LONGEST_KEY, custom_id="key"),
    )

    async def on_submit(self, interaction: discord.Interaction[Rewarm]) -> None:  # type: ignore[override]
        """Check the right once more: it may have been taken away while the modal was open."""
        require_manager(interaction)
        box = self.key.component
        key = parse_key(box.value if isinstance(box, discord.ui.TextInput) else "")
        deliver = interaction.client.delivery
        defer = functools.partial(interaction.response.defer, ephemeral=True, thinking=True)
        await deliver.first_answer(interaction, defer)
        keys, who = interaction.client.keys, interaction.user
        checked = await keys.check(key)
        server = require_member(interaction)  # it may have removed us meanwhile, and is forgotten
        await keys.set(server, key, who.id, who.display_name)
        await deliver.say(interaction, words.key_stored(checked=checked))

    async def on_error(self, interaction: discord.Interaction[Rewarm], error: Exception) -> None:  # type: ignore[override]
        """Leave it to the one handler."""
        await interaction.client.tree.on_error(interaction, app_commands.AppCommandError(error))


@app_commands.default_permissions(manage_guild=True)
@app_commands.allowed_installs(guilds=True, users=False)
@app_commands.allowed_contexts(guilds=True, dms=False, private_channels=False)
class KeyCog(commands.GroupCog, group_name="key", group_description="This server's API key"):
    """Keeps a server's API key."""

    def __init__(self, bot: Rewarm) -> None:
        self.bot = bot

    @app_commands.command(name="set", description="Store or replace this server's API key")
    async def set_key(self, interaction: discord.Interaction[Rewarm]) -> None:
        require_manager(interaction)
        require_member(interaction)
        modal = KeyModal(timeout=FORM_SECONDS)
        # discord.py keeps a form only once it has seen its answer arrive: one whose answer was slow or lost
        # is open on somebody's phone all the same.
        self.bot._connection.store_view(modal)  # noqa: SLF001
        show = functools.partial(interaction.response.send_modal, modal)
        await self.bot.delivery.first_answer(interaction, show)

    @app_commands.command(name="status", description="Who set this server's API key, and when")
    async def status(self, interaction: discord.Interaction[Rewarm]) -> None:
        require_manager(interaction)
        status = await self.bot.keys.status(interaction.guild_id or 0)
        command = self.bot.command_mention
        if status is None:
            text = words.no_key(command)
        elif status.tail is None:
            text = words.key_unreadable(command)
        else:
            text = words.key_status(
                escape_mentions(escape_markdown(status.by_name)), status.at, status.tail, command
            )
        await self.bot.delivery.say(interaction, text)

    @app_commands.command(name="remove", description="Delete this server's API key for good")
    async def remove(self, interaction: discord.Interaction[Rewarm]) -> None:
        require_manager(interaction)
        defer = functools.partial(interaction.response.defer, ephemeral=True, thinking=True)
        await self.bot.delivery.first_answer(interaction, defer)
        existed = await self.bot.keys.remove(interaction.guild_id or 0)
        await self.bot.delivery.say(interaction, words.key_removed(existed=existed))


async def setup(bot: Rewarm) -> None:
    """Called by discord.py."""
    await bot.add_cog(KeyCog(bot))
