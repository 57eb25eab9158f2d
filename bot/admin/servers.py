"""`servers`: which ones the bot is in; leave one, block one. For owners of public bots."""

import asyncio

import discord

from bot.admin import store
from bot.admin.portal import Portal, open_portal
from bot.settings import Settings
from bot.store.blocklist import Blocklist

COMMAND_TIMEOUT = 120.0


async def servers(settings: Settings, do: str, server: int | None) -> int:
    """List, leave, block or unblock; return the exit status."""
    if not settings.store_url.get_secret_value():
        store.path_of(settings.data_dir)  # a list in a wrong folder would block nobody
    blocked = Blocklist(settings.data_dir)
    if do == "unblock":
        blocked.remove(server or 0)
        _say(f"{server} can invite the bot again.")
        return 0
    portal_of = open_portal(settings.discord_token.get_secret_value(), settings.discord_api_url)
    async with asyncio.timeout(COMMAND_TIMEOUT), portal_of as portal:
        if do == "list":
            await _list(portal, settings, blocked)
            return 0
        if do == "block":
            blocked.add(server or 0)  # first: it may be invited again at once
            _say(f"{server} is blocked: whenever it invites the bot, the bot leaves.")
        return await _leave(portal, server or 0, was_blocked=do == "block")


async def _list(portal: Portal, settings: Settings, blocked: Blocklist) -> None:
    keys = (await store.look(settings)).keys
    count = 0
    async for guild in portal.fetch_guilds(limit=None, with_counts=True):
        count += 1
        members = f"{guild.approximate_member_count or '?'} members"
        _say(f"{guild.id}  {members:>16}  {'key' if guild.id in keys else '   '}  {guild.name}")
    _say(f"{count} server{'s' * (count != 1)}.")
    for server in sorted(blocked.all()):
        _say(f"{server}  blocked")


async def _leave(portal: Portal, server: int, *, was_blocked: bool) -> int:
    try:
        await portal.http.leave_guild(server)
    except discord.NotFound:
        _say(f"The bot isn't in {server}.")
        return 0 if was_blocked else 1
    _say(f"The bot has left {server}. If it is running, it deletes what it kept about that server;")
    _say(f"otherwise run `forget {server}`.")
    return 0


def _say(text: str) -> None:
    print(text)  # noqa: T201
