"""`forget --person`: takes a person out of all that is kept, in the file or the database, and looks again."""

import asyncio
import functools
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import orjson

from bot.admin import store
from bot.domain.errors import StoreTrouble, StoreUnusable
from bot.domain.person import without
from bot.domain.reload import Reload
from bot.metrics import Metrics
from bot.settings import Settings
from bot.store import database, file
from bot.store import statements as sql
from bot.store.embedded import EmbeddedStore
from bot.store.rows import KINDS, RELOAD, StoredRow, kind_of, pack, unpack
from bot.store.schema import Connection, transaction

PAGE_RELOADS = 2000
PAGE_TIMEOUT = 5.0
OPEN, DELETED = "open", "deleted"
"""What becomes of a reload, if not "reload": it stays without the person. Other kinds go by their word."""

_NAMING = "SELECT key, value FROM kv WHERE value IS NOT NULL AND instr(value, CAST(? AS BLOB))"
_LAST_OF_PAGE = "SELECT max(id) FROM (SELECT id FROM reloads WHERE id > $1 ORDER BY id LIMIT $2) page"
_RELOADS_NAMING = """
SELECT id, body, version, owner FROM reloads WHERE id > $1 AND id <= $2 AND strpos(body::text, $3) > 0
"""
_ROWS_NAMING = (
    "SELECT kind, server, name, value FROM rows WHERE kind <> 'value' AND strpos(value::text, $1) > 0"
)
_DELETE = "DELETE FROM rows WHERE kind = $1 AND server = $2 AND name = $3 AND value::text = $4"
_CHANGE = "UPDATE rows SET value = $5 WHERE kind = $1 AND server = $2 AND name = $3 AND value::text = $4"
Run = Callable[[Callable[[Connection], Awaitable[Any]]], Coroutine[Any, Any, Any]]
"""Does something with a connection to the database."""


class Change(NamedTuple):
    """A row that names the person, and what it is to be; `after`: None where it goes."""

    address: str
    row: StoredRow
    after: StoredRow | None
    record: Any = None
    """Where it is in a database: its record."""

    @property
    def is_open(self) -> bool:
        """It is left alone: it is being told to those who asked."""
        return isinstance(self.row, Reload) and self.row.is_open

    @property
    def what(self) -> str:
        if self.is_open:
            return OPEN
        word = kind_of(self.address).word
        return DELETED if word == RELOAD.word and self.after is None else word


async def forget(settings: Settings, person: int, *, is_rehearsal: bool) -> Counter[str]:
    """Take a person out of all rows that are not open; return how many of each kind named them.

    A rehearsal changes nothing. Raises StoreUnusable; of the file also while the bot runs.
    """
    url = settings.store_url.get_secret_value()
    if url:
        found = await _in_database(url, person, is_rehearsal=is_rehearsal)
    else:
        found = await asyncio.to_thread(_in_file, settings.data_dir, person, is_rehearsal=is_rehearsal)
    return Counter(change.what for change in found)


def _changes(rows: Iterable[tuple[str, StoredRow, Any]], person: int) -> list[Change]:
    """The rows that name the person; their number may stand in another one, or be a model's."""
    changes = (Change(address, row, without(row, person), record) for address, row, record in rows)
    return [change for change in changes if change.after is not change.row]


def _check(left: list[Change]) -> None:
    if not all(change.is_open for change in left):
        raise StoreUnusable("something naming this person was written in the meantime: run it again")


def _in_file(folder: Path, person: int, *, is_rehearsal: bool) -> list[Change]:
    path = store.path_of(folder)
    if not is_rehearsal:
        EmbeddedStore(folder).close()  # brings it up to date, and sees that it can be written
    with file.trouble(folder), closing(file.claim(folder)):
        found = _look(path, person)
        if not is_rehearsal:
            _write(path, [change for change in found if not change.is_open])
    if not is_rehearsal:
        EmbeddedStore(folder).close()
        _check(_look(path, person))
    return found


def _look(path: Path, person: int) -> list[Change]:
    try:
        with closing(sqlite3.connect(path)) as db:
            found = db.execute(_NAMING, (str(person),)).fetchall()
        return _changes(
            ((name, unpack(kind_of(name), name, orjson.loads(value)), None) for name, value in found), person
        )
    except ValueError:
        raise StoreUnusable(f"{path} holds a record that this version can't read: upgrade the bot") from None


def _write(path: Path, changes: list[Change]) -> None:
    """All or nothing; what is gone leaves no bytes behind."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA secure_delete=ON")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("BEGIN IMMEDIATE")
        for change in changes:
            if change.after is None:
                db.execute("DELETE FROM kv WHERE key = ?", (change.address,))
            else:
                db.execute("UPDATE kv SET value = ? WHERE key = ?", (pack(change.after), change.address))
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def _in_database(url: str, person: int, *, is_rehearsal: bool) -> list[Change]:
    if is_rehearsal:  # the tables stay as they are, too
        return await _go_through(functools.partial(database.look, url), person, is_rehearsal=True)
    done: list[Change] = []
    for is_last in (False, True):
        opened = await database.Database.open(url, Metrics())
        try:
            found = await _go_through(
                functools.partial(opened.write, PAGE_TIMEOUT), person, is_rehearsal=is_last
            )
        except StoreUnusable:
            raise
        except StoreTrouble as error:
            raise StoreUnusable(f"{error}: run it again to continue") from None
        finally:
            opened.close()
        if is_last:
            _check(found)
        else:
            done = found
    return done


async def _go_through(run: Run, person: int, *, is_rehearsal: bool) -> list[Change]:
    """Look through all rows in pages, each changed in a transaction of its own."""
    found: list[Change] = []
    after = 0
    while (last := await run(functools.partial(_last_of_page, after=after))) is not None:
        page = functools.partial(_page_of_reloads, person=person, after=after, last=last)
        found += await run(functools.partial(page, is_rehearsal=is_rehearsal))
        after = last
    found += await run(functools.partial(_rows, person=person, is_rehearsal=is_rehearsal))
    return found


async def _last_of_page(connection: Connection, after: int) -> int | None:
    last: int | None = await connection.fetchval(_LAST_OF_PAGE, after, PAGE_RELOADS)
    return last


async def _page_of_reloads(
    connection: Connection, person: int, after: int, last: int, *, is_rehearsal: bool
) -> list[Change]:
    records = await connection.fetch(_RELOADS_NAMING, after, last, str(person))
    rows = ((RELOAD.address(record["id"]), sql.reload_of(record), record) for record in records)
    found = _changes(rows, person)
    async with transaction(connection):
        for change in found if not is_rehearsal else ():
            version, owner = change.record["version"], change.record["owner"]
            if change.is_open:
                continue
            if change.after is None:
                await connection.execute(sql.REMOVE, change.record["id"], version, owner)
            elif isinstance(change.after, Reload):
                await sql.update(connection, change.after, version, owner, None, news=False)
    return found


async def _rows(connection: Connection, person: int, *, is_rehearsal: bool) -> list[Change]:
    records = await connection.fetch(_ROWS_NAMING, str(person))
    known = [record for record in records if record["kind"] in KINDS]
    found = _changes(((_address(record), _row(record), record) for record in known), person)
    async with transaction(connection):
        for change in found if not is_rehearsal else ():
            place = [change.record[name] for name in ("kind", "server", "name", "value")]
            if change.after is None:
                await connection.execute(_DELETE, *place)
            else:
                await connection.execute(_CHANGE, *place, sql.packed(change.after))
    return found


def _address(record: asyncpg.Record) -> str:
    return KINDS[record["kind"]].address(record["server"], record["name"])


def _row(record: asyncpg.Record) -> StoredRow:
    return sql.row_of(KINDS[record["kind"]], record)
