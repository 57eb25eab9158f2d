"""The PostgreSQL store: shared by many processes, with the pure verbs and the rows of the embedded one.

A step is one statement, which compares the row's version and owner. A verb that looks at several rows of a
server first takes the server's turn: an advisory lock that ends with its transaction.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Unpack

import asyncpg
import structlog

from bot.clock import elapsed
from bot.domain.allowance import freed
from bot.domain.errors import DatabaseUnusable, StoreTrouble, Taken
from bot.domain.reload import Asker, ImageTest, Reload, State
from bot.domain.steps import Facts
from bot.logs import log_failure
from bot.metrics import Metrics
from bot.store import statements as sql
from bot.store.base import News
from bot.store.claims import Claims
from bot.store.database import DATABASE_ERRORS, Database, is_fixed
from bot.store.lease import Held, Lease
from bot.store.memory import REDELIVERY_AGE, Memory
from bot.store.past import EXPIRE_BATCH, SERVERS_BATCH, Past
from bot.store.rows import KEY, PAID
from bot.store.schema import Connection, transaction
from bot.store.server_rows import STEP_TIMEOUT

BEGIN_TRIES = 3
"""Tries at a start; each takes up to 2.5 s for a lease."""
SETTLE_TIMEOUT = 1.0
"""Seconds that a stop waits for writes in progress: later they would belong to an expired lease."""
__all__ = ["EXPIRE_BATCH", "SERVERS_BATCH", "PostgresStore"]

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class PostgresStore(Past):
    """The store of `bot.store.base` in a database that this process shares (`bot.store.lease`)."""

    is_shared = True

    def __init__(self, database: Database, lease: Lease) -> None:
        super().__init__(database, lease)
        self._claims = Claims(database, lease)
        self._keeper = asyncio.create_task(lease.keep(), name="lease")
        self._keeper.add_done_callback(log_failure)

    @classmethod
    async def connect(
        cls, url: str, metrics: Metrics | None = None, clock: Callable[[], float] = elapsed
    ) -> "PostgresStore":
        """Connect, bring the tables up to date, take a lease. Raises DatabaseUnusable, saying what to do.

        `clock`: monotonic seconds, including suspends.
        """
        database = await Database.open(url, metrics or Metrics())
        lease = Lease(database.connect, is_fixed=is_fixed(url), clock=clock)
        for _ in range(BEGIN_TRIES):
            await lease.renew()
            if lease.is_good:
                break
        else:
            database.close()
            raise DatabaseUnusable("the database is slow or rejects our writes: check its log")
        store = cls(database, lease)
        with suppress(StoreTrouble):  # the newest first, before anybody looks; it is retried
            await store.inspect()
        return store

    # Whose reload it is

    @property
    def is_outdated(self) -> bool:
        return self._lease.is_outdated

    def holds(self, id_: int) -> bool:
        return self._claims.holds(id_)

    async def hold(self, id_: int, *, renew: bool = False) -> None:
        await self._claims.hold(id_, self._lease.clock() if renew else 0.0)

    async def news(self) -> News:
        return await self._claims.news()

    async def release(self) -> None:
        self._keeper.cancel()
        await self._database.settle(SETTLE_TIMEOUT)
        await self._lease.end()
        self._database.close()

    def close(self) -> None:
        """Close the connections: `release` has let go of everything else."""

    # Reloads

    async def ask(self, new: Reload, limit: float) -> Reload | None:
        async def work(connection: Connection) -> Reload | None:
            await self._lease.make_sure()
            if not self._lease.is_good:
                raise StoreTrouble("the database refuses this process a lease")
            lease_id = self._lease.id
            with self._writing(new.id):
                async with sql.servers_turn(connection, new.server):
                    after, version = await self._ask(connection, new, lease_id)
                if after is not None and version is not None:
                    if self._lease.id != lease_id:
                        raise StoreTrouble("the lease ran out in the meantime")
                    self._lease.held[after.id] = Held(after, version)
                return after

        return await self._write(limit, work)

    async def _ask(
        self, connection: Connection, new: Reload, lease_id: uuid.UUID
    ) -> tuple[Reload | None, int | None]:
        """Return the stored reload, and its version if it is ours."""
        found = await connection.fetch(sql.ABOUT_TO_ASK, new.server, new.asked_at - REDELIVERY_AGE)
        records = {reload.id: (record, reload) for record, reload in sql.readable(found)}
        memory = sql.memory_of(reload for _, reload in records.values())
        key = await sql.find_row(connection, KEY, new.server)
        memory.remember(KEY.address(new.server), key)
        after = memory.ask(new)
        if after is None or not memory.changed:
            return after, None
        if after.id == new.id:
            await connection.execute(sql.INSERT, *sql.columns(new), lease_id)
            return after, 0
        record, _ = records[after.id]
        mine = record["owner"] == lease_id
        version = await sql.update(
            connection, after, record["version"], record["owner"], record["owner"], news=not mine
        )
        return after, version if mine else None

    async def notify(self, id_: int, asker: Asker, *, wanted: bool) -> Reload | None:
        return await self._change_joinable(id_, lambda memory: memory.notify(id_, asker, wanted))

    async def test_ahead(self, id_: int, user: int, test: ImageTest | None) -> Reload | None:
        return await self._change_joinable(id_, lambda memory: memory.test_ahead(id_, user, test))

    async def _change_joinable(self, id_: int, verb: Callable[[Memory], Reload | None]) -> Reload | None:
        async def work(connection: Connection) -> Reload | None:
            with self._writing(id_):
                while (record := await connection.fetchrow(sql.FIND, id_)) is not None:
                    memory = sql.memory_of([sql.reload_of(record)])
                    after = verb(memory)
                    if after is None or not memory.changed or await self._change(connection, record, after):
                        return after
                return None

        return await self._write(STEP_TIMEOUT, work)

    async def step(
        self, id_: int, from_: Collection[State], to: State, **facts: Unpack[Facts]
    ) -> Reload | None:
        async def work(connection: Connection) -> Reload | None:
            with self._writing(id_):
                may_be_done = True
                if (known := self._lease.held.get(id_)) is not None:  # usually nobody has changed it since
                    after = sql.memory_of([known.row]).step(id_, from_, to, facts)
                    if after is not None and await self._replace(connection, known, after):
                        return after
                    may_be_done = after is not None
                while (known := await self._read(connection, id_)) is not None:
                    if may_be_done and id_ in self._lease.held and sql.is_done(known.row, to, facts):
                        return known.row  # we did, and the answer was lost
                    after = sql.memory_of([known.row]).step(id_, from_, to, facts)
                    if after is None or await self._replace(connection, known, after):
                        return after
                    may_be_done = True
                return None

        return await self._write(STEP_TIMEOUT, work)

    async def _read(self, connection: Connection, id_: int) -> Held | None:
        """Return a row that is ours, or nobody's because it is closed. Raises Taken."""
        record = await connection.fetchrow(sql.FIND, id_)
        if record is not None and record["owner"] == self._lease.id:
            self._claims.take(record, sql.reload_of(record))
            return self._lease.held[id_]
        if record is not None and record["owner"] in self._lease.tried:
            raise StoreTrouble("a new lease has begun, and its answer was lost")
        self._lease.held.pop(id_, None)
        if record is None:
            return None
        row = sql.reload_of(record)
        if row.is_open:
            raise Taken
        return Held(row, record["version"])

    async def _replace(self, connection: Connection, was: Held, after: Reload) -> bool:
        """Write a step of ours; return False if the row is no longer as it `was`."""
        owner = self._lease.id if was.row.is_open else None
        if after.state is State.REMOVED:
            version = await connection.fetchval(sql.REMOVE, after.id, was.version, owner)
        else:
            mine = self._lease.id if after.is_open else None
            version = await _put(connection, was, after, owner, mine, news=False)
        if version is not None:
            self._lease.held.pop(after.id, None)
            if after.is_open and after.state is not State.REMOVED:
                self._lease.held[after.id] = Held(after, version)
        return version is not None

    async def _change(self, connection: Connection, was: asyncpg.Record, after: Reload) -> bool:
        """Write who asked, and notify its process; return False if the row is no longer as it `was`."""
        owner, mine = was["owner"], was["owner"] == self._lease.id
        known = Held(sql.reload_of(was), was["version"])
        version = await _put(connection, known, after, owner, owner, news=not mine)
        if version is not None and mine:
            self._lease.held[after.id] = Held(after, version)
        return version is not None

    @contextmanager
    def _writing(self, id_: int) -> Iterator[None]:
        """Mark a write in progress.

        If it fails, it may still have been done; it is then read again, or found by `_compare`.
        """
        self._claims.under_way[id_] += 1
        try:
            yield
        except (*DATABASE_ERRORS, asyncio.CancelledError):
            if (held := self._lease.held.get(id_)) is not None:
                held.version = -1
            raise
        finally:
            self._claims.under_way -= Counter({id_: 1})

    async def try_again(self, servers: Collection[int], threads: Collection[int]) -> None:
        await self._fetch(sql.TRY_AGAIN, self._lease.id, servers, [str(thread) for thread in threads])

    async def open(self) -> list[Reload]:
        """Return all open reloads, whoever looks after them."""
        return await self._reloads(sql.OPEN)


async def _put(
    connection: Connection,
    was: Held,
    after: Reload,
    was_owner: uuid.UUID | None,
    owner: uuid.UUID | None,
    *,
    news: bool,
) -> int | None:
    """Write a reload; if its test image is no longer wanted, give the image's place back."""
    if (name := freed(was.row, after)) is None:
        return await sql.update(connection, after, was.version, was_owner, owner, news=news)
    async with transaction(connection):
        version = await sql.update(connection, after, was.version, was_owner, owner, news=news)
        if version is not None:
            await connection.execute(sql.REMOVE_ROW, PAID.word, after.server, name)
    return version
