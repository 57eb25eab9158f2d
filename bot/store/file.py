"""The embedded store's file: claimed by one process; checked, upgraded and read before it is opened."""

import errno
import fcntl
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TextIO

import orjson
from pydantic import ValidationError

from bot.domain.errors import StoreAway, StoreUnusable
from bot.domain.reload import Reload
from bot.store import index
from bot.store.rows import VALUE, StoredRow, kind_of, unpack

NAME = "rewarm.db"
FORMAT = 3
"""The version of the rows; a store of a newer version is refused. Before 3 there was no index, and no row for
a call that costs or for an event."""
FORMAT_ADDRESS = VALUE.address(name="format")
UPGRADED = "upgraded"
"""The name of the value that says from where on an older file is in the index; deleted once it all is."""
UPGRADED_ADDRESS = VALUE.address(name=UPGRADED)
CHECKED_AS_A_WHOLE = 16 * 2**20
"""Bytes of the largest file that is checked whole, in some 20 ms; of a larger one, a start checks the newest
rows."""
NEWEST_ROWS = 500
PAGE_ROWS = 500
PROGRESS_STEPS = 100_000
"""Steps of SQLite's virtual machine between two signs of progress; they take some milliseconds."""

_MAY_PASS = {errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE}
_MAY_PASS_IN_SQLITE = {
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR),
    *(sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL),
}
_TABLE = "CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value BLOB)"
"""The table as sqlitedict makes it."""
_VALUE = "SELECT value FROM kv WHERE key = ? AND value IS NOT NULL"
_NO_RELOADS = "SELECT key, value FROM kv WHERE (key < ? OR key >= ?) AND value IS NOT NULL"
_PAGE = "SELECT key, value FROM kv WHERE key > ? AND value IS NOT NULL ORDER BY key LIMIT ?"
"""A page of rows; in format 1 a deleted row may have no value."""


class Found(NamedTuple):
    """The rows that belong in memory, and the newest reloads, some of which may have ended."""

    rows: dict[str, StoredRow]
    newest: list[Reload]


@contextmanager
def trouble(folder: Path) -> Iterator[None]:
    """Turn errors while opening into StoreUnusable, whose message says how to fix it."""
    path = folder / NAME
    try:
        yield
    except BlockingIOError:
        raise StoreUnusable(f"{path} is in use by another bot: stop that one first") from None
    except OSError as error:
        why = f"{path} can't be opened ({error.strerror})"
        if error.errno in _MAY_PASS:
            raise StoreAway(f"{why}: check its disk") from None
        raise StoreUnusable(f"{why}: choose a folder the bot can write to") from None
    except (sqlite3.Error, RuntimeError) as error:
        raise StoreUnusable(f"{path} can't be opened: {error}") from None


def claim(folder: Path) -> TextIO:
    """Make the folder and the file if necessary, readable only by their owner; return the lock.

    Raises StoreUnusable, OSError; BlockingIOError if another process holds it.
    """
    held = lock(folder)
    try:
        _private(folder / NAME).close()  # SQLite gives its helper files the same mode
    except OSError:
        held.close()
        raise
    return held


def lock(folder: Path) -> TextIO:
    """Make the folder if necessary, and lock it. Raises as `claim` does."""
    _make(folder)
    held = _private(folder / f"{NAME}.lock")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        raise
    return held


def lock_again(held: TextIO, folder: Path) -> TextIO:
    """Return the lock that is held if its file is still there, else a new one. Raises as `claim` does."""
    try:
        is_there = os.fstat(held.fileno()).st_ino == (folder / f"{NAME}.lock").stat().st_ino
    except FileNotFoundError:
        is_there = False
    return held if is_there else lock(folder)


def new_part(path: Path) -> Path:
    """Make an empty file next to another, which nobody else may read. Raises OSError."""
    part = path.with_name(f"{path.name}.copy")
    part.unlink(missing_ok=True)
    _private(part).close()
    return part


def put(part: Path, path: Path) -> None:
    """Give a finished file its name, durably. Raises FileExistsError if the name is taken; OSError."""
    _sync(part)
    path.touch(mode=0o600, exist_ok=False)
    part.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path, progress: Callable[[], None] = lambda: None) -> Found:
    """Check the file, upgrade it, read what belongs in memory, and make sure that it can be written.

    This uses plain sqlite3, as sqlitedict can hang on a damaged file. `progress` is called now and then, from
    this thread. Raises StoreUnusable.
    """
    damaged = f"{path} is damaged: restore a backup, or move it out of the way to start over"
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.set_progress_handler(progress, PROGRESS_STEPS)
            is_small = path.stat().st_size <= CHECKED_AS_A_WHOLE
            if is_small and db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise StoreUnusable(damaged)
            db.execute(_TABLE)
            if _format(db, path) < FORMAT:
                _upgrade(db)
            found = _read(db, path)
            if not store_id(db):
                db.execute(f"PRAGMA application_id={secrets.randbelow(2**31 - 1) + 1}")
            # This also shows that the disk can be written: if not, each start would announce the same endings
            # again.
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("REPLACE INTO kv VALUES (?, ?)", (FORMAT_ADDRESS, orjson.dumps(FORMAT)))
            # This tells the file apart from a copy that somebody puts over it while the bot runs
            # (`bot.store.place`).
            db.execute(f"PRAGMA user_version={secrets.randbelow(2**31)}")
        return found
    except sqlite3.OperationalError as error:  # locked, or not permitted: not the file's fault
        kind = StoreAway if error.sqlite_errorcode & 0xFF in _MAY_PASS_IN_SQLITE else StoreUnusable
        raise kind(f"{path} can't be opened: {error}") from None
    except (sqlite3.DatabaseError, ValueError, TypeError):
        raise StoreUnusable(damaged) from None


def _format(db: sqlite3.Connection, path: Path) -> int:
    """Return the file's format. Raises StoreUnusable for a newer version's."""
    (found,) = db.execute(_VALUE, (FORMAT_ADDRESS,)).fetchone() or (b"0",)
    if (number := int(orjson.loads(found))) > FORMAT:
        raise StoreUnusable(f"{path} was written by a newer version: upgrade the bot")
    return number


def _upgrade(db: sqlite3.Connection) -> None:
    """Make the index; enter open and the newest reloads. `inspect` enters the rest while the bot runs."""
    db.execute("BEGIN IMMEDIATE")
    for statement in index.SCHEMA:
        db.execute(statement)
    db.execute("DELETE FROM kv WHERE value IS NULL")
    newest = [key for key, _ in db.execute(index.PAGE, (index.LAST, NEWEST_ROWS))]
    perhaps_open = [key for (key,) in db.execute(index.PERHAPS_OPEN)]
    db.execute(index.ENTER_THESE, (orjson.dumps(newest + perhaps_open).decode(),))
    values: dict[str, int | str] = {FORMAT_ADDRESS: FORMAT}
    if len(newest) == NEWEST_ROWS:
        values[UPGRADED_ADDRESS] = newest[-1]
    for address, value in values.items():
        db.execute("REPLACE INTO kv VALUES (?, ?)", (address, orjson.dumps(value)))
    db.execute("COMMIT")


def _read(db: sqlite3.Connection, path: Path) -> Found:
    kept = [*db.execute(_NO_RELOADS, (index.FIRST, index.LAST)), *db.execute(index.OPEN)]
    newest = db.execute(index.PAGE, (index.LAST, NEWEST_ROWS)).fetchall()
    reloads = [row for _, row in unpacked(newest, path) if isinstance(row, Reload)]
    return Found(dict(unpacked(kept, path)), reloads)


def rows(db: sqlite3.Connection, path: Path) -> Iterator[tuple[str, StoredRow]]:
    """Yield all rows with their names, in pages: a single reader would keep deleted rows on disk.

    Raises StoreUnusable for another version's rows; sqlite3.Error, ValueError.
    """
    _format(db, path)
    after = ""
    while page := db.execute(_PAGE, (after, PAGE_ROWS)).fetchall():
        yield from unpacked(page, path)
        after = page[-1][0]


def page(path: Path, below: str, most: int) -> list[tuple[str, bytes]]:
    """Return reloads as written, from an address downwards. Raises sqlite3.Error."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(index.PAGE, (below, most)).fetchall()


def unpacked(page: list[tuple[str, bytes]], path: Path) -> Iterator[tuple[str, StoredRow]]:
    """Return rows from their JSON. Raises StoreUnusable for another version's rows; ValueError."""
    try:
        for name, value in page:
            yield name, unpack(kind_of(name), name, orjson.loads(value))
    except ValidationError:
        unreadable = f"{path} holds a record that this version can't read"
        raise StoreUnusable(f"{unreadable}: upgrade the bot, or restore a backup") from None


def store_id(db: sqlite3.Connection) -> int:
    """Return the random number in the file's header and its copies; 0 until this version has opened it."""
    return int(db.execute("PRAGMA application_id").fetchone()[0])


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        why = "isn't a folder" if folder.exists() else f"can't be created ({error.strerror})"
        raise StoreUnusable(f"{folder} {why}: choose a folder the bot can write to") from None


def create(path: Path, mode: int) -> int:
    """Make a new file and open it for writing; it belongs to the folder's owner.

    So root leaves nothing that the bot's own user can't open. Raises FileExistsError, also for a link.
    """
    made = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    folder = path.parent.stat()
    if folder.st_uid != os.fstat(made).st_uid:
        with suppress(PermissionError):  # only root may
            os.fchown(made, folder.st_uid, folder.st_gid)
    return made


def _private(path: Path) -> TextIO:
    """Open a file that only its owner may read; make it if necessary."""
    with suppress(FileExistsError):
        return os.fdopen(create(path, 0o600), "r+")
    opened = path.open("r+")
    found = os.fstat(opened.fileno())
    # A file that others may read is a restored backup. A link's target is not ours to change.
    if found.st_mode & 0o077 and os.path.samestat(found, path.lstat()):
        with suppress(PermissionError):  # somebody else's file that we may write
            os.fchmod(opened.fileno(), 0o600)
    return opened
