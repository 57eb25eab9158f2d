"""A replica's life: a row with a lease, renewed while the process is well.

A lease that has run out is never renewed: the process begins a new life. So an id is a fence.
"""

import asyncio
import errno
import math
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

import asyncpg
import structlog

from bot.domain.reload import Reload
from bot.store.database import DATABASE_ERRORS
from bot.store.schema import Connection, transaction

LEASE_TIMEOUT = 3.0
RENEW_INTERVAL = 1.0
BEGIN_TIMEOUT = 2.5
"""To connect and begin a life, a dozen round trips; a plain renewal has RENEW_INTERVAL."""
REFUSED_DELAY = 0.5
"""So long nobody asks again after a refusal."""

_BEGIN = "INSERT INTO replicas (id, lease_until) VALUES ($1, now() + make_interval(secs => $2))"
_RENEW = """
UPDATE replicas SET lease_until = now() + make_interval(secs => $2)
WHERE id = $1 AND lease_until > now() RETURNING true
"""
_INHERIT = "UPDATE reloads SET owner = $2 WHERE owner = ANY($1) AND id = ANY($3) AND is_open RETURNING id"
_SET_FREE = "UPDATE reloads SET owner = NULL WHERE owner = $1 AND is_open"
_END = "DELETE FROM replicas WHERE id = $1"
_SWEEP = "DELETE FROM replicas WHERE lease_until < now() - interval '1 hour'"

_STARTS = ("starting up", "recovery", "accepting connections")
_NOBODY_LISTENS = {str(errno.ECONNREFUSED), str(errno.EADDRNOTAVAIL)}

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(slots=True)
class Held:
    """An open reload that belongs to this life, as it was last written or read."""

    row: Reload
    version: int


class Lease:
    """The life of this process, and what belongs to it."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._good_until = 0.0
        self._well_since = math.inf
        self._is_refused = False
        self._tried_at = -math.inf
        self.id = uuid.uuid4()
        self.tried: list[uuid.UUID] = []
        """Lives that were to begin, and may have: the answer was lost."""
        self.held: dict[int, Held] = {}
        self.lost: set[int] = set()
        """Those that another life has taken over, until somebody asks."""

    @property
    def is_good(self) -> bool:
        """Whether nobody can have taken over what is ours, by our own monotonic clock."""
        return time.monotonic() < self._good_until

    @property
    def is_settled(self) -> bool:
        """Whether the database has been well for so long that who lives has renewed its lease since."""
        return time.monotonic() - self._well_since > LEASE_TIMEOUT

    async def make_sure(self, since: float = 0.0) -> None:
        """Return once `held` is what is ours; or at once where the database serves nobody else either.

        `since`: it counts only if the database was asked after this moment, by the monotonic clock.
        """
        while not self._is_sure(since):
            await self._try(since)
            if self._is_refused:
                return
            if not self._is_sure(since):  # it is silent: we may be cut off alone
                await asyncio.sleep(RENEW_INTERVAL)

    def _is_sure(self, since: float) -> bool:
        return self.is_good and self._good_until - LEASE_TIMEOUT >= since

    async def keep(self) -> NoReturn:
        """Renew for ever."""
        while True:
            await self.renew()
            await asyncio.sleep(RENEW_INTERVAL)

    async def renew(self) -> None:
        """Renew the lease, or begin a new life where it has run out; trouble is logged."""
        await self._try(math.inf)

    async def _try(self, since: float) -> None:
        """Renew, unless somebody else has meanwhile, after the moment `since`: never, if that is infinite."""
        async with self._turn:
            began = time.monotonic()
            was_refused = self._is_refused and began - self._tried_at < REFUSED_DELAY
            if self._is_sure(since) or (was_refused and since < math.inf):  # many wait for the same
                return
            self._tried_at = began
            try:
                async with asyncio.timeout(RENEW_INTERVAL if self.is_good else BEGIN_TIMEOUT):
                    await self._renew(await self._connected())
            except DATABASE_ERRORS as error:
                self._well_since = math.inf
                # A connection that breaks says nothing yet: the next try to connect will.
                self._is_refused = _refuses(error)
                log.warning("lease.not_renewed", error=type(error).__name__, refused=self._is_refused)
                self._disconnect()
            else:
                self._is_refused = False
                self._good_until = began + LEASE_TIMEOUT
                self._well_since = min(self._well_since, time.monotonic())

    async def end(self) -> None:
        """Set free what is open, so that others take it over at once."""
        async with self._turn:
            self._good_until = 0.0
            self.held = {}
            with suppress(*DATABASE_ERRORS):  # then it runs out by itself
                async with asyncio.timeout(RENEW_INTERVAL):
                    connection = await self._connected()
                    await connection.execute(_SET_FREE, self.id)
                    await connection.execute(_END, self.id)
            self._disconnect()

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _renew(self, connection: Connection) -> None:
        if await connection.fetchval(_RENEW, self.id, LEASE_TIMEOUT) is None:
            await self._begin_anew(connection)

    async def _begin_anew(self, connection: Connection) -> None:
        """A new life inherits what the last one had, but for what others have claimed meanwhile."""
        new = uuid.uuid4()
        old = [self.id, *self.tried]
        self.tried.append(new)
        async with transaction(connection):
            await connection.execute(_SWEEP)
            await connection.execute(_BEGIN, new, LEASE_TIMEOUT)
            rows = await connection.fetch(_INHERIT, old, new, list(self.held))
        self.id, self.tried = new, []
        gone = self.held.keys() - {row["id"] for row in rows}
        for id_ in gone:
            del self.held[id_]
        self.lost |= gone
        log.info("lease.begun", replica=str(new), kept=len(self.held), lost=len(gone))


def _refuses(error: Exception) -> bool:
    """Whether nobody can claim: nobody listens there, or it says that it starts, or cannot write.

    While it stops, others may still have a connection.
    """
    if isinstance(error, asyncpg.CannotConnectNowError):
        return any(said in str(error) for said in _STARTS)
    if isinstance(error, ConnectionRefusedError | FileNotFoundError):
        return True
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError | asyncpg.DiskFullError):
        return True
    each = set(re.findall(r"\[Errno (\d+)\]", str(error)))  # of a name with several addresses
    return type(error) is OSError and str(errno.ECONNREFUSED) in each and each <= _NOBODY_LISTENS
