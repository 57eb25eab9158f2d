"""Long work in the embedded store, done in pages: deletion, the rest of an upgrade, the search for damage."""

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import TextIO

import structlog

from bot.domain.errors import StoreTrouble, StoreUnusable
from bot.metrics import Metrics
from bot.store import file, index
from bot.store.memory import Memory
from bot.store.rows import FORGOTTEN
from bot.store.turns import WRITE_TIMEOUT, Turns

FIRST_BATCH, SMALLEST_BATCH = 100, 25
PAGE_SECONDS = 0.006
"""Seconds that a page should take, so that nobody waits long behind it; after twice that, the next is halved.
"""
SERVERS_BATCH = 200
CHECK_PAUSE = 0.25
"""Seconds between two pages of rows that are only checked: a million take ten minutes, and 3 % of a core."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Upkeep(Turns):
    """The verbs of `bot.store.base` that take long."""

    def __init__(
        self, metrics: Metrics, memory: Memory, path: Path, lock: TextIO, largest_batch: int
    ) -> None:
        super().__init__(metrics, memory, path, lock)
        self._batch, self._largest_batch = FIRST_BATCH, largest_batch
        self._looked_below = index.LAST

    @property
    def _is_upgrading(self) -> bool:
        return file.UPGRADED in self._memory.values

    def _paced(self, began: float, done: int) -> int:
        """Make the next page as large as the time allows."""
        took = time.monotonic() - began
        if took > 2 * PAGE_SECONDS:
            self._batch = max(SMALLEST_BATCH, self._batch // 2)
        elif took < PAGE_SECONDS and done:
            self._batch = min(self._largest_batch, 2 * self._batch)
        return done

    async def expire(self, ended_before: float, fade_before: float) -> int:
        began = time.monotonic()
        done = await self._call(WRITE_TIMEOUT, self._expire, ended_before, fade_before)
        return await self._wiped(self._paced(began, done))

    def _expire(self, ended_before: float, fade_before: float) -> int:
        old: list[int] = self._select(index.DUE, ended_before, self._batch)
        most = self._batch - len(old)
        fading = self._reloads(index.FADING, ended_before, fade_before, most) if most else []
        return self._memory.expire(old, fading, ended_before)

    async def _wiped(self, done: int) -> int:
        """Erase deleted bytes from the disk once nothing is left to delete."""
        if not done:
            await self._in_thread(WRITE_TIMEOUT, self._wipe)
        return done

    async def forget(self, server: int) -> int:
        began = time.monotonic()
        done = await self._call_and_wipe(WRITE_TIMEOUT, self._forget, server)
        return self._paced(began, done)

    def _forget(self, server: int) -> int:
        (highest,) = self._select(index.HIGHEST)  # IDs grow with time: later requests are above
        ids: list[int] = self._select(index.NEWEST, server, highest, self._batch)
        self._memory.forget(server, ids, highest)
        return len(ids)

    async def sweep(self) -> int:
        began = time.monotonic()
        done = await self._call(WRITE_TIMEOUT, self._sweep)
        return await self._wiped(self._paced(began, done))

    def _sweep(self) -> int:
        for server, highest in list(self._memory.forgotten.items()):
            if ids := self._select(index.NEWEST, server, highest, self._batch):
                return self._memory.remove(ids)
            if not self._is_upgrading:  # until then some may not be found
                self._memory.change(FORGOTTEN.address(server), None)
        return 0

    async def crowded(self, most: int) -> list[int]:
        found: list[int] = []
        after: int | None = 0
        while after is not None:
            after, some = await self._look(self._select, index.CROWDED, after, SERVERS_BATCH, most)
            found += some
        return found

    async def trim(self, server: int, most: int, asked_before: float, used_before: float) -> int:
        began = time.monotonic()
        done = await self._call(WRITE_TIMEOUT, self._trim, server, most, asked_before, used_before)
        return await self._wiped(self._paced(began, done))

    def _trim(self, server: int, *limits: float) -> int:
        return self._memory.remove(self._select(index.SURPLUS, server, *limits, self._batch))

    async def inspect(self) -> float | None:
        """The verb of `bot.store.base`: it enters in the index what an older version wrote."""
        began = time.monotonic()
        is_upgrading = self._is_upgrading
        below = self._memory.values[file.UPGRADED] if is_upgrading else self._looked_below
        try:
            async with asyncio.timeout(WRITE_TIMEOUT):
                page, fault = await asyncio.to_thread(_look_through, self._path, below, self._batch)
        except (TimeoutError, sqlite3.OperationalError) as error:
            raise StoreTrouble(f"storage failed: {type(error).__name__}") from None
        if fault and not self._damage:
            self._damage = fault
            log.error("store.damaged", why=fault)
        if fault and not page:  # the rest can't be read
            return None
        if is_upgrading:
            began = time.monotonic()
            await self._call(WRITE_TIMEOUT, self._enter, page)
            self._paced(began, len(page))
        self._looked_below = page[-1] if page else index.FIRST
        if not page:
            return None
        return time.monotonic() - began if is_upgrading else CHECK_PAUSE

    def _enter(self, page: list[str]) -> None:
        """Enter these in the index; if this is killed before the value is written, it is repeated."""
        if page:
            self._execute(index.ENTER_RANGE, page[-1], page[0])
        else:
            log.info("store.upgraded")
        self._memory.change(file.UPGRADED_ADDRESS, page[-1] if page else None)


def _look_through(path: Path, below: str, most: int) -> tuple[list[str], str]:
    """Return the addresses of a page of reloads, and a fault in one of them; no addresses at the end.

    Raises sqlite3.OperationalError.
    """
    fault = ""
    damaged = f"{path} is damaged: stop the bot and restore a backup"
    try:
        page = file.page(path, below, most)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        return [], damaged
    for row in page:
        try:
            list(file.unpacked([row], path))
        except StoreUnusable as error:
            fault = str(error)
        except (ValueError, TypeError):
            fault = damaged
    return [name for name, _ in page], fault
