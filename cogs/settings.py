"""/settings: one private panel for moderators."""

from dataclasses import asdict, replace
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot import view
from bot.app import Rewarm
from bot.discord_api.permissions import may_write
from bot.domain.custom_ids import SETTING
from bot.domain.events import What
from bot.domain.rows import TESTS_PER_DAY, ServerSettings
from bot.languages import NAMES
from bot.words.language import n_
from cogs.checks import require_manager
from cogs.press import Press, show_in_private, values_of


class SettingMenu(Press, template=SETTING):
    """Stores what was chosen."""

    async def press(self, interaction: discord.Interaction[Rewarm]) -> None:
        """Check the permission once more, store it, show the panel again."""
        require_manager(interaction)
        store, server = interaction.client.store, interaction.guild_id or 0
        what, who, before = self.match["what"], interaction.user, await store.settings(server)
        after = replace(before, **_changes(what, values_of(interaction), _resolved(interaction)))
        changes = {name: value for name, value in asdict(after).items() if getattr(before, name) != value}
        if changes:
            after = await store.change_settings(server, **changes)
            left = before.news_channel if what == "news" else None
            moderators = interaction.client.moderators
            moderators.changed(server, What.SETTING, who.id, who.display_name, what, left)
        await _show(interaction, after)


def _resolved(interaction: discord.Interaction[Rewarm]) -> dict[str, Any]:
    """Return the chosen channels by ID, as Discord sends them: even those that are hidden from the bot."""
    data: Any = interaction.data or {}
    channels = data.get("resolved", {}).get("channels", {})
    return channels if isinstance(channels, dict) else {}


def _changes(what: str, values: list[str], channels: dict[str, Any]) -> dict[str, Any]:
    """Return the changes that a choice makes; a channel that Discord doesn't name with it doesn't count."""
    value = values[0] if values else ""
    match what:
        case "ping":
            return {"quiet": value == "some"}
        case "language":
            return {"language": value if value in NAMES else ""}
        case "tests":
            chosen = {str(most): most for most in view.TESTS_CHOICES}
            return {"tests_per_day": chosen.get(value, TESTS_PER_DAY)}
        case "news":
            return {"news_channel": int(value) if value in channels else None}
        case _:
            return {"ledger_channel": int(value) if value in channels else None}


async def _show(interaction: discord.Interaction[Rewarm], chosen: ServerSettings) -> None:
    bot = interaction.client
    say = bot.languages.of(interaction.locale)
    may_announce = _may_write(interaction, chosen.ledger_channel)
    may_tell = _may_write(interaction, chosen.news_channel)
    panel = view.settings_panel(chosen, say, may_write=may_announce, may_tell=may_tell)
    await show_in_private(interaction, panel)


def _may_write(interaction: discord.Interaction[Rewarm], channel: int | None) -> bool:
    """Return whether the bot may write in a chosen channel: by Discord's word, else by what it can see."""
    if channel is None:
        return True
    named = _resolved(interaction).get(str(channel), {}).get("app_permissions")
    if named is not None:
        has = discord.Permissions(int(named))
        return has.view_channel and has.send_messages
    seen = may_write(interaction, channel)
    if seen is None:  # deleted; or, in a server that isn't known yet, the first message will tell
        return interaction.client.get_guild(interaction.guild_id or 0) is None
    return seen


@app_commands.default_permissions(manage_guild=True)
class SettingsCog(commands.Cog):
    """Manages a server's settings."""

    def __init__(self, bot: Rewarm) -> None:
        self.bot = bot

    @app_commands.command(
        name=n_("settings"),
        description=n_("Pings, language, test images, and where to announce cold models"),
    )
    @app_commands.default_permissions(manage_guild=True)
    async def settings(self, interaction: discord.Interaction[Rewarm]) -> None:
        """Show the panel."""
        require_manager(interaction)
        await _show(interaction, await self.bot.store.settings(interaction.guild_id or 0))


async def setup(bot: Rewarm) -> None:
    """Called by discord.py."""
    bot.add_dynamic_items(SettingMenu)
    await bot.add_cog(SettingsCog(bot))
