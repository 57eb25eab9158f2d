"""The PostgreSQL store: shared by many processes, with the pure verbs and the rows of the embedded one.

A step is one statement, which compares the row's version and owner. What looks at several rows of a server
takes the server's turn first: an advisory lock that ends with its transaction.
"""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Unpack

import asyncpg
import structlog

from bot.domain.errors import DatabaseUnusable, StoreTrouble, Taken
from bot.domain.reload import Asker, Reload, State
from bot.domain.rows import KeyRow, ServerSettings, Watch
from bot.domain.steps import Facts, faded
from bot.metrics import Metrics
from bot.store import statements as sql
from bot.store.base import News
from bot.store.database import DATABASE_ERRORS, Database
from bot.store.lease import LEASE_TIMEOUT, Held, Lease
from bot.store.memory import REDELIVERY_AGE, Memory, StoredRow
from bot.store.schema import Connection, transaction

WRITE_TIMEOUT = 5.0
"""A call that takes longer is in trouble; its write may still land."""
STEP_TIMEOUT = 1.0
"""The same for a step, and for a reading: neither an ending nor a first answer is held up."""
CLAIM_BATCH = 5000
COMPARE_INTERVAL = 2.0
SETTLE_TIMEOUT = 1.0
"""A stop waits so long for writes that are under way: they would belong to a life that is over."""
EXPIRE_BATCH = 500
READ_BATCH = 500
SERVERS_BATCH = 5000
"""40 to 80 ms (measured)."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class PostgresStore:
    """The store of `bot.store.base` in a database, of which this process has a part (`bot.store.lease`)."""

    is_shared = True

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self._lease = lease
        self._keeper = asyncio.create_task(lease.keep(), name="lease")
        self._keeper.add_done_callback(_see)
        self._under_way: Counter[int] = Counter()
        """Ids of reloads that are being written."""
        self._unreadable: set[int] = set()
        self._claimed: list[Reload] = []
        """What was claimed, and nobody has asked for: the answer may come late."""
        self._compared_at = 0.0

    @classmethod
    async def connect(cls, url: str, metrics: Metrics | None = None) -> "PostgresStore":
        """Connect, bring the tables up to date, begin a life. Raises DatabaseUnusable, saying what to do."""
        database = await Database.open(url, metrics or Metrics())
        lease = Lease(database.connect)
        await lease.renew()
        if not lease.is_good:
            database.close()
            raise DatabaseUnusable("the database is slow, or does not take what we write: look at its log")
        return cls(database, lease)

    async def _fetch(self, query: str, *args: Any, limit: float = STEP_TIMEOUT) -> list[asyncpg.Record]:
        return await self._database.do(limit, lambda connection: connection.fetch(query, *args))

    # Whose reload it is

    def holds(self, id_: int) -> bool:
        return id_ in self._lease.held and all(reload.id != id_ for reload in self._claimed)

    async def hold(self, id_: int, *, anew: bool = False) -> None:
        await self._lease.make_sure(time.monotonic() if anew else 0.0)
        if id_ not in self._lease.held:
            raise Taken

    async def news(self) -> News:
        lease = self._lease
        await self._claim()
        changed: list[Reload] = []
        try:
            changed = await self._changed()
            if time.monotonic() - self._compared_at > COMPARE_INTERVAL:
                await self._compare()
                self._compared_at = time.monotonic()
        except StoreTrouble as error:  # what was claimed is to be looked after all the same
            log.warning("store.no_news", error=str(error))
        lost, lease.lost = frozenset(lease.lost), set()
        taken, self._claimed = self._claimed, []
        newest = [lease.held[reload.id].row for reload in taken if reload.id in lease.held]
        return News(sorted(newest, key=lambda reload: reload.turn_at), changed, lost)

    async def _claim(self) -> None:
        life = self._lease.id

        async def work(connection: Connection) -> None:
            if self._lease.is_settled:
                await connection.execute(sql.EXPIRE_LEASES, life, LEASE_TIMEOUT)
            orphans = await connection.fetch(sql.UNOWNED, life, list(self._unreadable), CLAIM_BATCH)
            if not orphans:
                return
            ids = [record["id"] for record in orphans]
            async with transaction(connection):
                locked = [record["id"] for record in await connection.fetch(sql.LOCK, life, ids)]
                records = await connection.fetch(sql.CLAIM, life, locked)
            if self._lease.id != life:  # it is over, and others may claim them
                return
            taken = [self._take(record, reload) for record, reload in sql.readable(records)]
            self._claimed += taken
            if unreadable := {record["id"] for record in records} - {reload.id for reload in taken}:
                self._unreadable |= unreadable
                await connection.execute(sql.LEAVE, life, list(unreadable))

        await self._database.do(WRITE_TIMEOUT, work)

    async def _changed(self) -> list[Reload]:
        records = await self._fetch(sql.NEWS, self._lease.id)
        known = [record for record in records if record["id"] in self._lease.held]
        return [self._take(record, reload) for record, reload in sql.readable(known)]

    async def _compare(self) -> None:
        """Leave what is ours without our knowledge (an answer was lost), and what is not ours any more."""
        life, before = self._lease.id, self._lease.held.keys() | self._under_way.keys()
        mine = {record["id"] for record in await self._fetch(sql.MINE, life)}
        if self._lease.id != life or self._lease.tried:  # they may belong to a newer life by now
            return
        gone = (before & self._lease.held.keys()) - mine - self._under_way.keys()
        for id_ in gone:
            del self._lease.held[id_]
        self._lease.lost |= gone
        if unknown := mine - before - self._lease.held.keys() - self._under_way.keys():
            log.warning("store.found", count=len(unknown))
            await self._fetch(sql.LEAVE, life, list(unknown))

    def _take(self, record: asyncpg.Record, reload: Reload) -> Reload:
        """Answers what is known of it now: an answer that came later may have been read earlier."""
        known = self._lease.held.get(reload.id)
        if known is None or known.version <= record["version"]:
            known = self._lease.held[reload.id] = Held(reload, record["version"])
        return known.row

    async def release(self) -> None:
        self._keeper.cancel()
        await self._database.settle(SETTLE_TIMEOUT)
        await self._lease.end()
        self._database.close()

    def close(self) -> None:
        """Nothing is left to be let go of: see `release`."""

    # Reloads

    async def ask(self, new: Reload, limit: float) -> Reload | None:
        async def work(connection: Connection) -> Reload | None:
            await self._lease.make_sure()
            if not self._lease.is_good:
                raise StoreTrouble("the database refuses this process a lease")
            life = self._lease.id
            with self._writing(new.id):
                async with sql.servers_turn(connection, new.server):
                    after, version = await self._ask(connection, new, life)
                if after is not None and version is not None:
                    if self._lease.id != life:
                        raise StoreTrouble("the lease ran out meanwhile")
                    self._lease.held[after.id] = Held(after, version)
                return after

        return await self._database.write(limit, work)

    async def _ask(
        self, connection: Connection, new: Reload, life: uuid.UUID
    ) -> tuple[Reload | None, int | None]:
        """Answers the stored reload, and its version where it is ours."""
        found = await connection.fetch(sql.ABOUT_TO_ASK, new.server, new.asked_at - REDELIVERY_AGE)
        records = {reload.id: (record, reload) for record, reload in sql.readable(found)}
        memory = sql.memory_of(reload for _, reload in records.values())
        memory.remember(f"key:{new.server}", await sql.find_row(connection, "key", new.server))
        after = memory.ask(new)
        if after is None or not memory.changed:
            return after, None
        if after.id == new.id:
            await connection.execute(sql.INSERT, *sql.columns(new), life)
            return after, 0
        record, _ = records[after.id]
        mine = record["owner"] == life
        version = await sql.update(
            connection, after, record["version"], record["owner"], record["owner"], news=not mine
        )
        return after, version if mine else None

    async def notify(self, id_: int, asker: Asker, *, wanted: bool) -> Reload | None:
        async def work(connection: Connection) -> Reload | None:
            with self._writing(id_):
                while (record := await connection.fetchrow(sql.FIND, id_)) is not None:
                    memory = sql.memory_of([sql.reload_of(record)])
                    after = memory.notify(id_, asker, wanted)
                    if after is None or not memory.changed or await self._change(connection, record, after):
                        return after
                return None

        return await self._database.write(STEP_TIMEOUT, work)

    async def step(
        self, id_: int, from_: Collection[State], to: State, **facts: Unpack[Facts]
    ) -> Reload | None:
        async def work(connection: Connection) -> Reload | None:
            with self._writing(id_):
                may_be_done = True
                if (known := self._lease.held.get(id_)) is not None:  # mostly nobody has changed it since
                    after = sql.memory_of([known.row]).step(id_, from_, to, facts)
                    if after is not None and await self._replace(connection, known, after):
                        return after
                    may_be_done = after is not None
                while (known := await self._read(connection, id_)) is not None:
                    if may_be_done and id_ in self._lease.held and sql.is_done(known.row, to, facts):
                        return known.row  # by us, and the answer was lost
                    after = sql.memory_of([known.row]).step(id_, from_, to, facts)
                    if after is None or await self._replace(connection, known, after):
                        return after
                    may_be_done = True
                return None

        return await self._database.write(STEP_TIMEOUT, work)

    async def _read(self, connection: Connection, id_: int) -> Held | None:
        """A row that is ours, or nobody's as it is closed. Raises Taken."""
        record = await connection.fetchrow(sql.FIND, id_)
        if record is not None and record["owner"] == self._lease.id:
            self._take(record, sql.reload_of(record))
            return self._lease.held[id_]
        if record is not None and record["owner"] in self._lease.tried:
            raise StoreTrouble("a new life has begun, and its answer was lost")
        self._lease.held.pop(id_, None)
        if record is None:
            return None
        row = sql.reload_of(record)
        if row.is_open:
            raise Taken
        return Held(row, record["version"])

    async def _replace(self, connection: Connection, was: Held, after: Reload) -> bool:
        """Write a step of ours; False: the row is not any more as it `was`."""
        owner = self._lease.id if was.row.is_open else None
        if after.state is State.REMOVED:
            version = await connection.fetchval(sql.REMOVE, after.id, was.version, owner)
        else:
            mine = self._lease.id if after.is_open else None
            version = await sql.update(connection, after, was.version, owner, mine, news=False)
        if version is not None:
            self._lease.held.pop(after.id, None)
            if after.is_open and after.state is not State.REMOVED:
                self._lease.held[after.id] = Held(after, version)
        return version is not None

    async def _change(self, connection: Connection, was: asyncpg.Record, after: Reload) -> bool:
        """Write who asked; whoever looks after it is told. False: the row is not any more as it `was`."""
        owner, mine = was["owner"], was["owner"] == self._lease.id
        version = await sql.update(connection, after, was["version"], owner, owner, news=not mine)
        if version is not None and mine:
            self._lease.held[after.id] = Held(after, version)
        return version is not None

    @contextmanager
    def _writing(self, id_: int) -> Iterator[None]:
        """What fails here may have been done all the same: it is read again, or found by `_compare`."""
        self._under_way[id_] += 1
        try:
            yield
        except (*DATABASE_ERRORS, asyncio.CancelledError):
            if (held := self._lease.held.get(id_)) is not None:
                held.version = -1
            raise
        finally:
            self._under_way -= Counter({id_: 1})

    async def open(self) -> list[Reload]:
        """All that is open, whoever looks after it."""
        return [
            sql.reload_of(record)
            for record in await self._fetch("SELECT id, body FROM reloads WHERE is_open")
        ]

    async def find(self, server: int, id_: int) -> Reload | None:
        found = await self._fetch("SELECT id, body FROM reloads WHERE server = $1 AND id = $2", server, id_)
        return sql.reload_of(found[0]) if found else None

    async def history(self, server: int, model: str | None = None, most: int | None = None) -> list[Reload]:
        found = await self._fetch(sql.HISTORY, server, model, most)
        reloads: list[Reload] = []
        for first in range(0, len(found), READ_BATCH):
            await asyncio.sleep(0)  # a long history holds nobody up
            reloads += [reload for _, reload in sql.readable(found[first : first + READ_BATCH])]
        return reloads

    # Everything else

    async def key(self, server: int) -> KeyRow | None:
        row: KeyRow | None = await self._find("key", server)
        return row

    def all_keys(self) -> AsyncIterator[tuple[int, KeyRow]]:
        return self._all("key")

    async def set_key(self, server: int, row: KeyRow) -> None:
        await self._set("key", server, "", row)

    async def replace_key(self, server: int, was: KeyRow, row: KeyRow) -> None:
        await self._database.write(
            WRITE_TIMEOUT, lambda c: c.execute(sql.REPLACE_KEY, server, was.sealed, sql.packed(row))
        )

    async def remove_key(self, server: int) -> bool:
        return await self._remove("key", server, "")

    async def settings(self, server: int) -> ServerSettings:
        chosen = await self._find("settings", server)
        return chosen or ServerSettings()

    async def change_settings(self, server: int, **changes: Any) -> ServerSettings:
        async def work(connection: Connection) -> ServerSettings:
            async with sql.servers_turn(connection, server):
                memory = Memory()
                memory.remember(f"settings:{server}", await sql.find_row(connection, "settings", server))
                after = memory.change_settings(server, changes)
                await connection.execute(sql.SET_ROW, "settings", server, "", sql.packed(after))
                return after

        return await self._database.write(STEP_TIMEOUT, work)

    async def watch(self, server: int, model: str) -> Watch | None:
        row: Watch | None = await self._find("watch", server, model)
        return row

    async def all_watches(self) -> AsyncIterator[Watch]:
        async for _, watch in self._all("watch"):
            yield watch

    async def set_watch(self, watch: Watch, *, anew: bool = False) -> bool:
        async def work(connection: Connection) -> bool:
            async with sql.servers_turn(connection, watch.server):
                memory = Memory()
                query = "SELECT server, value FROM rows WHERE kind = 'watch' AND server = $1"
                for record in await connection.fetch(query, watch.server):
                    known: Watch = sql.row_of("watch", record)
                    memory.remember(f"watch:{known.server}:{known.model}", known)
                done = memory.set_watch(watch, anew)
                if done:
                    await connection.execute(
                        sql.SET_ROW, "watch", watch.server, watch.model, sql.packed(watch)
                    )
                return done

        return await self._database.write(STEP_TIMEOUT, work)

    async def remove_watch(self, server: int, model: str) -> bool:
        return await self._remove("watch", server, model)

    async def servers(self) -> set[int]:
        servers: set[int] = set()
        after = 0
        while page := await self._fetch(sql.SERVERS, after, SERVERS_BATCH):
            servers |= {record["server"] for record in page}
            after = page[-1]["server"]
        return servers

    async def expire(self, ended_before: float, fade_before: float) -> int:
        async def work(connection: Connection) -> int:
            async with transaction(connection):
                gone = await connection.fetch(sql.EXPIRE, ended_before, EXPIRE_BATCH)
                left = EXPIRE_BATCH - len(gone)
                fading = await connection.fetch(sql.FADING, ended_before, fade_before, left)
                readable = list(sql.readable(fading))
                for record, reload in readable:
                    after = faded(reload)
                    await sql.update(connection, after, record["version"], record["owner"], None, news=False)
            return len(gone) + len(readable)

        return await self._database.write(WRITE_TIMEOUT, work)

    async def forget(self, server: int) -> None:
        async def work(connection: Connection) -> None:
            async with sql.servers_turn(connection, server):
                await connection.execute("DELETE FROM rows WHERE server = $1", server)
                gone = await connection.fetch("DELETE FROM reloads WHERE server = $1 RETURNING id", server)
            for record in gone:
                self._lease.held.pop(record["id"], None)

        await self._database.write(WRITE_TIMEOUT, work)

    async def value(self, name: str) -> Any:
        return await self._find("value", 0, name)

    async def set_value(self, name: str, value: Any) -> None:
        await self._set("value", 0, name, value)

    async def _find(self, kind: str, server: int, name: str = "") -> Any:
        return await self._database.do(STEP_TIMEOUT, lambda c: sql.find_row(c, kind, server, name))

    async def _all(self, kind: str) -> AsyncIterator[tuple[int, Any]]:
        """All rows of a kind with their servers: a million are neither read at once nor held in memory."""
        after = (0, "")
        while page := await self._fetch(sql.ROWS, kind, *after, READ_BATCH):
            for record in page:
                yield record["server"], sql.row_of(kind, record)
            after = (page[-1]["server"], page[-1]["name"])

    async def _set(self, kind: str, server: int, name: str, row: StoredRow) -> None:
        packed = sql.packed(row)
        await self._database.write(
            WRITE_TIMEOUT, lambda c: c.execute(sql.SET_ROW, kind, server, name, packed)
        )

    async def _remove(self, kind: str, server: int, name: str) -> bool:
        gone = await self._database.write(
            WRITE_TIMEOUT, lambda c: c.fetchval(sql.REMOVE_ROW, kind, server, name)
        )
        return bool(gone)


def _see(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("task.failed", task=task.get_name(), exc_info=error)
