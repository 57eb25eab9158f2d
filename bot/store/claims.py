"""Decides which open reloads are this process's: claims unowned ones, and follows changes by others."""

import time
from collections import Counter

import asyncpg
import structlog

from bot.domain.errors import StoreTrouble, Taken
from bot.domain.reload import Reload
from bot.store import statements as sql
from bot.store.base import News
from bot.store.database import Database
from bot.store.lease import LEASE_TIMEOUT, Held, Lease
from bot.store.schema import Connection, transaction
from bot.store.server_rows import STEP_TIMEOUT, WRITE_TIMEOUT

CLAIM_BATCH = 5000
COMPARE_INTERVAL = 2.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Claims:
    """The reloads of this process's lease, kept in step with the database."""

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self._lease = lease
        self._unreadable: set[int] = set()
        self._claimed: list[Reload] = []
        """Claimed reloads that nobody has asked for yet: the answer may come late."""
        self._compared_at = 0.0
        self.under_way: Counter[int] = Counter()
        """IDs of reloads that are being written."""

    def holds(self, id_: int) -> bool:
        return id_ in self._lease.held and all(reload.id != id_ for reload in self._claimed)

    async def hold(self, id_: int, since: float) -> None:
        await self._lease.make_sure(since)
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
        except StoreTrouble as error:  # claimed reloads must be looked after anyway
            log.warning("store.no_news", error=str(error))
        lost, lease.lost = frozenset(lease.lost), set()
        taken, self._claimed = self._claimed, []
        newest = [lease.held[reload.id].row for reload in taken if reload.id in lease.held]
        return News(sorted(newest, key=lambda reload: reload.turn_at), changed, lost)

    async def _claim(self) -> None:
        lease_id = self._lease.id

        async def work(connection: Connection) -> None:
            if self._lease.is_settled:
                await connection.execute(sql.EXPIRE_LEASES, lease_id, LEASE_TIMEOUT)
            unowned = await connection.fetch(sql.UNOWNED, lease_id, list(self._unreadable), CLAIM_BATCH)
            if not unowned:
                return
            ids = [record["id"] for record in unowned]
            async with transaction(connection):
                locked = [record["id"] for record in await connection.fetch(sql.LOCK, lease_id, ids)]
                records = await connection.fetch(sql.CLAIM, lease_id, locked)
            if self._lease.id != lease_id:  # the lease is over, and others may claim them
                return
            taken = [self.take(record, reload) for record, reload in sql.readable(records)]
            self._claimed += taken
            if unreadable := {record["id"] for record in records} - {reload.id for reload in taken}:
                self._unreadable |= unreadable
                await connection.execute(sql.LEAVE, lease_id, list(unreadable))

        await self._database.do(WRITE_TIMEOUT, work)

    async def _changed(self) -> list[Reload]:
        records = await self._database.fetch(STEP_TIMEOUT, sql.NEWS, self._lease.id)
        known = [record for record in records if record["id"] in self._lease.held]
        return [self.take(record, reload) for record, reload in sql.readable(known)]

    async def _compare(self) -> None:
        """Release reloads that are ours without our knowledge (a lost answer), drop those no longer ours."""
        lease_id, before = self._lease.id, self._lease.held.keys() | self.under_way.keys()
        mine = {record["id"] for record in await self._database.fetch(STEP_TIMEOUT, sql.MINE, lease_id)}
        if self._lease.id != lease_id or self._lease.tried:  # they may belong to a newer lease by now
            return
        gone = (before & self._lease.held.keys()) - mine - self.under_way.keys()
        for id_ in gone:
            del self._lease.held[id_]
        self._lease.lost |= gone
        if unknown := mine - before - self._lease.held.keys() - self.under_way.keys():
            log.warning("store.found", count=len(unknown))
            await self._database.fetch(STEP_TIMEOUT, sql.LEAVE, lease_id, list(unknown))

    def take(self, record: asyncpg.Record, reload: Reload) -> Reload:
        """Return what is known of it now: a later answer may have been read earlier."""
        known = self._lease.held.get(reload.id)
        if known is None or known.version <= record["version"]:
            known = self._lease.held[reload.id] = Held(reload, record["version"])
        return known.row
