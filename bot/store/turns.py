"""The embedded store's thread: verbs take turns there, and waiting ones are written together."""

import asyncio
import functools
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, TypeVar

import orjson
import structlog

from bot.domain.errors import StoreSlow, StoreTrouble
from bot.domain.reload import Reload
from bot.metrics import Metrics
from bot.store import index
from bot.store.memory import Memory
from bot.store.open_file import BUSY_TIMEOUT_MS, OpenFile
from bot.store.rows import RELOAD, pack, unpack

WRITE_TIMEOUT = 5.0
"""Seconds after which a call has failed for its caller; its write may still land."""
STEP_TIMEOUT = 1.0
"""The same for a step or a read, so that a slow disk holds up neither an ending nor a first response."""
WIPE_TIMEOUT_MS = 25
"""Milliseconds to wait for readers: everybody's writes wait behind it, and the next write tries again."""

GUARD_INTERVAL = 20.0
"""Seconds between two checks of the file, besides those before and after each write."""
_WRITE = (
    "REPLACE INTO kv SELECT json_extract(value, '$[0]'), CAST(json_extract(value, '$[1]') AS BLOB) "
    "FROM json_each(?)"
)
"""Writes any number of rows in one statement, with one parameter."""
_T = TypeVar("_T")
log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Turns(OpenFile):
    """Memory, the connection to the file, and the thread in which both change."""

    def __init__(self, metrics: Metrics, memory: Memory, path: Path, lock: TextIO) -> None:
        super().__init__(path, lock)
        self._metrics = metrics
        self._memory = memory
        self._wipe_due = True
        self._waiting: deque[_Call] = deque()
        self._thread = ThreadPoolExecutor(1, "store")
        self._is_closing = threading.Event()
        self._watching = threading.Thread(target=self._watch, name="store-watch", daemon=True)
        self._watching.start()

    def _watch(self) -> None:
        """Check the file, in a thread of its own and by real time: there may be no write for hours."""
        while not self._is_closing.wait(GUARD_INTERVAL):
            self._thread.submit(self._look_after)

    def _stop_watching(self) -> None:
        self._is_closing.set()
        self._watching.join()

    # The following runs in the store's own thread, one verb at a time, which makes each of them atomic.

    def _select(self, query: str, *args: Any) -> Any:
        """Return the JSON of a query in `bot.store.index`. Raises sqlite3.Error, StoreTrouble."""
        return orjson.loads(self._execute(query, *args)[0])

    def _reloads(self, query: str, *args: Any) -> list[Reload]:
        return self._read(self._lines(query, *args))

    def _lines(self, query: str, *args: Any) -> list[bytes]:
        """Return the lines of a query in `bot.store.index`. Raises sqlite3.Error, StoreTrouble."""
        found: bytes = self._execute(query, *args)[0]
        return found.split(b"\n") if found else []

    def _read(self, lines: Iterable[bytes]) -> list[Reload]:
        """Return those that this version can read. An unreadable one stops nobody: `inspect` reports it."""
        found = []
        for line in lines:
            try:
                value = orjson.loads(line)
                found.append(unpack(RELOAD, RELOAD.address(value["id"]), value))
            except (ValueError, TypeError, KeyError):
                log.error("store.row_unreadable")  # noqa: TRY400  # no news in a traceback
        return found

    def _take_turn(self, call: "_Call") -> Any:
        """Write for all who wait, in the turn of whoever comes first: one fsync for a crowd."""
        if not call.done:
            self._write_together([self._waiting.popleft() for _ in range(len(self._waiting))])
        if call.error is not None:
            raise call.error
        return call.result

    def _write_together(self, calls: list["_Call"]) -> None:
        self._memory.begin()
        load, write, began = _Call(lambda: self._load(calls)), _Call(self._write), time.monotonic()
        load.make()
        if load.error is None:
            for call in calls:
                call.make()
            began = time.monotonic()
            write.make()
        if (error := load.error or write.error) is not None:  # nobody may believe that it is stored
            self._metrics.store_failures.inc()
            self._memory.undo()
            why = f"storage failed: {type(error).__name__}: {error}"
            for call in calls:
                call.error = call.error or StoreTrouble(why)
        elif self._memory.changed:
            self._metrics.store_seconds.observe(time.monotonic() - began)
        self._memory.settle()
        for call in calls:
            call.done = True

    def _load(self, calls: list["_Call"]) -> None:
        """Load into memory the ended reloads that verbs are about, by one query for all."""
        needed = {id_ for call in calls for id_ in call.about if id_ not in self._memory.reloads}
        if needed:
            addresses = orjson.dumps([RELOAD.address(id_) for id_ in needed]).decode()
            found = self._reloads(index.THESE, addresses)
            self._memory.load(row for row in found if row.id > self._memory.hidden(row.server))

    def _write(self) -> None:
        """Write changes to the disk, all or nothing: one statement, with NULL for deleted rows."""
        packed = {name: pack(value) for name, value in self._memory.changed.items()}
        rows = [[name, value.decode() if value is not None else None] for name, value in packed.items()]
        if rows:
            self._guard()
            self._execute(_WRITE, orjson.dumps(rows).decode())
            self._guard()
        if self._wipe_due:
            self._wipe(0)

    def _wipe(self, patience: int = WIPE_TIMEOUT_MS) -> None:
        """Erase deleted bytes from the disk; with a reader in the way, the next write tries again."""
        self._wipe_due = True
        try:
            self._pragma(f"busy_timeout={patience}")
            try:
                self._wipe_due = self._pragma("wal_checkpoint(TRUNCATE)")[0] != 0
            finally:
                self._pragma(f"busy_timeout={BUSY_TIMEOUT_MS}")
        except (sqlite3.Error, StoreTrouble) as error:  # the write itself has succeeded: only this must wait
            log.warning("store.not_wiped", error=type(error).__name__)

    def _look_after(self) -> None:
        with suppress(StoreTrouble):  # it was logged, and is the `fault`
            try:
                self._guard()
                if self._wipe_due:
                    self._wipe(0)
            except (OSError, sqlite3.Error) as error:
                log.warning("store.not_looked_at", error=type(error).__name__)

    # The following runs on the event loop.

    async def _call(
        self, limit: float, verb: Callable[..., _T], *args: Any, about: tuple[int, ...] = ()
    ) -> _T:
        """Have a verb take its turn; `about`: IDs of reloads that it needs, even ended ones."""
        call = _Call(functools.partial(verb, *args), about)
        self._waiting.append(call)
        done: _T = await self._in_thread(limit, self._take_turn, call)
        return done

    async def _call_and_wipe(self, limit: float, verb: Callable[..., _T], *args: Any) -> _T:
        """Erase in a separate turn: others who wait for their write need not wait for that."""
        try:
            done = await self._call(limit, verb, *args)
        except StoreSlow:
            self._thread.submit(self._wipe)  # after the late write
            raise
        await self._in_thread(limit, self._wipe)
        return done

    async def _look(self, work: Callable[..., _T], *args: Any) -> _T:
        """Read from the disk. Raises StoreTrouble."""
        try:
            return await self._in_thread(STEP_TIMEOUT, work, *args)
        except (OSError, sqlite3.Error, ValueError) as error:
            self._metrics.store_failures.inc()
            raise StoreTrouble(f"storage failed: {type(error).__name__}: {error}") from None

    async def _in_thread(self, limit: float, work: Callable[..., _T], *args: Any) -> _T:
        landing = asyncio.get_running_loop().run_in_executor(self._thread, work, *args)
        try:
            async with asyncio.timeout(limit):
                return await asyncio.shield(landing)
        except TimeoutError:
            if landing.done():  # the loop was held up, and it checks the clock first
                return landing.result()
            landing.add_done_callback(_log_late)
            self._metrics.store_failures.inc()
            raise StoreSlow(landing) from None
        except asyncio.CancelledError:
            landing.add_done_callback(_log_late)
            raise


@dataclass(slots=True, eq=False)
class _Call:
    """A verb that waits for its turn, and its result."""

    verb: Callable[[], Any]
    about: tuple[int, ...] = ()
    result: Any = None
    error: Exception | None = None
    done: bool = False

    def make(self) -> None:
        """Run it, and keep the result for the caller: a verb checks before it changes anything."""
        try:
            self.result = self.verb()
        except sqlite3.Error as error:
            self.error = StoreTrouble(f"storage failed: {type(error).__name__}: {error}")
        except Exception as error:  # noqa: BLE001  # raised again where it is waited for, in another thread
            self.error = error


def _log_late(landing: asyncio.Future[Any]) -> None:
    if not landing.cancelled() and isinstance(error := landing.exception(), StoreTrouble):
        log.error("store.late_write_failed", error=type(error).__name__)
