"""The common part of all buttons and menus: found by their custom ID, before and after a restart."""

import functools
import re
from typing import Any, Self

import discord
import structlog

from bot.app import Rewarm
from bot.domain.errors import Forgotten
from bot.domain.reload import Asker, Reload
from cogs.error_handler import errors_shown


class Press(discord.ui.DynamicItem[Any], template="(?!)"):
    """A press whose custom ID matches a subclass's template; `match` is what the ID carries."""

    def __init__(self, item: discord.ui.Item[Any], match: re.Match[str]) -> None:
        super().__init__(item)
        self.match = match

    @classmethod
    async def from_custom_id(
        cls,
        interaction: discord.Interaction[Any],  # noqa: ARG003  # as discord.py calls it
        item: discord.ui.Item[Any],
        match: re.Match[str],
        /,
    ) -> Self:
        """Called by discord.py."""
        return cls(item, match)

    async def callback(self, interaction: discord.Interaction[Rewarm]) -> None:  # type: ignore[override]
        """Called by discord.py."""
        await errors_shown(interaction, self.press(interaction))

    async def press(self, interaction: discord.Interaction[Rewarm]) -> None:
        """Look up what is stored, and do it."""
        raise NotImplementedError


def values_of(interaction: discord.Interaction[Rewarm]) -> list[str]:
    """Return the choices in a menu, as Discord sent them."""
    data: Any = interaction.data or {}
    values = data.get("values", [])
    return [str(value) for value in values] if isinstance(values, list) else []


def asker_of(interaction: discord.Interaction[Rewarm]) -> Asker:
    """Return who asks here."""
    return Asker(interaction.user.id, interaction.channel_id or 0, interaction.token)


async def known_reload(interaction: discord.Interaction[Rewarm], id_: int) -> Reload:
    """Return the reload of a press or a form, in that person's server. Raises Forgotten."""
    structlog.contextvars.bind_contextvars(reload=id_)
    reload = await interaction.client.store.find(interaction.guild_id or 0, id_)
    if reload is None:
        raise Forgotten
    return reload


async def show_in_private(interaction: discord.Interaction[Rewarm], layout: discord.ui.LayoutView) -> None:
    """Show a layout to one person: in place if they pressed something in it, else as a new message."""
    quiet = discord.AllowedMentions.none()
    if interaction.type is discord.InteractionType.component:
        # An edit notifies nobody, and anyone it doesn't allow reads as @unknown-user.
        named = discord.AllowedMentions(everyone=False, roles=False, users=True)
        show = functools.partial(interaction.response.edit_message, view=layout, allowed_mentions=named)
    else:
        show = functools.partial(
            interaction.response.send_message, view=layout, ephemeral=True, allowed_mentions=quiet
        )
    await interaction.client.responses.respond(interaction, show)
