"""`check`: prints one line for each thing that can be wrong, with how to fix it. It changes nothing."""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import discord
from pydantic import SecretStr

from bot.admin import store
from bot.admin.env_file import faults
from bot.admin.portal import Portal, open_portal
from bot.admin.trouble import why
from bot.discord_api.logins import no_logins
from bot.discord_api.permissions import NEEDED, invitation
from bot.discord_api.trouble import TROUBLE
from bot.domain.errors import DatabaseEmpty, SealBroken, StoreTrouble
from bot.keys import PURPOSE
from bot.model_api.client import KeyCheck, open_session
from bot.model_api.hosts import Hosts
from bot.settings import Settings
from bot.store import file
from bot.store.base import ENCRYPTION_CHECK
from bot.vault import Vault

FREE_BYTES = 100 * 2**20
MAX_SKEW = 2.0
LOGINS_LEFT = 50
CHECK_TIMEOUT = 20.0
_INVENTED = SecretStr("rewarm-check-of-the-connection")
_SHOWN_CHANNELS = 5
_HELLO = 10
_WRITTEN = (discord.ChannelType.text.value, discord.ChannelType.news.value)


class NotRightError(Exception):
    """Something is wrong; the message says what, and how to fix it."""


Check = Callable[[], Awaitable[str]]


async def check(settings: Settings, server: int | None) -> bool:
    """Print a line for each check; True if all is well."""
    results = [line async for line in _lines(settings, server)]
    return all(results)


async def _lines(settings: Settings, server: int | None) -> AsyncIterator[bool]:
    given = sorted(name.upper() for name in settings.model_fields_set)
    wrong = await asyncio.to_thread(faults)
    yield _say("settings", wrong or f"OK (set: {', '.join(given)})", is_well=not wrong)
    yield await _report("disk", lambda: asyncio.to_thread(_disk, settings.data_dir))
    yield await _report("store", lambda: _store(settings), limit=None)  # a large one takes long
    yield await _report("model API", lambda: _model_api(settings))
    try:
        async with open_portal(settings.discord_token.get_secret_value(), settings.discord_api_url) as portal:
            yield _say("token", f"{portal.user}", is_well=True)
            yield await _report("clock", lambda: _clock(portal))
            yield await _report("application", lambda: _application(portal))
            yield await _report("gateway", lambda: _gateway(portal))
            if server is not None:
                yield await _report("server", lambda: _server(portal, server))
    except discord.LoginFailure:
        yield _say("token", "Discord rejects it. Copy it again from the developer portal.", is_well=False)
    except TROUBLE as error:
        yield _say("token", why(error), is_well=False)


async def _report(what: str, check: Check, limit: float | None = CHECK_TIMEOUT) -> bool:
    try:
        async with asyncio.timeout(limit):
            found = await check()
    except NotRightError as error:
        return _say(what, str(error), is_well=False)
    except TROUBLE as error:
        return _say(what, why(error), is_well=False)
    return _say(what, found, is_well=True)


def _say(what: str, text: str, *, is_well: bool) -> bool:
    can_show = (
        "utf" in getattr(sys.stdout, "encoding", "").lower()
    )  # else both marks would be a question mark
    well, wrong = ("✓", "✗") if can_show else ("ok", "WRONG")
    print(f"{well if is_well else wrong} {what}: {text}")  # noqa: T201
    return is_well


def _disk(folder: Path) -> str:
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise NotRightError(f"{place} isn't a folder this user can write to. Is DATA_DIR right?")
    free = shutil.disk_usage(place).free
    if free < FREE_BYTES:
        raise NotRightError(
            f"{free >> 20} MB free at {place}. Free some space: below 100 MB writes may fail."
        )
    return f"{free >> 20} MB free at {place}"


async def _store(settings: Settings) -> str:
    path = settings.data_dir / file.NAME
    try:
        if not settings.store_url.get_secret_value() and not path.exists():
            return f"none in {settings.data_dir} yet; the first start creates it"
        await store.rehearse(settings)
        found = await store.look(settings)
    except OSError as error:
        raise NotRightError(
            f"{settings.data_dir}: {error.strerror}. Run this as the bot's own user, or as root."
        ) from None
    except DatabaseEmpty as error:
        if path.exists():
            raise NotRightError(
                f"{error}. To keep using {settings.data_dir}'s rows, run move-store."
            ) from None
        return f"{error}"
    except StoreTrouble as error:
        raise NotRightError(f"{error}.") from None
    vault, broken = Vault(settings.encryption_keys), []
    try:
        vault.open(ENCRYPTION_CHECK, "", found.encryption_check)
    except SealBroken:
        raise NotRightError("encrypted with a different key. Put the old KEY_ENCRYPTION_KEYS back.") from None
    for server, row in found.keys.items():
        try:
            vault.open(PURPOSE, str(server), row.sealed)
        except SealBroken:
            broken.append(str(server))
    if broken:
        raise NotRightError(
            f"{len(broken)} of {len(found.keys)} keys can't be decrypted with KEY_ENCRYPTION_KEYS. Put the "
            f"old one back, or ask these servers to set their keys again: {', '.join(broken[:5])}."
        )
    return f"{found.reloads} reloads, {len(found.keys)} keys, all readable"


async def _model_api(settings: Settings) -> str:
    if _is_readable_on_the_way(settings.model_api_url):
        raise NotRightError("MODEL_API_URL is http: anyone along the way can read the keys. Use https.")
    async with open_session() as session:
        hosts = Hosts(session, settings.model_api_hosts)
        current = hosts.current
        said, trouble, _ = await current.check_key(_INVENTED)
        others = [(other.host, await other.check_key(_INVENTED)) for other in hosts.others(current)]
    if said is KeyCheck.VALID:
        raise NotRightError(f"{current.host} accepts a made-up key. Is MODEL_API_URL right?")
    if said is KeyCheck.COULD_NOT_CHECK:
        raise NotRightError(f"{current.host} {trouble.what}. {trouble.cure}")
    answers = [f"{current.host} answers, and rejects a made-up key as it should"]
    for host, (said, trouble, _) in others:
        as_well = "does the same" if said is KeyCheck.INVALID else trouble.what
        answers.append(f"{host}, which is asked about keys that the first one rejects, {as_well}")
    return "; ".join(answers)


def _is_readable_on_the_way(url: str) -> bool:
    to = urlsplit(url)
    host = to.hostname or ""
    return to.scheme == "http" and host != "localhost" and not host.startswith("127.") and host != "::1"


async def _clock(portal: Portal) -> str:
    behind = portal.behind
    if behind is None:
        raise NotRightError("Discord didn't say what time it is.")
    if abs(behind) > MAX_SKEW:
        raise NotRightError(
            f"{abs(behind):.0f} s {'behind' if behind > 0 else 'ahead of'} Discord's. Let NTP set it, "
            "or countdowns and ready times will be wrong."
        )
    return "accurate to within 2 s"


async def _application(portal: Portal) -> str:
    info = portal.application or await portal.application_info()
    if info.interactions_endpoint_url:
        raise NotRightError(
            "has an Interactions Endpoint URL, so Discord sends commands there and not to the bot. Clear it "
            "in the developer portal, under General Information."
        )
    if info.bot_require_code_grant:
        raise NotRightError(
            "requires a code grant, so the invite link doesn't work. Turn it off under Bot in the portal."
        )
    public = "public" if info.bot_public else "private: only you can invite it"
    return f"{info.name}, {public}; invite it with {invitation(info.id)}"


async def _gateway(portal: Portal) -> str:
    shards, url, logins = await portal.http.get_bot_gateway()
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}?v=10&encoding=json") as socket:
        hello = await socket.receive_json(timeout=CHECK_TIMEOUT)
    if hello.get("op") != _HELLO:
        raise NotRightError("the gateway doesn't answer. Is a proxy or firewall in the way?")
    left, resets = logins["remaining"], time.time() + logins["reset_after"] / 1000
    if left <= 0:
        raise NotRightError(
            f"{no_logins(resets)}, and the bot waits for that. Is something restarting it over and over?"
        )
    if left < LOGINS_LEFT:
        raise NotRightError(
            f"only {left} logins are left today. Is something restarting the bot over and over?"
        )
    return f"answers; Discord recommends {shards} shard{'s' * (shards > 1)}; {left} logins left today"


async def _server(portal: Portal, server: int) -> str:
    try:
        guild = await portal.fetch_guild(server)
        me = await guild.fetch_member(portal.user.id if portal.user else 0)
        channels = await portal.http.get_all_guild_channels(server)
    except (discord.NotFound, discord.Forbidden):
        link = invitation(portal.application_id or 0, server)
        raise NotRightError(f"the bot isn't in server {server}. Invite it: {link}") from None
    # Since November 2026 Discord leaves out, without saying so, what the bot may not view; and discord.py
    # skips channels whose type it doesn't know.
    state = portal._connection  # noqa: SLF001
    written = [
        discord.TextChannel(state=state, guild=guild, data=c) for c in channels if c["type"] in _WRITTEN
    ]
    lacking = [
        f"#{channel.name} ({', '.join(missing)})"
        for channel in written
        if (missing := _missing(channel.permissions_for(me)))
    ]
    if not written:
        raise NotRightError(
            f"in {guild.name} the bot can't see any text channel. Give it View Channel where you want to use "
            "it: without that, countdowns and pings work for 14 minutes only."
        )
    if lacking:
        more = f" and {len(lacking) - _SHOWN_CHANNELS} more" if len(lacking) > _SHOWN_CHANNELS else ""
        raise NotRightError(
            f"in {guild.name} the bot lacks permissions in {', '.join(lacking[:_SHOWN_CHANNELS])}{more}. "
            "Countdowns still work there; pings come as follow-ups, for up to 14 minutes."
        )
    return (
        f"in {guild.name} the bot has its permissions in every text channel it can see "
        f"({len(written)}). Discord doesn't say whether there are others"
    )


def _missing(has: discord.Permissions) -> list[str]:
    return [shown for name, shown in NEEDED.items() if not getattr(has, name)]
