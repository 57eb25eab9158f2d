"""Pure: a Reload and a time → the Components V2 layout of its reply."""

import discord

from bot import words
from bot.reload import Ending, Reload

_ACCENTS = {
    None: discord.Colour.blurple(),
    Ending.READY: discord.Colour.green(),
    Ending.FAILED: discord.Colour.red(),
    Ending.UNKNOWN: discord.Colour.gold(),
}


def render(reload: Reload, now: float, command: words.Command) -> discord.ui.LayoutView:
    """Lay out the reply of a reload as it stands at `now` (seconds since 1970, UTC)."""
    view = discord.ui.LayoutView(timeout=None)
    text: discord.ui.TextDisplay[discord.ui.LayoutView] = discord.ui.TextDisplay(
        words.reply(reload, now, command)
    )
    view.add_item(discord.ui.Container(text, accent_colour=_ACCENTS[reload.ending]))
    return view
