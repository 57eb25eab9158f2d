"""Connections to PostgreSQL: each use has a time limit, and trouble is StoreTrouble."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg

from bot.errors import DatabaseUnusable, StoreSlow, StoreTrouble
from bot.metrics import Metrics
from bot.store.schema import Connection, migrate

CONNECT_SECONDS = 1.0
LANDING_SECONDS = 5.0
"""So long a late write is waited for before its connection is cut."""
MIGRATION_SECONDS = 300.0
"""With the wait for another replica's."""
CONNECTIONS = 10
_BOUNDS = """
SET statement_timeout = '5s'; SET lock_timeout = '2s'; SET idle_in_transaction_session_timeout = '3s';
SET tcp_user_timeout = '5s'
"""
TROUBLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""All that was seen while a database was killed and came back; OSError: TimeoutError, too."""

_T = TypeVar("_T")


class Database:
    """A pool of connections to a database whose tables are up to date."""

    def __init__(self, url: str, pool: "asyncpg.Pool[asyncpg.Record]", metrics: Metrics) -> None:
        self._url = url
        self._pool = pool
        self._metrics = metrics
        self._landings: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(cls, url: str, metrics: Metrics) -> "Database":
        """Connect, and bring the tables up to date. Raises DatabaseUnusable, saying what to do."""
        try:
            async with asyncio.timeout(LANDING_SECONDS):
                pool = await asyncpg.create_pool(
                    url,
                    min_size=0,
                    max_size=CONNECTIONS,
                    timeout=CONNECT_SECONDS,
                    init=_bound,
                    reset=_keep_as_it_is,
                )
            async with asyncio.timeout(MIGRATION_SECONDS), pool.acquire() as connection:
                await migrate(connection)
        except (*TROUBLE, ValueError) as error:
            raise _unusable(error) from None
        return cls(url, pool, metrics)

    async def connect(self) -> Connection:
        """Make a connection beside the pool. Raises what is in TROUBLE."""
        connection: Connection = await asyncpg.connect(self._url, timeout=CONNECT_SECONDS)
        await _bound(connection)
        return connection

    async def settle(self, seconds: float) -> None:
        """Wait a while for what is under way."""
        if self._landings:
            await asyncio.wait(self._landings, timeout=seconds)

    async def do(self, limit: float, work: Callable[[Connection], Awaitable[_T]]) -> _T:
        """Do something with a connection; what is late goes on for a while, and may land.

        Raises StoreTrouble; StoreSlow after `limit` seconds.
        """
        landing = asyncio.create_task(self._do(work), name="store")
        self._landings.add(landing)
        landing.add_done_callback(self._landed)
        try:
            async with asyncio.timeout(limit):
                return await asyncio.shield(landing)
        except TimeoutError:
            self._metrics.store_failures.inc()
            raise StoreSlow(landing) from None

    async def write(self, limit: float, work: Callable[[Connection], Awaitable[_T]]) -> _T:
        """The same, and it is measured."""
        began = time.monotonic()
        done = await self.do(limit, work)
        self._metrics.store_seconds.observe(time.monotonic() - began)
        return done

    def close(self) -> None:
        """Cut all connections."""
        self._pool.terminate()

    async def _do(self, work: Callable[[Connection], Awaitable[_T]]) -> _T:
        try:
            async with asyncio.timeout(LANDING_SECONDS), self._pool.acquire() as connection:
                try:
                    return await work(connection)
                except asyncio.CancelledError:
                    connection.terminate()  # a polite end would wait for who does not answer
                    raise
        except TROUBLE as error:  # its words may quote a row
            self._metrics.store_failures.inc()
            raise StoreTrouble(f"storage failed: {type(error).__name__}") from None

    def _landed(self, landing: asyncio.Task[Any]) -> None:
        self._landings.discard(landing)
        if not landing.cancelled():
            landing.exception()  # who called has been told, or that it is late


async def look(url: str, work: Callable[[Connection], Awaitable[_T]]) -> _T:
    """Read from a database as it is. Raises DatabaseUnusable, saying what to do."""
    try:
        async with asyncio.timeout(LANDING_SECONDS):
            connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
            try:
                return await work(connection)
            finally:
                connection.terminate()
    except asyncpg.UndefinedTableError:
        raise DatabaseUnusable("the database has no tables yet: the first start makes them") from None
    except (*TROUBLE, ValueError) as error:
        raise _unusable(error) from None


def _unusable(error: Exception) -> DatabaseUnusable:
    """Its own words may quote the URL, which has a password."""
    why = f"the database cannot be used ({type(error).__name__})"
    return DatabaseUnusable(f"{why}: see that it runs, and that the URL is right")


async def _bound(connection: Connection) -> None:
    """What we gave up must not land much later, and who stalls in a transaction must not hold its locks."""
    await connection.execute(_BOUNDS)


async def _keep_as_it_is(_: object) -> None:
    """A connection that comes back has nothing to be reset: our locks end with their transaction."""
