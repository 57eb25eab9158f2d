"""`move-store`: copies the file into PostgreSQL and compares row by row; an interrupted run can go on."""

import functools
import itertools
from collections.abc import Iterator, Mapping
from contextlib import closing

import asyncpg
import orjson

from bot.admin import store
from bot.domain.errors import DatabaseUnusable, SettingsError, StoreTrouble, StoreUnusable
from bot.domain.reload import Reload
from bot.metrics import Metrics
from bot.settings import Settings
from bot.store import file
from bot.store import statements as sql
from bot.store.database import Database
from bot.store.rows import KINDS, RELOAD, StoredRow, kind_of
from bot.store.schema import Connection

COPY_BATCH = 500
CHUNK_TIMEOUT = 5.0
_COPY_RELOAD = f"{sql.INSERT} ON CONFLICT (id) DO NOTHING"
_COPY_ROW = "INSERT INTO rows VALUES ($1, $2, $3, $4) ON CONFLICT (kind, server, name) DO NOTHING"
_THESE = """
SELECT kind, server, name, value FROM rows
JOIN unnest($1::text[], $2::bigint[], $3::text[]) AS these (kind, server, name) USING (kind, server, name)
"""
_LIVING = "SELECT count(*) FROM replicas WHERE lease_until > now()"


async def move(settings: Settings) -> int:
    """Copy all rows from DATA_DIR to STORE_URL while every bot is stopped; return how many there are.

    Rows that are already there stay as they are and must be the same. Raises SettingsError, StoreTrouble.
    """
    url = settings.store_url.get_secret_value()
    if not url:
        raise SettingsError(["STORE_URL is empty. Set it to where the store should go."])
    store.path_of(settings.data_dir)
    with file.trouble(settings.data_dir), closing(file.claim(settings.data_dir)):
        database = await Database.open(url, Metrics())
        try:
            if await database.do(CHUNK_TIMEOUT, lambda connection: connection.fetchval(_LIVING)):
                raise DatabaseUnusable("a bot is using the database: stop it first")
            for work in (functools.partial(_compare, is_copied=False), _copy, _compare):
                count = 0
                for some in _pages(settings):
                    await database.write(CHUNK_TIMEOUT, functools.partial(work, rows=some))
                    count += len(some)
        except StoreUnusable:
            raise
        except StoreTrouble as error:
            raise DatabaseUnusable(f"{error}: run it again to continue") from None
        finally:
            database.close()
    return count


def _pages(settings: Settings) -> Iterator[dict[str, StoredRow]]:
    """Yield all rows except those about the file itself. Raises StoreUnusable."""
    with store.rows(settings.data_dir) as found:
        rows = (
            (name, row) for name, row in found if name not in (file.FORMAT_ADDRESS, file.UPGRADED_ADDRESS)
        )
        while page := dict(itertools.islice(rows, COPY_BATCH)):
            yield page


async def _copy(connection: Connection, rows: Mapping[str, StoredRow]) -> None:
    reloads = [row for row in rows.values() if isinstance(row, Reload)]
    rest = [(*_place(name), sql.packed(row)) for name, row in rows.items() if not isinstance(row, Reload)]
    await connection.executemany(_COPY_RELOAD, [(*sql.columns(reload), None) for reload in reloads])
    await connection.executemany(_COPY_ROW, rest)


async def _compare(connection: Connection, rows: Mapping[str, StoredRow], *, is_copied: bool = True) -> None:
    """Raise DatabaseUnusable for a row that differs or, once everything is copied, is missing."""
    ids = [row.id for row in rows.values() if isinstance(row, Reload)]
    places = [_place(name) for name, row in rows.items() if not isinstance(row, Reload)]
    reloads = await connection.fetch("SELECT id, body FROM reloads WHERE id = ANY($1)", ids)
    rest = await connection.fetch(_THESE, *([place[n] for place in places] for n in range(3)))
    found = {RELOAD.address(record["id"]): record["body"] for record in reloads}
    found |= {_address(record): record["value"] for record in rest}
    for name, row in rows.items():
        if name not in found and not is_copied:
            continue
        if name not in found or orjson.loads(found[name]) != orjson.loads(sql.packed(row)):
            raise DatabaseUnusable(
                f"the database's {name} differs from {file.NAME}'s: use a database that no bot has used yet"
            )


def _address(record: asyncpg.Record) -> str:
    return KINDS[record["kind"]].address(record["server"], record["name"])


def _place(address: str) -> tuple[str, int, str]:
    """Return kind, server and name of a row from its address in the file."""
    kind = kind_of(address)
    return kind.word, *kind.place(address)
