"""The rows of servers in PostgreSQL: keys, settings, watches, calls that cost; and small named values."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any, TypeVar

import asyncpg
import structlog

from bot.domain.allowance import ALLOWANCE_AGE
from bot.domain.errors import StoreTrouble
from bot.domain.events import EVENTS_AGE
from bot.domain.rows import Event, KeyRow, PaidCall, ServerSettings, Watch
from bot.store import statements as sql
from bot.store.database import Database
from bot.store.lease import Lease
from bot.store.memory import Memory
from bot.store.rows import EVENT, KEY, PAID, SETTINGS, VALUE, WATCH, Kind
from bot.store.schema import Connection

WRITE_TIMEOUT = 5.0
"""Seconds after which a call has failed for its caller; its write may still land."""
STEP_TIMEOUT = 1.0
"""The same for a step or a read, so that neither an ending nor a first response is held up."""
READ_BATCH = 500
T = TypeVar("T")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class ServerRows:
    """The verbs of `bot.store.base` about servers."""

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self._lease = lease

    async def _fetch(self, query: str, *args: Any, limit: float = STEP_TIMEOUT) -> list[asyncpg.Record]:
        return await self._database.fetch(limit, query, *args)

    async def _write(self, limit: float, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Write, unless a newer version has been here: we would lose what only that one knows."""
        if self._lease.is_outdated:
            raise StoreTrouble("the database has been taken over by a newer version: upgrade the bot")
        return await self._database.write(limit, work)

    async def key(self, server: int) -> KeyRow | None:
        return await self._find(KEY, server)

    def all_keys(self) -> AsyncIterator[tuple[int, KeyRow]]:
        return self._all(KEY)

    async def set_key(self, server: int, row: KeyRow) -> None:
        await self._set(KEY, server, "", row)

    async def replace_key(self, server: int, was: KeyRow, row: KeyRow) -> bool:
        values = (server, was.sealed, was.version, sql.packed(row))
        done = await self._write(WRITE_TIMEOUT, lambda c: c.fetchval(sql.REPLACE_KEY, *values))
        return bool(done)

    async def remove_key(self, server: int, set_until: float = math.inf) -> bool:
        gone = await self._write(WRITE_TIMEOUT, lambda c: c.fetchval(sql.REMOVE_KEY, server, set_until))
        return bool(gone)

    async def settings(self, server: int) -> ServerSettings:
        chosen = await self._find(SETTINGS, server)
        return chosen or ServerSettings()

    async def change_settings(self, server: int, **changes: Any) -> ServerSettings:
        async def work(connection: Connection) -> ServerSettings:
            async with sql.servers_turn(connection, server):
                memory = Memory()
                chosen = await sql.find_row(connection, SETTINGS, server)
                memory.remember(SETTINGS.address(server), chosen)
                after = memory.change_settings(server, changes)
                await connection.execute(sql.SET_ROW, SETTINGS.word, server, "", sql.packed(after))
                return after

        return await self._write(STEP_TIMEOUT, work)

    async def watch(self, server: int, model: str) -> Watch | None:
        return await self._find(WATCH, server, model)

    async def all_watches(self) -> AsyncIterator[Watch]:
        async for _, watch in self._all(WATCH):
            yield watch

    async def set_watch(self, watch: Watch, *, new: bool = False) -> bool:
        async def work(connection: Connection) -> bool:
            async with sql.servers_turn(connection, watch.server):
                memory = Memory()
                query = "SELECT server, name, value FROM rows WHERE kind = 'watch' AND server = $1"
                for record in await connection.fetch(query, watch.server):
                    known = sql.row_of(WATCH, record)
                    memory.remember(WATCH.address(known.server, known.model), known)
                done = memory.set_watch(watch, new)
                await _write_watch(connection, memory, watch.server, watch.model)
                return done

        return await self._write(STEP_TIMEOUT, work)

    async def remove_watch(self, server: int, model: str, users: Collection[int] | None = None) -> bool:
        async def work(connection: Connection) -> bool:
            async with sql.servers_turn(connection, server):
                memory = Memory()
                known = await sql.find_row(connection, WATCH, server, model)
                memory.remember(WATCH.address(server, model), known)
                done = memory.remove_watch(server, model, users)
                await _write_watch(connection, memory, server, model)
                return done

        return await self._write(STEP_TIMEOUT, work)

    async def reserve_call(self, server: int, name: str, call: PaidCall, most: int | None) -> bool:
        async def work(connection: Connection) -> bool:
            async with sql.servers_turn(connection, server):
                memory = Memory()
                for record in await connection.fetch(sql.ROWS_OF_SERVER, PAID.word, server):
                    memory.remember(PAID.address(server, record["name"]), sql.row_of(PAID, record))
                done = memory.reserve_call(server, name, call, most)
                if done:
                    await connection.execute(sql.SET_ROW, PAID.word, server, name, sql.packed(call))
                return done

        return await self._write(STEP_TIMEOUT, work)

    async def give_back_call(self, server: int, name: str) -> None:
        await self._remove(PAID, server, name)

    async def paid_calls(self, server: int) -> list[PaidCall]:
        found = await self._fetch(sql.ROWS_OF_SERVER, PAID.word, server)
        return [sql.row_of(PAID, record) for record in found]

    async def expire_rows(self, now: float) -> int:
        async def work(connection: Connection) -> int:
            for kind, age in ((PAID, ALLOWANCE_AGE), (EVENT, EVENTS_AGE)):
                if gone := await connection.fetch(sql.EXPIRE_KIND, kind.word, now, age, READ_BATCH):
                    return len(gone)
            return 0

        return await self._write(WRITE_TIMEOUT, work)

    async def add_event(self, server: int, event: Event) -> bool:
        async def work(connection: Connection) -> bool:
            async with sql.servers_turn(connection, server):
                memory = Memory()
                for record in await connection.fetch(sql.ROWS_OF_SERVER, EVENT.word, server):
                    memory.remember(EVENT.address(server, record["name"]), sql.row_of(EVENT, record))
                is_to_be_told = memory.add_event(server, event)
                for address, row in memory.changed.items():
                    place = (EVENT.word, *EVENT.place(address))
                    if row is None:
                        await connection.execute(sql.REMOVE_ROW, *place)
                    else:
                        await connection.execute(sql.SET_ROW, *place, sql.packed(row))
                return is_to_be_told

        return await self._write(STEP_TIMEOUT, work)

    async def events(self, server: int) -> list[Event]:
        found = await self._fetch(sql.ROWS_OF_SERVER, EVENT.word, server)
        return sorted((sql.row_of(EVENT, one) for one in found), key=lambda event: event.at, reverse=True)

    async def value(self, name: str) -> Any:
        return await self._find(VALUE, 0, name)

    async def set_value(self, name: str, value: Any) -> None:
        await self._set(VALUE, 0, name, value)

    async def change_value(self, name: str, change: Callable[[Any], Any]) -> Any:
        async def work(connection: Connection) -> Any:
            async with sql.servers_turn(connection, 0):
                after = change(await sql.find_row(connection, VALUE, 0, name))
                await connection.execute(sql.SET_ROW, VALUE.word, 0, name, sql.packed(after))
                return after

        return await self._write(WRITE_TIMEOUT, work)

    async def _find(self, kind: Kind[T], server: int, name: str = "") -> T | None:
        return await self._database.do(STEP_TIMEOUT, lambda c: sql.find_row(c, kind, server, name))

    async def _all(self, kind: Kind[T]) -> AsyncIterator[tuple[int, T]]:
        """Yield all rows of a kind with their servers: a million fit neither one query nor memory.

        One that this version can't read stops nobody.
        """
        after = (0, "")
        while page := await self._fetch(sql.ROWS, kind.word, *after, READ_BATCH):
            for record in page:
                try:
                    row = sql.row_of(kind, record)
                except StoreTrouble:
                    log.error("store.row_unreadable", kind=kind.word, server=record["server"])  # noqa: TRY400
                else:
                    yield record["server"], row
            after = (page[-1]["server"], page[-1]["name"])

    async def _set(self, kind: Kind[T], server: int, name: str, row: T) -> None:
        values = (kind.word, server, name, sql.packed(row))
        await self._write(WRITE_TIMEOUT, lambda c: c.execute(sql.SET_ROW, *values))

    async def _remove(self, kind: Kind[Any], server: int, name: str = "") -> bool:
        gone = await self._write(WRITE_TIMEOUT, lambda c: c.fetchval(sql.REMOVE_ROW, kind.word, server, name))
        return bool(gone)


async def _write_watch(connection: Connection, memory: Memory, server: int, model: str) -> None:
    """Write what a verb has changed in a watch."""
    for watch in memory.changed.values():
        place = (WATCH.word, server, model)
        if watch is None:
            await connection.execute(sql.REMOVE_ROW, *place)
        else:
            await connection.execute(sql.SET_ROW, *place, sql.packed(watch))
