"""The embedded store's file: claimed by one process, checked and read before anything else opens it."""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TextIO

import orjson
from pydantic import ValidationError

from bot.domain.errors import StoreUnusable
from bot.store.rows import VALUE, StoredRow, kind_of, unpack

NAME = "rewarm.db"
FORMAT = 2
"""The version of the rows; a store of a newer one is refused. 1 had no calls that cost, no events."""
FORMAT_ADDRESS = VALUE.address(name="format")

_TABLE = "CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value BLOB)"
"""As sqlitedict makes it."""
_LIVE = "SELECT key, value FROM kv WHERE value IS NOT NULL"
"""A row that is gone has no value; it is swept away with the next wipe."""


@contextmanager
def trouble(folder: Path) -> Iterator[None]:
    """Turn what goes wrong while opening into StoreUnusable, which says what to do."""
    path = folder / NAME
    try:
        yield
    except BlockingIOError:
        raise StoreUnusable(f"{path} is in use by another bot: stop that one first") from None
    except OSError as error:
        why = f"{path} cannot be opened ({error.strerror})"
        raise StoreUnusable(f"{why}: choose a folder that the bot may write to") from None
    except (sqlite3.Error, RuntimeError) as error:
        raise StoreUnusable(f"{path} cannot be opened: {error}") from None


def claim(folder: Path) -> TextIO:
    """Make the folder and the file if need be, readable by their owner only; return the lock.

    Raises StoreUnusable, OSError; BlockingIOError where another process holds it.
    """
    _make(folder)
    lock = _private(folder / f"{NAME}.lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _private(folder / NAME).close()  # SQLite gives its helper files the same mode
    except OSError:
        lock.close()
        raise
    return lock


def read(path: Path) -> dict[str, StoredRow]:
    """Check the file, read it, and see that it can be written.

    With plain sqlite3: sqlitedict can hang on a damaged one. Raises StoreUnusable.
    """
    damaged = f"{path} is damaged: restore a backup, or move it away to start anew"
    try:
        with closing(sqlite3.connect(path)) as db:
            if db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise StoreUnusable(damaged)
            db.execute(_TABLE)
            found = rows(db, path)
            # Also shows that the disk can be written: if not, each start would tell the same endings anew.
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("REPLACE INTO kv VALUES (?, ?)", (FORMAT_ADDRESS, orjson.dumps(FORMAT)))
            db.commit()
        return found
    except sqlite3.OperationalError as error:  # locked, or not permitted: not the file's fault
        raise StoreUnusable(f"{path} cannot be opened: {error}") from None
    except (sqlite3.DatabaseError, ValueError, TypeError):
        raise StoreUnusable(damaged) from None


def rows(db: sqlite3.Connection, path: Path) -> dict[str, StoredRow]:
    """All rows by name. Raises StoreUnusable for those of another version; sqlite3.Error, ValueError."""
    found = dict(db.execute(_LIVE).fetchall())
    if orjson.loads(found.get(FORMAT_ADDRESS, b"0")) > FORMAT:
        raise StoreUnusable(f"{path} was written by a newer version: upgrade the bot")
    try:
        return {name: unpack(kind_of(name), name, orjson.loads(value)) for name, value in found.items()}
    except ValidationError:
        unreadable = f"{path} holds a record that this version cannot read"
        raise StoreUnusable(f"{unreadable}: upgrade the bot, or restore a backup") from None


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        why = "is not a folder" if folder.exists() else f"cannot be made ({error.strerror})"
        raise StoreUnusable(f"{folder} {why}: choose a folder that the bot may write to") from None


def _private(path: Path) -> TextIO:
    """Open a file that only its owner may read, making it if need be."""
    path.touch(mode=0o600)
    if path.stat().st_mode & 0o077:  # a backup that was restored
        with suppress(PermissionError):  # somebody else's file, that we may write
            path.chmod(0o600)
    return path.open("r+")
