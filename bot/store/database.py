"""Connections to PostgreSQL: each use has a time limit, and trouble becomes StoreTrouble."""

import asyncio
import ipaddress
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from bot.domain.errors import DatabaseAway, DatabaseEmpty, DatabaseUnusable, StoreSlow, StoreTrouble
from bot.metrics import Metrics
from bot.store.schema import Connection, migrate, transaction

CONNECT_TIMEOUT = 1.0
LANDING_TIMEOUT = 5.0
"""Seconds that a late write is waited for before its connection is cut."""
MIGRATION_TIMEOUT = 300.0
"""Seconds for a migration, including the wait for another replica's."""
CONNECTIONS = 10
_BOUNDS = """
SET statement_timeout = '5s'; SET lock_timeout = '2s'; SET idle_in_transaction_session_timeout = '3s';
SET tcp_user_timeout = '5s'
"""
DATABASE_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Errors that were seen while a database was killed and came back; OSError includes TimeoutError."""

_MAY_PASS = (
    *(OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError),
    *(asyncpg.TooManyConnectionsError, asyncpg.ReadOnlySQLTransactionError, asyncpg.DiskFullError),
    asyncpg.TargetServerAttributeNotMatched,
)
_PID = "SELECT pg_backend_pid()"
_WRONG_URL = "the URL is wrong (special characters in the password must be percent-encoded, @ as %40)"
_POOLED = "a connection pooler must keep whole sessions (PgBouncer: pool_mode=session)"
_WHY: tuple[tuple[type[Exception], str], ...] = (
    (asyncpg.ClientConfigurationError, _WRONG_URL),
    (asyncpg.InvalidAuthorizationSpecificationError, "it rejects this user or the password"),
    (
        asyncpg.InvalidCatalogNameError,
        "there is no database of this name: create it, with this user as its owner",
    ),
    (asyncpg.InsufficientPrivilegeError, "this user can't create tables there: make it the database's owner"),
    (asyncpg.ReadOnlySQLTransactionError, "it is read-only"),
    (asyncpg.TargetServerAttributeNotMatched, "it is a standby, which is read-only: name the primary"),
    (asyncpg.TooManyConnectionsError, "it has no connections left: check max_connections"),
    (socket.gaierror, f"its host is unknown, or {_WRONG_URL}"),
    (ConnectionRefusedError, "nothing is listening there: check that it's running, and the host and port"),
    (TimeoutError, "it doesn't answer"),
    (ssl.SSLError, "its certificate isn't trusted, or is for another host: check sslmode and sslrootcert"),
    (asyncpg.DuplicatePreparedStatementError, _POOLED),
    (asyncpg.InvalidSQLStatementNameError, _POOLED),
    (ValueError, _WRONG_URL),
)
OLDEST = 13
_NO_TRANSACTIONS = "statement pooling mode"
"""PgBouncer's words about transactions as it hangs up."""
_POOL_TRIES = 3
"""How often to check that a session is kept: another process may have used the connection in between."""
_SAID_CHARACTERS = 200
_T = TypeVar("_T")


class Database:
    """A pool of connections to a database with current tables."""

    def __init__(self, url: str, pool: "asyncpg.Pool[asyncpg.Record]", metrics: Metrics) -> None:
        self._url = url
        self._pool = pool
        self._metrics = metrics
        self._landings: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(cls, url: str, metrics: Metrics) -> "Database":
        """Connect, and bring the tables up to date. Raises DatabaseUnusable, saying what to do."""
        try:
            async with asyncio.timeout(LANDING_TIMEOUT):
                pool = await asyncpg.create_pool(
                    url,
                    min_size=0,
                    max_size=CONNECTIONS,
                    timeout=CONNECT_TIMEOUT,
                    target_session_attrs=SessionAttribute.primary,
                    init=_bound,
                    reset=_keep_as_it_is,
                )
            async with asyncio.timeout(MIGRATION_TIMEOUT), pool.acquire() as connection:
                await _suits(connection, url)
                await migrate(connection)
        except (*DATABASE_ERRORS, ValueError) as error:
            raise _unusable(error) from None
        return cls(url, pool, metrics)

    async def connect(self) -> Connection:
        """Make a connection outside the pool. Raises the errors in DATABASE_ERRORS."""
        try:
            connection = await _connect(self._url)
        except FileNotFoundError:
            if _host(self._url).startswith("/"):
                raise
            raise OSError("a certificate is missing") from None  # this says nothing about the server
        await _bound(connection)
        return connection

    async def settle(self, seconds: float) -> None:
        """Wait a while for work in progress."""
        if self._landings:
            await asyncio.wait(self._landings, timeout=seconds)

    async def do(self, limit: float, work: Callable[[Connection], Awaitable[_T]]) -> _T:
        """Use a connection; late work goes on for a while, and may land.

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

    async def fetch(self, limit: float, query: str, *args: Any) -> list[asyncpg.Record]:
        """Read records. Raises StoreTrouble; StoreSlow after `limit` seconds."""
        return await self.do(limit, lambda connection: connection.fetch(query, *args))

    async def write(self, limit: float, work: Callable[[Connection], Awaitable[_T]]) -> _T:
        """Write and read records, and measure how long that takes. Raises as `fetch` does."""
        began = time.monotonic()
        done = await self.do(limit, work)
        self._metrics.store_seconds.observe(time.monotonic() - began)
        return done

    def close(self) -> None:
        """Cut all connections."""
        self._pool.terminate()

    async def _do(self, work: Callable[[Connection], Awaitable[_T]]) -> _T:
        try:
            async with asyncio.timeout(LANDING_TIMEOUT), self._pool.acquire() as connection:
                try:
                    return await work(connection)
                except asyncio.CancelledError:
                    connection.terminate()  # a polite end would wait for the other side, which doesn't answer
                    raise
        except DATABASE_ERRORS as error:  # its words may quote a row
            self._metrics.store_failures.inc()
            raise StoreTrouble(f"storage failed: {named(error)}") from None

    def _landed(self, landing: asyncio.Task[Any]) -> None:
        self._landings.discard(landing)
        if not landing.cancelled():
            landing.exception()  # the caller already knows, or has got StoreSlow


async def look(url: str, work: Callable[[Connection], Awaitable[_T]]) -> _T:
    """Read from a database without changing it. Raises DatabaseUnusable, saying what to do."""
    try:
        async with asyncio.timeout(LANDING_TIMEOUT):
            connection = await _connect(url)
            try:
                return await work(connection)
            finally:
                connection.terminate()
    except asyncpg.UndefinedTableError:
        raise DatabaseEmpty("the database has no tables yet: the first start creates them") from None
    except (*DATABASE_ERRORS, ValueError) as error:
        raise _unusable(error) from None


async def rehearse(url: str) -> None:
    """Do what a start needs, and take it back. Raises DatabaseUnusable, saying what to do."""

    async def work(connection: Connection) -> None:
        await _suits(connection, url)
        await connection.execute("BEGIN; CREATE TABLE rewarm_check (); ROLLBACK")

    await look(url, work)


def named(error: Exception) -> str:
    """Return an error's class, and the server's last words.

    The error's own words may quote a row, or the URL.
    """
    name, why = type(error).__name__, error.__cause__
    if not isinstance(error, asyncpg.ConnectionDoesNotExistError) or why is None:
        return name
    said = f": {why}"[:_SAID_CHARACTERS] if isinstance(why, asyncpg.PostgresError) else ""
    return f"{name}, {type(why).__name__}{said}"


def _unusable(error: Exception) -> DatabaseUnusable:
    otherwise = "check that it's running, and the URL"
    hint = next((said for kind, said in _WHY if isinstance(error, kind)), otherwise)
    said = f"the database can't be used ({named(error)}): {hint}"
    return DatabaseAway(said) if isinstance(error, _MAY_PASS) else DatabaseUnusable(said)


def is_fixed(url: str) -> bool:
    """Return whether a URL leads everybody to the same server: a socket, "localhost" or an IP address.

    A name may lead others elsewhere, after a fail-over for example, and so may several hosts.
    """
    host = _host(url)
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return "," not in host and (host.startswith("/") or host == "localhost")


def _host(url: str) -> str:
    """Return the host in a URL: a name, an IP address or a socket's folder; several with commas."""
    parts = urlsplit(url)
    in_netloc = parts.netloc.rpartition("@")[2]
    in_query = parse_qs(parts.query).get("host", [""])
    one = in_netloc if "," in in_netloc else parts.hostname or ""
    hosts = (unquote(one), *in_query, os.environ.get("PGHOST", ""))
    return next((host for host in hosts if host), "")


async def _connect(url: str) -> Connection:
    """Connect, but never to a standby: of several hosts, asyncpg takes the one that can be written."""
    connection: Connection = await asyncpg.connect(
        url, timeout=CONNECT_TIMEOUT, target_session_attrs=SessionAttribute.primary
    )
    return connection


async def _suits(connection: Connection, url: str) -> None:
    """Raise DatabaseUnusable if the server doesn't suit us."""
    if connection.get_server_version().major < OLDEST:
        raise DatabaseUnusable(f"the database is too old: PostgreSQL {OLDEST} or newer is needed")
    if await connection.fetchval("SHOW server_encoding") != "UTF8":
        raise DatabaseUnusable("the database can't store every name: create one with ENCODING 'UTF8'")
    async with asyncio.timeout(LANDING_TIMEOUT):
        pid = await connection.fetchval(_PID)
        if pid != connection.get_server_pid() and not await _keeps_session(connection, pid, url):
            raise DatabaseUnusable(f"the database can't be used: {_POOLED}")


async def _keeps_session(connection: Connection, pid: int, url: str) -> bool:
    """Return whether a pooler leaves a session its server connection, `pid`.

    A pooler shows a process ID of its own making. One that doesn't keep sessions gives the connection to
    another session's transaction, or has to give this session another.
    """
    other = await _connect(url)
    try:
        for _ in range(_POOL_TRIES):
            async with transaction(other):
                if pid == await other.fetchval(_PID) or pid != await connection.fetchval(_PID):
                    return False
    except asyncpg.ConnectionDoesNotExistError as error:
        if _NO_TRANSACTIONS in str(error):
            return False
        raise
    finally:
        other.terminate()
    return True


async def _bound(connection: Connection) -> None:
    """Set time limits: abandoned work must not land much later, nor a stalled transaction hold its locks."""
    await connection.execute(_BOUNDS)


async def _keep_as_it_is(_: object) -> None:
    """Reset nothing when a connection comes back: our locks end with their transaction."""
