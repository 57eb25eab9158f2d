"""A replica's lease: a row that it renews while it is healthy.

A lease that has expired is never renewed: the process takes a new one, with a new ID. So an ID is a fence.
"""

import asyncio
import errno
import math
import re
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

import asyncpg
import structlog

from bot.clock import elapsed
from bot.domain.reload import Reload
from bot.store.database import DATABASE_ERRORS, named
from bot.store.schema import MIGRATIONS, Connection, transaction

LEASE_TIMEOUT = 3.0
"""Seconds after its last renewal until a lease expires."""
RENEW_INTERVAL = 1.0
RENEW_TIMEOUT = 1.0
BEGIN_TIMEOUT = 2.5
"""Seconds to connect and take a new lease: a dozen round trips."""
REFUSED_DELAY = 0.5
"""Seconds after a refusal during which nobody asks again."""

_SEEN = """
(SELECT max(number) FROM migrations) AS newest, pg_backend_pid() AS pid,
EXISTS (SELECT FROM pg_stat_get_wal_senders()) AS has_standby
"""
_BEGIN = f"""
INSERT INTO replicas (id, lease_until) VALUES ($1, now() + make_interval(secs => $2)) RETURNING {_SEEN}
"""  # noqa: S608  # our own words
_RENEW = f"""
UPDATE replicas SET lease_until = now() + make_interval(secs => $2)
WHERE id = $1 AND lease_until > now() RETURNING {_SEEN}
"""  # noqa: S608
_INHERIT = "UPDATE reloads SET owner = $2 WHERE owner = ANY($1) AND id = ANY($3) AND is_open RETURNING id"
_SET_FREE = "UPDATE reloads SET owner = NULL WHERE owner = $1 AND is_open"
_END = "DELETE FROM replicas WHERE id = $1"
_SWEEP = "DELETE FROM replicas WHERE lease_until < now() - interval '1 hour'"

_STARTS = ("starting up", "in recovery mode")
_NOBODY_LISTENS = {str(errno.ECONNREFUSED), str(errno.EADDRNOTAVAIL)}

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(slots=True)
class Held:
    """An open reload that this lease holds, as it was last written or read."""

    row: Reload
    version: int


class Lease:
    """This process's lease, and the reloads that it holds.

    `is_fixed`: whether everyone who connects reaches the same address. `clock`: monotonic seconds, including
    suspends.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        *,
        is_fixed: bool,
        clock: Callable[[], float] = elapsed,
    ) -> None:
        self._connect = connect
        self.clock = clock
        self._is_sole = is_fixed
        """Whether no other database could serve others while ours refuses us."""
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._good_until = 0.0
        self._well_since = math.inf
        self._is_refused = False
        self._tried_at = -math.inf
        self.id = uuid.uuid4()
        self.tried: list[uuid.UUID] = []
        """Leases that were being taken, and may exist: the answer was lost."""
        self.held: dict[int, Held] = {}
        self.lost: set[int] = set()
        """Reloads that another lease has claimed, until somebody asks."""
        self.is_outdated = False
        """Whether a newer version has changed the tables: then this process has released what it held."""

    @property
    def is_good(self) -> bool:
        """Whether, by our own clock, nobody can have taken over what is ours."""
        return self.clock() < self._good_until

    @property
    def is_settled(self) -> bool:
        """Whether the database has been healthy long enough for every live replica to have renewed."""
        return self.clock() - self._well_since > LEASE_TIMEOUT

    async def make_sure(self, since: float = 0.0) -> None:
        """Return once `held` is what is ours, or immediately if the database serves nobody else either.

        `since`: only an answer of the database after this moment, by `clock`, counts.
        """
        while not self._is_sure(since):
            await self._try(since)
            if self._is_refused or self.is_outdated:
                return
            if not self._is_sure(since):  # it is silent: perhaps only we are cut off
                await asyncio.sleep(RENEW_INTERVAL)

    def _is_sure(self, since: float) -> bool:
        return self.is_good and self._good_until - LEASE_TIMEOUT >= since

    async def keep(self) -> NoReturn:
        """Renew forever."""
        while True:
            await self.renew()
            await asyncio.sleep(RENEW_INTERVAL)

    async def renew(self) -> None:
        """Renew the lease, or take a new one if it has expired; trouble is logged."""
        await self._try(math.inf)

    async def _try(self, since: float) -> None:
        """Renew, unless another task has done so since the moment `since`: always, if that is infinite."""
        async with self._turn:
            began = self.clock()
            was_refused = self._is_refused and began - self._tried_at < REFUSED_DELAY
            if self._is_sure(since) or (was_refused and since < math.inf):  # many wait for the same answer
                return
            self._tried_at = began
            try:
                async with asyncio.timeout(RENEW_TIMEOUT if self.is_good else BEGIN_TIMEOUT):
                    await self._renew(await self._connected())
            except DATABASE_ERRORS as error:
                self._well_since = math.inf
                # A broken connection proves nothing yet; the next attempt to connect will.
                self._is_refused = self._is_sole and _refuses(error)
                log.warning("lease.not_renewed", error=named(error), refused=self._is_refused)
                self._disconnect()
            else:
                self._is_refused = False
                self._good_until = 0.0 if self.is_outdated else began + LEASE_TIMEOUT
                self._well_since = min(self._well_since, self.clock())

    async def end(self) -> None:
        """Release open reloads, so that others take them over immediately."""
        async with self._turn:
            self._good_until = 0.0
            self.held = {}
            with suppress(*DATABASE_ERRORS):  # then it expires by itself
                async with asyncio.timeout(RENEW_TIMEOUT):
                    await self._release(await self._connected())
            self._disconnect()

    async def _release(self, connection: Connection) -> None:
        await connection.execute(_SET_FREE, self.id)
        await connection.execute(_END, self.id)

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _renew(self, connection: Connection) -> None:
        seen = await connection.fetchrow(_RENEW, self.id, LEASE_TIMEOUT)
        if seen is None:
            seen = await self._take_new(connection)
        # While ours refuses us, a standby may be promoted; and a pooler, which shows a process ID of its own
        # making, may refuse by itself.
        if seen["has_standby"] or seen["pid"] != connection.get_server_pid():
            self._is_sole = False
        if seen["newest"] > len(MIGRATIONS):
            await self._give_way(connection)

    async def _give_way(self, connection: Connection) -> None:
        """Step back: a newer version's replicas can read our rows, but we would lose what only they know."""
        if not self.is_outdated:
            log.error("lease.outdated", why="a newer version has changed the database: upgrade the bot")
        self.is_outdated = True
        self.lost |= self.held.keys()
        self.held = {}
        await self._release(connection)

    async def _take_new(self, connection: Connection) -> asyncpg.Record:
        """Take a new lease, which inherits what the last one held, except what others have claimed since.

        Return what was seen of the database.
        """
        new = uuid.uuid4()
        old = [self.id, *self.tried]
        self.tried.append(new)
        async with transaction(connection):
            await connection.execute(_SWEEP)
            [seen] = await connection.fetch(_BEGIN, new, LEASE_TIMEOUT)
            rows = await connection.fetch(_INHERIT, old, new, list(self.held))
        self.id, self.tried = new, []
        gone = self.held.keys() - {row["id"] for row in rows}
        for id_ in gone:
            del self.held[id_]
        self.lost |= gone
        log.info("lease.begun", replica=str(new), kept=len(self.held), lost=len(gone))
        return seen


def _refuses(error: Exception) -> bool:
    """Return whether a database serves nobody: nothing listens there, it is starting, or its disk is full.

    While it stops, others may still have a connection. If it is read-only, that may be so only for us: a
    standby.
    """
    if isinstance(error, asyncpg.CannotConnectNowError):
        return any(said in str(error) for said in _STARTS)
    if isinstance(error, ConnectionRefusedError | FileNotFoundError | asyncpg.DiskFullError):
        return True
    each = set(re.findall(r"\[Errno (\d+)\]", str(error)))  # for a name with several addresses
    return type(error) is OSError and str(errno.ECONNREFUSED) in each and each <= _NOBODY_LISTENS
