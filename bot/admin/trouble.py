"""Explains, in words for a terminal, why Discord could not be reached."""

import aiohttp
import discord

from bot.discord_api.trouble import DownError, LimitedError, NotDiscordError


def why(error: Exception) -> str:
    """Return what happened, and what to do about it."""
    match error:
        case LimitedError():
            wait = f"{error.wait:.0f} s" if error.wait else "an hour"
            return f"Discord wants us to slow down (429). Wait {wait}. Is something else here calling it?"
        case DownError() | discord.DiscordServerError():
            return f"Discord is having problems (status {error.status}). Try again later."
        case discord.HTTPException():
            return f"Discord rejects that (status {error.status})."
        case NotDiscordError():
            return "Discord didn't answer; a web page did. Is a proxy or firewall in the way?"
        case TimeoutError():
            return "Discord didn't answer in time. Can this machine reach discord.com?"
        case aiohttp.ClientConnectorDNSError():
            return "Discord's address can't be looked up. Is this machine online?"
        case aiohttp.ClientSSLError():
            return "Discord's certificate isn't trusted. Is a proxy in the way, or the clock wrong?"
        case OSError() | aiohttp.ClientConnectionError():
            return "Discord can't be reached. Is this machine online, and can it reach discord.com?"
    return "Discord gave an answer the bot doesn't understand. Is a proxy or firewall in the way?"
