"""`init`: asks for what is missing, makes the encryption key, and writes `.env`, readable by its owner."""

import asyncio
import getpass
import os
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import discord
from dotenv import dotenv_values

from bot.admin.arguments import as_typed
from bot.admin.env_file import ENV
from bot.admin.portal import open_portal
from bot.admin.trouble import why
from bot.discord_api.permissions import invitation
from bot.discord_api.trouble import TROUBLE
from bot.domain.errors import SettingsError
from bot.settings import load_settings
from bot.store import file
from bot.vault import new_encryption_key

_TOKEN, _KEYS = "DISCORD_TOKEN", "KEY_ENCRYPTION_KEYS"
_HEAD = (
    "# Written by `init`; docs/SETTINGS.md has all settings. Keep a copy of the encryption key elsewhere.\n"
)
_TRIES = 3
_SHAPE = r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"
"""The shape of a token: the application's ID, a time and a signature (Discord's page on authentication)."""
_MAX_TOKEN = 200


def init() -> None:
    """Ask, write, and print the invite link.

    It is not async, so that Ctrl-C ends it while it waits for input. Raises SettingsError.
    """
    known = {**_read_env(), **{name: value for name, value in os.environ.items() if value}}
    api_url = known.get("DISCORD_API_URL", "")
    new: dict[str, str] = {}
    if _TOKEN in known:
        _say(f"{_TOKEN}: already set.")
        application = asyncio.run(_application(known[_TOKEN], api_url))
    else:
        new[_TOKEN], application = _ask_for_token(api_url)
    if _KEYS in known:
        _say(f"{_KEYS}: already set.")
    else:
        new[_KEYS] = _make_key(Path(known.get("DATA_DIR", "data")))
        _say(f"{_KEYS}: created. Keep a copy somewhere else; without it the stored keys are lost.")
    if new:
        _write(new)
        _say(f"Written to {ENV}, which only you can read.")
    elif ENV.exists() and ENV.stat().st_mode & 0o077:
        ENV.chmod(0o600)
        _say(f"{ENV} was readable by others; now only you can read it.")
    if application is not None:
        _say(f"\nInvite the bot to a server:\n\n  {invitation(application)}\n")
    _say(_model_api())
    _say(f"Next: `{as_typed('check')}` checks your setup, `{as_typed('run')}` starts the bot.")


def _model_api() -> str:
    """Return where the servers' API keys will be sent, or what is wrong with the settings."""
    try:
        hosts = load_settings(ENV).model_api_hosts
    except SettingsError as error:
        return str(error)
    current, *others = (urlsplit(host).netloc for host in hosts.values())
    if not others:
        return f"Servers' API keys go to {current} only."
    return f"Servers' API keys go to {current}; any it rejects also go to {', '.join(others)}."


def _read_env() -> dict[str, str]:
    try:
        return {name: value for name, value in dotenv_values(ENV).items() if value}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise SettingsError(
            [f"{ENV} can't be read ({reason}). Move it out of the way and start again."]
        ) from None


def _make_key(folder: Path) -> str:
    if (folder / file.NAME).exists():
        missing = f"{_KEYS} is missing, but the store in {folder} was encrypted with one"
        lost = f"if you have lost it, move {folder} out of the way"
        raise SettingsError([f"{missing}. Put that key into {ENV}; {lost}."])
    return new_encryption_key()


def _ask_for_token(api_url: str) -> tuple[str, int | None]:
    for _ in range(_TRIES):
        token = _read_token()
        if not token:
            break
        try:
            return token, asyncio.run(_application(token, api_url))
        except SettingsError as error:
            _say(str(error))
    raise SettingsError(["Nothing was written: no valid token was entered."])


def _read_token() -> str:
    if sys.stdin is None:  # it has been closed
        return ""
    if sys.stdin.isatty():
        return getpass.getpass(
            "The bot's token (from discord.com/developers, under Bot; hidden while you type): "
        ).strip()
    return sys.stdin.readline().strip()


async def _application(token: str, api_url: str) -> int | None:
    """Return the application's ID, or None if Discord can't be asked.

    Raises SettingsError for a refused token.
    """
    if not re.fullmatch(_SHAPE, token) or len(token) > _MAX_TOKEN:
        raise SettingsError(
            [f"{_TOKEN}: that isn't a bot token (three parts with dots between them). Copy it again."]
        )
    refused = SettingsError([f"{_TOKEN}: Discord rejects this token. Copy it again."])
    try:
        async with open_portal(token, api_url) as portal:
            return portal.application_id
    except discord.LoginFailure:
        raise refused from None
    except TROUBLE as error:
        _say(f"The token wasn't checked: {why(error)}")
        _say(f"`{as_typed('check')}` does that later, and prints the invite link.")
        return None


def _write(new: dict[str, str]) -> None:
    """Put settings into `.env` and keep the rest of it: all or nothing, readable only by its owner."""
    part = ENV.with_name(f"{ENV.name}.part")
    try:
        lines = ENV.read_text("utf-8").splitlines() if ENV.exists() else [_HEAD]
        empty = tuple(f"{name}=" for name in new)
        kept = [line for line in lines if line.replace(" ", "") not in empty]
        part.unlink(missing_ok=True)
        opened = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(opened, "w", encoding="utf-8") as written:
            written.write("\n".join([*kept, *(f"{name}={value}" for name, value in new.items())]) + "\n")
        part.replace(ENV.resolve())
    except OSError as error:
        raise SettingsError([f"{ENV} can't be written ({error.strerror})."]) from None


def _say(text: str) -> None:
    print(text)  # noqa: T201
