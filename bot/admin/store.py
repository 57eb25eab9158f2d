"""The store's file from outside: looked at and copied while the bot runs, written only while it does not."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bot.errors import StoreUnusable
from bot.reload import Reload
from bot.store import file
from bot.store.base import KeyRow
from bot.store.embedded import EmbeddedStore


@contextmanager
def _opened(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open the file for reading. Raises StoreUnusable."""
    path = folder / file.NAME
    if not path.is_file():
        raise StoreUnusable(f"{path} does not exist: is DATA_DIR right, and has the bot been started once?")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            yield db
    except sqlite3.Error as error:
        raise StoreUnusable(f"{path} cannot be read: {error}") from None


def rows(folder: Path) -> dict[str, Reload | KeyRow | Any]:
    """All rows of the store by name, also while the bot runs. Raises StoreUnusable."""
    path = folder / file.NAME
    with _opened(folder) as db:
        try:
            return file.rows(db, path)
        except (ValueError, TypeError):
            raise StoreUnusable(f"{path} is damaged: restore a backup, or move it away") from None


def backup(folder: Path, target: Path) -> int:
    """Copy the store, whole and consistent, also while the bot runs; answers the copy's bytes.

    Raises StoreUnusable; FileExistsError and other OSErrors for the target.
    """
    with _opened(folder) as db:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with closing(sqlite3.connect(target)) as copy:
            db.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, not three
            if copy.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise StoreUnusable(f"{folder / file.NAME} is damaged: the copy is, too")
    return target.stat().st_size


async def forget(folder: Path, server: int) -> tuple[int, bool]:
    """Delete all of a server's data, bytes included; answers how many reloads, and whether a key, there were.

    Raises StoreUnusable while the bot runs: it holds all of it in memory.
    """
    store = EmbeddedStore(folder)
    try:
        reloads, key = await store.history(server), await store.key(server)
        await store.forget(server)
        return len(reloads), key is not None
    finally:
        store.close()
