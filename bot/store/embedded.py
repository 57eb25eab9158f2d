"""The embedded store: one file, one table, one thread; sqlitedict on disk, all of it mirrored in memory.

With `synchronous=FULL` a write has been fsynced when it returns. The default pickle of sqlitedict is never
used (CVE-2024-35515): rows are JSON.
"""

import asyncio
import functools
import math
import sqlite3
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, Unpack

import orjson
import structlog
from sqlitedict import SqliteDict

from bot.domain.errors import StoreSlow, StoreTrouble
from bot.domain.reload import Asker, Reload, State
from bot.domain.rows import KeyRow, ServerSettings, Watch
from bot.domain.steps import Facts
from bot.metrics import Metrics
from bot.store import file
from bot.store.base import News
from bot.store.embedded_rows import EmbeddedRows
from bot.store.memory import Memory
from bot.store.rows import VALUE, pack

WRITE_TIMEOUT = 5.0
"""A call that takes longer is in trouble; its write may still land."""
STEP_TIMEOUT = 1.0
"""The same for a step: an ending is not held up by a slow disk."""
EXPIRE_BATCH = 500
BUSY_TIMEOUT_MS = 3000
WIPE_TIMEOUT_MS = 500

_WRITE = (
    "REPLACE INTO kv SELECT json_extract(value, '$[0]'), CAST(json_extract(value, '$[1]') AS BLOB) "
    "FROM json_each(?)"
)
"""Any number of rows in one statement, and one parameter."""
_T = TypeVar("_T")
log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class EmbeddedStore(EmbeddedRows):
    """The store of `bot.store.base` in one file that belongs to one process."""

    is_shared = is_outdated = False

    def __init__(self, folder: Path, metrics: Metrics | None = None) -> None:
        """Open or make the store. Raises StoreUnusable, saying what to do."""
        self._metrics = metrics or Metrics()
        self._memory = Memory()
        self._wipe_due = self._sweep_due = True
        self._waiting: deque[_Call] = deque()
        with ExitStack() as undo, file.trouble(folder):
            self._lock = undo.enter_context(file.claim(folder))
            path = folder / file.NAME
            for name, value in file.read(path).items():
                self._memory.remember(name, value)
            self._db = self._open(path)
            undo.pop_all()
        self._thread = ThreadPoolExecutor(1, "store")

    def _open(self, path: Path) -> Any:
        db = SqliteDict(
            str(path),
            tablename="kv",
            autocommit=True,
            journal_mode="WAL",
            encode=orjson.dumps,
            decode=orjson.loads,
            outer_stack=False,
        )
        for pragma in ("synchronous=FULL", "secure_delete=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
            db.conn.select_one(f"PRAGMA {pragma}")
        return db

    # What follows runs in the store's own thread, one verb at a time: that makes each of them atomic.

    def _pragma(self, text: str) -> Any:
        return self._db.conn.select_one(f"PRAGMA {text}")

    def _take_turn(self, call: "_Call") -> Any:
        """Whoever's turn comes first writes for all who wait: one fsync for a crowd."""
        if not call.done:
            self._write_together([self._waiting.popleft() for _ in range(len(self._waiting))])
        if call.error is not None:
            raise call.error
        return call.result

    def _write_together(self, calls: list["_Call"]) -> None:
        self._memory.begin()
        for call in calls:
            call.make()
        write, began = _Call(self._write), time.monotonic()
        write.make()
        if write.error is not None:  # whatever it was, nobody may believe that it is stored
            self._metrics.store_failures.inc()
            self._memory.undo()
            why = f"storage failed: {type(write.error).__name__}: {write.error}"
            for call in calls:
                call.error = call.error or StoreTrouble(why)
        elif self._memory.changed:
            self._metrics.store_seconds.observe(time.monotonic() - began)
        for call in calls:
            call.done = True

    def _write(self) -> None:
        """Bring what has changed to the disk, all or nothing: one statement, with a NULL for what is gone."""
        if not self._db.conn.is_alive():  # it would be waited for, for ever
            raise StoreTrouble("the storage thread has died: restart the bot")
        packed = {name: pack(value) for name, value in self._memory.changed.items()}
        rows = [[name, value.decode() if value is not None else None] for name, value in packed.items()]
        if rows:
            self._db.conn.select_one(_WRITE, (orjson.dumps(rows).decode(),))
            self._sweep_due = self._sweep_due or None in self._memory.changed.values()
        if self._wipe_due:
            self._wipe(0)

    def _wipe(self, patience: int = WIPE_TIMEOUT_MS) -> None:
        """Take what is gone off the disk; with a reader in the way it is due again with the next write."""
        self._wipe_due = True
        if not self._db.conn.is_alive():
            return
        try:
            if self._sweep_due:
                self._db.conn.select_one("DELETE FROM kv WHERE value IS NULL")
                self._sweep_due = False
            self._pragma(f"busy_timeout={patience}")
            self._wipe_due = self._pragma("wal_checkpoint(TRUNCATE)")[0] != 0
        except sqlite3.Error as error:  # what was to be written has been: only the wiping waits
            log.warning("store.not_wiped", error=type(error).__name__)
        finally:
            self._pragma(f"busy_timeout={BUSY_TIMEOUT_MS}")

    # What follows runs on the event loop.

    async def _call(self, limit: float, verb: Callable[..., _T], *args: Any) -> _T:
        call = _Call(functools.partial(verb, *args))
        self._waiting.append(call)
        done: _T = await self._in_thread(limit, self._take_turn, call)
        return done

    async def _call_and_wipe(self, verb: Callable[..., _T], *args: Any) -> _T:
        """Wipe in a turn of its own: who waits for another write need not wait for that."""
        try:
            done = await self._call(WRITE_TIMEOUT, verb, *args)
        except StoreSlow:
            self._thread.submit(self._wipe)  # behind the write that is late
            raise
        await self._in_thread(WRITE_TIMEOUT, self._wipe)
        return done

    async def _in_thread(self, limit: float, work: Callable[..., _T], *args: Any) -> _T:
        landing = asyncio.get_running_loop().run_in_executor(self._thread, work, *args)
        try:
            async with asyncio.timeout(limit):
                return await asyncio.shield(landing)
        except TimeoutError:
            landing.add_done_callback(_log_late)
            self._metrics.store_failures.inc()
            raise StoreSlow(landing) from None
        except asyncio.CancelledError:
            landing.add_done_callback(_log_late)
            raise

    async def ask(self, new: Reload, limit: float) -> Reload | None:
        return await self._call(limit, self._memory.ask, new)

    async def step(
        self, id_: int, from_: Collection[State], to: State, **facts: Unpack[Facts]
    ) -> Reload | None:
        return await self._call(STEP_TIMEOUT, self._memory.step, id_, from_, to, facts)

    async def notify(self, id_: int, asker: Asker, *, wanted: bool) -> Reload | None:
        return await self._call(STEP_TIMEOUT, self._memory.notify, id_, asker, wanted)

    async def news(self) -> News:
        """All that is open is ours; `changed` and `lost` are for what is shared."""
        mine = sorted(await self.open(), key=lambda reload: reload.turn_at)
        return News(mine, [], frozenset())

    async def hold(self, _: int, /, *, anew: bool = False) -> None:
        """At once: nobody else has the file."""

    def holds(self, _: int, /) -> bool:
        return True

    async def try_again(self, servers: Collection[int], threads: Collection[int]) -> None:
        """Nobody else has any."""

    async def release(self) -> None:
        """Nobody else has the file."""

    async def open(self) -> list[Reload]:
        return [reload for reload in list(self._memory.reloads.values()) if reload.is_open]

    async def find(self, server: int, id_: int) -> Reload | None:
        return self._memory.of_server.get(server, {}).get(id_)

    async def history(self, server: int, model: str | None = None, most: int | None = None) -> list[Reload]:
        mine = list(self._memory.of_server.get(server, {}).values())
        if model is not None:
            mine = [reload for reload in mine if reload.model == model]
        return sorted(mine, key=lambda reload: reload.asked_at, reverse=True)[:most]

    async def key(self, server: int) -> KeyRow | None:
        return self._memory.keys.get(server)

    async def all_keys(self) -> AsyncIterator[tuple[int, KeyRow]]:
        for known in list(self._memory.keys.items()):
            yield known

    async def set_key(self, server: int, row: KeyRow) -> None:
        await self._call_and_wipe(self._memory.set_key, server, row)

    async def replace_key(self, server: int, was: KeyRow, row: KeyRow) -> bool:
        return await self._call_and_wipe(self._memory.replace_key, server, was, row)

    async def remove_key(self, server: int, set_until: float = math.inf) -> bool:
        return await self._call_and_wipe(self._memory.remove_key, server, set_until)

    async def settings(self, server: int) -> ServerSettings:
        return self._memory.settings.get(server, ServerSettings())

    async def change_settings(self, server: int, **changes: Any) -> ServerSettings:
        return await self._call(STEP_TIMEOUT, self._memory.change_settings, server, changes)

    async def watch(self, server: int, model: str) -> Watch | None:
        return self._memory.watches.get((server, model))

    async def all_watches(self) -> AsyncIterator[Watch]:
        for watch in list(self._memory.watches.values()):
            yield watch

    async def set_watch(self, watch: Watch, *, anew: bool = False) -> bool:
        return await self._call(STEP_TIMEOUT, self._memory.set_watch, watch, anew)

    async def remove_watch(self, server: int, model: str) -> bool:
        return await self._call(STEP_TIMEOUT, self._memory.remove_watch, server, model)

    async def servers(self) -> set[int]:
        memory = self._memory  # copied in one go, as the other thread may add to it
        with_reloads = {server for server, reloads in list(memory.of_server.items()) if reloads}
        named = (memory.watches, memory.paid_calls, memory.events)
        others = {server for places in named for server, _ in list(places)}
        return set(memory.keys) | with_reloads | set(memory.settings) | others

    async def expire(self, ended_before: float, fade_before: float) -> int:
        done = await self._call(WRITE_TIMEOUT, self._memory.expire, ended_before, fade_before, EXPIRE_BATCH)
        if done < EXPIRE_BATCH:
            await self._in_thread(WRITE_TIMEOUT, self._wipe)
        return done

    async def forget(self, server: int) -> None:
        await self._call_and_wipe(self._memory.forget, server)

    async def value(self, name: str) -> Any:
        return self._memory.values.get(name)

    async def set_value(self, name: str, value: Any) -> None:
        await self._call(WRITE_TIMEOUT, self._memory.change, VALUE.address(name=name), value)

    def close(self) -> None:
        """Wait for what is queued, then close. Blocks for as long as the disk does."""
        self._thread.shutdown()
        if self._db.conn.is_alive():
            self._wipe()
            self._db.close()
        self._lock.close()


@dataclass(slots=True, eq=False)
class _Call:
    """A verb that waits for its turn, and what came of it."""

    verb: Callable[[], Any]
    result: Any = None
    error: Exception | None = None
    done: bool = False

    def make(self) -> None:
        """Do it, and keep what came of it for whoever waits: a verb checks before it changes anything."""
        try:
            self.result = self.verb()
        except Exception as error:  # noqa: BLE001  # raised again where it is waited for, in another thread
            self.error = error


def _log_late(landing: asyncio.Future[Any]) -> None:
    if not landing.cancelled() and isinstance(error := landing.exception(), StoreTrouble):
        log.error("store.late_write_failed", error=type(error).__name__)
