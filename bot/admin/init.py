"""`init`: asks for what is missing, makes the encryption key, and writes `.env` for its owner's eyes only."""

import asyncio
import getpass
import os
import sys
from pathlib import Path

import discord
from dotenv import dotenv_values

from bot.admin.portal import open_portal
from bot.errors import SettingsError
from bot.invite import invitation
from bot.trace import TROUBLE
from bot.vault import new_encryption_key

ENV = Path(".env")
_TOKEN, _KEYS = "DISCORD_TOKEN", "KEY_ENCRYPTION_KEYS"
_HEAD = (
    "# Made by `init`. README.md says what else can be set. Keep a copy of the encryption key elsewhere.\n"
)
_TRIES = 3


async def init(api_url: str) -> None:
    """Ask, write, and print the invite link. Raises SettingsError."""
    known = {name: value for name, value in dotenv_values(ENV).items() if value}
    new: dict[str, str] = {}
    token = known.get(_TOKEN) or os.environ.get(_TOKEN)
    if token:
        _say(f"{_TOKEN}: there already.")
        application = await _application(token, api_url)
    else:
        new[_TOKEN], application = await _ask_for_token(api_url)
    if known.get(_KEYS) or os.environ.get(_KEYS):
        _say(f"{_KEYS}: there already.")
    else:
        new[_KEYS] = new_encryption_key()
        _say(f"{_KEYS}: made. Keep a copy elsewhere: without it the stored keys are lost.")
    if new:
        _write(new)
        _say(f"Written to {ENV}, which only you can read.")
    if application is not None:
        _say(f"\nInvite the bot to a server:\n\n  {invitation(application)}\n")
    _say("Then: `check` looks whether all is right, `run` starts the bot.")


async def _ask_for_token(api_url: str) -> tuple[str, int | None]:
    for _ in range(_TRIES):
        token = await asyncio.to_thread(_read_token)
        if not token:
            break
        try:
            return token, await _application(token, api_url)
        except SettingsError as error:
            _say(str(error))
    raise SettingsError(["Nothing was written: there is no token that Discord takes."])


def _read_token() -> str:
    if sys.stdin.isatty():
        return getpass.getpass(
            "The bot's token (from discord.com/developers, under Bot; not shown): "
        ).strip()
    return sys.stdin.readline().strip()


async def _application(token: str, api_url: str) -> int | None:
    """The application's id; None where Discord cannot be asked. Raises SettingsError for a refused token."""
    try:
        async with open_portal(token, api_url) as portal:
            return portal.application_id
    except (discord.LoginFailure, ValueError):
        raise SettingsError([f"{_TOKEN}: Discord refuses this token. Copy it once more."]) from None
    except TROUBLE as error:
        _say(f"Discord cannot be asked now ({type(error).__name__}); `check` prints the invite link later.")
        return None


def _write(new: dict[str, str]) -> None:
    """Put settings into `.env`, keeping what else is in it; whole or not at all, for its owner only."""
    lines = ENV.read_text("utf-8").splitlines() if ENV.exists() else [_HEAD]
    kept = [line for line in lines if line.partition("=")[0].strip() not in new]
    text = "\n".join([*kept, *(f"{name}={value}" for name, value in new.items())]) + "\n"
    part = ENV.with_name(f"{ENV.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(ENV)


def _say(text: str) -> None:
    print(text)  # noqa: T201
