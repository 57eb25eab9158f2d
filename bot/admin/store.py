"""The store from outside: its file is copied at any time, but written only while the bot is stopped."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.domain.errors import StoreAway, StoreUnusable
from bot.domain.reload import Reload
from bot.domain.rows import KeyRow
from bot.settings import Settings
from bot.store import database, file, statements
from bot.store.base import ENCRYPTION_CHECK, MISSING_SERVERS, Store
from bot.store.embedded import EmbeddedStore
from bot.store.postgres import PostgresStore
from bot.store.progress import while_it_moves
from bot.store.rows import KEY, VALUE, StoredRow
from bot.store.schema import Connection

LOOK_TIMEOUT = 20.0
"""Seconds without progress after which a look at the store is given up."""
_COPIED_PAGES = 256
"""Pages of 4 KiB that are copied in one go."""
_WHY = "DATA_DIR is wrong, or the bot hasn't been started yet"


@dataclass(frozen=True)
class Found:
    """The contents of a store: its reloads, its keys by server, and what shows whether they will open."""

    reloads: int
    keys: dict[int, KeyRow]
    encryption_check: str


async def look(settings: Settings) -> Found:
    """Look into the store, even while the bot runs; change nothing. Raises StoreUnusable."""
    if url := settings.store_url.get_secret_value():
        return await _look_into_database(url)
    folder = settings.data_dir
    try:
        return await while_it_moves(lambda moves: _look_into_file(folder, moves), LOOK_TIMEOUT)
    except TimeoutError:
        raise StoreAway(f"{folder} doesn't answer: check its disk") from None


def _look_into_file(folder: Path, moves: Callable[[], None]) -> Found:
    reloads, keys, check = 0, {}, ""
    with rows(folder, moves) as found:
        for address, row in found:
            if isinstance(row, Reload):
                reloads += 1
            elif isinstance(row, KeyRow):
                keys[KEY.place(address)[0]] = row
            elif address == VALUE.address(name=ENCRYPTION_CHECK):
                check = str(row)
    return Found(reloads, keys, check)


async def rehearse(settings: Settings) -> None:
    """Check whether a start could use the database, if one is configured. Raises DatabaseUnusable."""
    if url := settings.store_url.get_secret_value():
        await database.rehearse(url)


async def _look_into_database(url: str) -> Found:
    async def work(connection: Connection) -> Found:
        keys = await connection.fetch(statements.KEYS)
        return Found(
            await connection.fetchval("SELECT count(*) FROM reloads"),
            {record["server"]: statements.row_of(KEY, record) for record in keys},
            str(await statements.find_row(connection, VALUE, 0, ENCRYPTION_CHECK) or ""),
        )

    return await database.look(url, work)


async def opened(settings: Settings) -> Store:
    """Open the store for writing. Raises StoreUnusable, also if the bot is using the file."""
    if url := settings.store_url.get_secret_value():
        return await PostgresStore.connect(url)
    path_of(settings.data_dir)
    return EmbeddedStore(settings.data_dir)


def path_of(folder: Path) -> Path:
    """Return the store's file. Raises StoreUnusable if there is none that may be read."""
    path = folder / file.NAME
    try:
        if not path.is_file():
            raise StoreUnusable(f"{path} doesn't exist: {_WHY}")
    except OSError as error:
        raise StoreUnusable(
            f"{path} can't be read ({error.strerror}): run this as the bot's own user, or as root"
        ) from None
    if not os.access(path, os.R_OK):
        raise StoreUnusable(f"{path} can't be read: run this as the bot's own user, or as root")
    return path


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the file for reading. Raises StoreUnusable.

    If there is no write-ahead log, nobody has the file open, and we must not create one: SQLite would leave
    it behind.
    """
    is_in_use = path.with_name(f"{path.name}-wal").exists()
    how = "mode=ro" if is_in_use else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)) as db:
            yield db
    except sqlite3.Error as error:
        raise StoreUnusable(f"{path} can't be read: {error}") from None


@contextmanager
def rows(folder: Path, moves: Callable[[], None] = lambda: None) -> Iterator[Iterator[tuple[str, StoredRow]]]:
    """Yield all rows of the store with their names, even while the bot runs; call `moves` now and then.

    Raises StoreUnusable.
    """
    path = path_of(folder)
    with _opened(path) as db:
        db.set_progress_handler(moves, file.PROGRESS_STEPS)
        yield _read(db, path)


def _read(db: sqlite3.Connection, path: Path) -> Iterator[tuple[str, StoredRow]]:
    try:
        if db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise StoreUnusable(f"{path} is damaged: restore a backup, or move it out of the way")
        yield from file.rows(db, path)
    except (sqlite3.Error, ValueError, TypeError):
        raise StoreUnusable(f"{path} is damaged: restore a backup, or move it out of the way") from None


def backup(folder: Path, target: Path) -> int:
    """Copy the store, whole and consistent, even while the bot runs; return the copy's bytes.

    Raises StoreUnusable; FileExistsError and other OSErrors for the target. A failed copy leaves no file.
    """
    path = path_of(folder)
    with _opened(path) as db:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with ExitStack() as undo:
            undo.callback(target.unlink)  # half a copy must not look like one
            try:
                _copy(db, target)
            except sqlite3.Error as error:
                why = f"{path} couldn't be copied ({error})"
                raise StoreUnusable(f"{why}: is there room for the copy?") from None
            with _opened(target) as copy:  # opened the way a restore would
                _check(copy, path)
            undo.pop_all()
    return target.stat().st_size


def _copy(db: sqlite3.Connection, target: Path) -> None:
    """Copy it a megabyte at a time: one sync at the end would hold up the bot's own writes for a second."""
    with closing(sqlite3.connect(target)) as copy, target.open("rb") as made:
        db.execute("BEGIN")
        db.execute(
            "SELECT 1 FROM sqlite_master"
        )  # sees this moment; otherwise each write of the bot would start it over
        db.backup(copy, pages=_COPIED_PAGES, progress=lambda *_: os.fsync(made.fileno()))
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, not three
        copy.execute("PRAGMA user_version=0")  # tells it apart from the file that the bot has open


def store_id(folder: Path) -> int:
    """Return what tells this store's backups from others.

    Raises StoreUnusable if the store has no such ID yet.
    """
    path = path_of(folder)
    with _opened(path) as db:
        found = file.store_id(db)
    if not found:
        raise StoreUnusable(f"{path} was last opened by an older version: start the bot once with this one")
    return found


def _check(copy: sqlite3.Connection, path: Path) -> None:
    """Check that the copy is a sound store. Raises StoreUnusable."""
    if file.FORMAT_ADDRESS not in [name for name, _ in _read(copy, path)]:
        raise StoreUnusable(f"{path} is damaged or isn't a store, and a copy would be no better")


async def forget(settings: Settings, server: int) -> tuple[int, bool]:
    """Delete all of a server's data, bytes included; return how many reloads there were, and whether a key.

    Raises StoreUnusable, also if the bot is using the embedded store, since it holds part of it in memory.
    """
    store = await opened(settings)
    try:
        key = await store.key(server)
        missing = await store.value(MISSING_SERVERS) or {}
        if missing.pop(str(server), None) is not None:
            await store.set_value(MISSING_SERVERS, missing)
        reloads = await store.forget(server)
        while done := await store.sweep():
            reloads += done
        return reloads, key is not None
    finally:
        await store.release()
        store.close()
