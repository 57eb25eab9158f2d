"""Explains, in words for a terminal, why Discord could not be asked."""

import aiohttp
import discord

from bot.discord_api.trouble import DownError, LimitedError, NotDiscordError


def why(error: Exception) -> str:
    """Return what happened, and what to do about it."""
    match error:
        case LimitedError():
            wait = f"{error.wait:.0f} s" if error.wait else "an hour"
            return f"Discord asks to slow down (429). Wait {wait}; does something else here call it?"
        case DownError() | discord.DiscordServerError():
            return f"Discord is in trouble (status {error.status}). Try again in a while."
        case discord.HTTPException():
            return f"Discord refuses that (status {error.status})."
        case NotDiscordError():
            return "a web page answers, not Discord. Is a proxy or a firewall in between?"
        case TimeoutError():
            return "no answer in time. May this machine reach discord.com?"
        case aiohttp.ClientConnectorDNSError():
            return "its name cannot be looked up. Is this machine online?"
        case aiohttp.ClientSSLError():
            return "its certificate is not trusted. Is a proxy in between, or the clock wrong?"
        case OSError() | aiohttp.ClientConnectionError():
            return "it cannot be reached. Is this machine online, may it reach discord.com?"
    return "an answer that the bot does not understand. Is a proxy or a firewall in between?"
