"""The command line's side of administration: what each command does and prints."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import discord

from bot.admin import person, store
from bot.admin.backups import back_up
from bot.admin.check import check
from bot.admin.init import init
from bot.admin.move import move
from bot.admin.servers import servers
from bot.admin.trouble import why
from bot.discord_api.trouble import TROUBLE
from bot.domain.errors import SettingsError
from bot.settings import load_settings
from bot.store.rows import EVENT, KEY, PAID, RELOAD, WATCH

_NOT_RIGHT = 1
_OF_PERSON = {
    person.DELETED: "reloads that nobody else requested (deleted)",
    RELOAD.word: "other reloads",
    KEY.word: "keys (they stay)",
    WATCH.word: "watched models",
    PAID.word: "test images from the last day",
    EVENT.word: "messages to moderators (they stay)",
}
"""What the self-hoster calls each kind of row."""


def _run(
    command: Callable[[argparse.Namespace], Coroutine[Any, Any, int]],
) -> Callable[[argparse.Namespace], int]:
    return lambda arguments: asyncio.run(command(arguments))


async def _check(arguments: argparse.Namespace) -> int:
    return 0 if await check(load_settings(), arguments.server) else _NOT_RIGHT


def _init(_: argparse.Namespace) -> int:
    init()
    return 0


def _backup(arguments: argparse.Namespace) -> int:
    try:
        settings = load_settings()
        if settings.store_url.get_secret_value():
            raise SettingsError(
                ["STORE_URL is a database. Copy it with pg_dump, even while the bot is running."]
            )
        if arguments.keep is not None:
            today = datetime.now(UTC).date()
            made = back_up(settings.data_dir, Path(arguments.file), arguments.keep, today)
            print(f"{made.path}: {made.size} bytes, checked. Old copies removed: {made.removed}.")  # noqa: T201
            return 0
        size = store.backup(settings.data_dir, Path(arguments.file))
    except OSError as error:
        raise SettingsError([f"{arguments.file} can't be written ({error.strerror})."]) from None
    print(f"{arguments.file}: {size} bytes, checked. To restore, put it into DATA_DIR as rewarm.db.")  # noqa: T201
    return 0


async def _forget(arguments: argparse.Namespace) -> int:
    if arguments.person is not None:
        return await _forget_person(arguments.person, is_rehearsal=arguments.dry_run)
    if arguments.dry_run:
        raise SettingsError(["--dry-run works only with --person."])
    reloads, had_key = await store.forget(load_settings(), arguments.server)
    had = "a key" if had_key else "no key"
    print(f"Deleted everything about server {arguments.server}: {reloads} reloads, {had}.")  # noqa: T201
    return 0


async def _forget_person(id_: int, *, is_rehearsal: bool) -> int:
    found = await person.forget(load_settings(), id_, is_rehearsal=is_rehearsal)
    done = "Would remove" if is_rehearsal else "Removed"
    said = [f"{found[what]} {words}" for what, words in _OF_PERSON.items() if found[what]]
    print(f"{done} {id_} from: {', '.join(said)}." if said else f"Nothing names {id_}.")  # noqa: T201
    if left := found[person.OPEN]:
        print(f"Left alone: {left} open reloads. Run the bot until they end (a day at most), then try again.")  # noqa: T201
    return _NOT_RIGHT if left and not is_rehearsal else 0


async def _move(_: argparse.Namespace) -> int:
    try:
        count = await move(load_settings())
    except asyncio.CancelledError:  # Ctrl-C
        print("Stopped. Run it again to continue.", file=sys.stderr)  # noqa: T201
        raise
    print(f"Copied and compared {count} rows. The file in DATA_DIR is unchanged; the bot now uses STORE_URL.")  # noqa: T201
    return 0


async def _servers(arguments: argparse.Namespace) -> int:
    try:
        return await servers(load_settings(), arguments.do or "list", getattr(arguments, "server", None))
    except discord.LoginFailure:
        raise
    except TROUBLE as error:
        print(why(error), file=sys.stderr)  # noqa: T201
        return _NOT_RIGHT


DO = {
    "check": _run(_check),
    "init": _init,
    "backup": _backup,
    "forget": _run(_forget),
    "move-store": _run(_move),
    "servers": _run(_servers),
}
"""What each command does. Each returns the exit status, and raises only errors that `bot.process` words."""
