"""The embedded store's file while it is open in sqlitedict. A copy is put back if somebody deletes it."""

import math
import sqlite3
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import orjson
import structlog
from sqlitedict import SqliteDict

from bot.domain.errors import StoreTrouble
from bot.store import file
from bot.store.place import Place, Whereabouts

BUSY_TIMEOUT_MS = 3000
_PRAGMAS = (
    "synchronous=FULL",
    "secure_delete=ON",
    "wal_autocheckpoint=200",  # pages; everybody waits for a checkpoint: 60 to 90 ms at SQLite's 1,000
    f"busy_timeout={BUSY_TIMEOUT_MS}",
)
REPORT_SHOWN = 60.0
"""Seconds for which /readyz reports it, long enough for a monitor to see it once."""
_PUT_BACK = "{path} was deleted or moved while the bot ran, and a copy was put back: see who does that"
_JOINED = (
    "{path} was moved behind a link, or the files next to it (-wal, -shm) were deleted, while the bot ran: "
    "nothing is lost, but see who does that"
)
_LOST = (
    "{path} was replaced or cut off while the bot ran, and nothing is stored any more: stop the bot, "
    "then see that the right file is there"
)
_STRANDED = (
    "{path} was deleted or moved while the bot ran, and its copy, {path}.copy, can't get its name: nothing "
    "is stored any more, stop the bot and put the right file there"
)
_NOT_PUT_BACK = "{path} was deleted or moved while the bot ran, and a copy can't be put back: {why}"
_SHARED = (
    "{path}.lock was deleted while the bot ran, and another bot has opened the file: this one stores nothing "
    "any more, stop one of them"
)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class OpenFile:
    """The connection to the file; everything except `fault` is for the store's own thread."""

    def __init__(self, path: Path, lock: TextIO) -> None:
        self._path = path
        self._lock = lock
        self._reported_at, self._reported = -math.inf, ""
        self._lost = ""
        self._damage = ""
        self._open()

    def _open(self) -> None:
        self._place = Place(self._path)
        self._db = self._connect()
        self._place.is_open(self._pragma("user_version")[0])

    def _connect(self) -> Any:
        db = SqliteDict(
            str(self._path),
            tablename="kv",
            autocommit=True,
            journal_mode="WAL",
            encode=orjson.dumps,
            decode=orjson.loads,
            outer_stack=False,
        )
        for pragma in _PRAGMAS:
            db.conn.select_one(f"PRAGMA {pragma}")
        return db

    @property
    def fault(self) -> str:
        """The fault of `bot.store.base`."""
        if self._lost:
            return self._lost
        is_new = time.monotonic() < self._reported_at + REPORT_SHOWN
        return self._damage or (self._reported if is_new else "")

    def _execute(self, statement: str, *args: Any) -> Any:
        """Run one statement; return its first row."""
        if self._lost:
            raise StoreTrouble(self._lost)
        if self._db is None or not self._db.conn.is_alive():  # otherwise the wait would never end
            raise StoreTrouble("the storage thread has died: restart the bot")
        return self._db.conn.select_one(statement, args)

    def _pragma(self, text: str) -> Any:
        return self._execute(f"PRAGMA {text}")

    def _guard(self) -> None:
        """Make sure that the file is there, whole and still ours; if it is gone, put a copy back.

        Raises StoreTrouble, OSError, sqlite3.Error: then nothing that was written counts.
        """
        if not self._lost:
            self._look_at_place()
        if self._lost:
            raise StoreTrouble(self._lost)

    def _look_at_place(self) -> None:
        found = self._place.look()
        if found is Whereabouts.GONE:
            log.error("store.file_gone", path=str(self._path), todo="a copy of it is put back")
            try:
                self._put_back()
            except BlockingIOError:  # another process has come in the meantime
                self._lose_to_another()
            except (OSError, sqlite3.Error) as error:  # it is tried again
                self._report(_NOT_PUT_BACK.format(path=self._path, why=error), "store.file_not_put_back")
                raise
        elif not self._has_lock():
            self._lose(_SHARED.format(path=self._path), "store.file_shared")
        elif found is Whereabouts.ANOTHER:
            self._lose_to_another()
        elif found is Whereabouts.CUT:  # what is left of it is read at the next start
            self._lose(_LOST.format(path=f"{self._path}-wal"), "store.file_replaced")
        elif found is Whereabouts.APART:
            self._join()

    def _lose_to_another(self) -> None:
        self._place.remove_helpers()
        self._lose(_LOST.format(path=self._path), "store.file_replaced")

    def _lose(self, why: str, event: str) -> None:
        self._lost = why
        log.error(event, why=why)

    def _report(self, why: str, event: str) -> None:
        self._reported_at, self._reported = time.monotonic(), why
        log.error(event, why=why)

    def _has_lock(self) -> bool:
        """Return whether the folder is still ours; if its lock was deleted, make it again. Raises OSError."""
        try:
            self._hold(file.lock_again(self._lock, self._path.parent))
        except BlockingIOError:
            return False
        return True

    def _hold(self, lock: TextIO) -> None:
        if lock is not self._lock:
            self._lock.close()
            self._lock = lock

    def _put_back(self) -> None:
        """Copy what the open connection sees, and continue with the copy.

        Raises BlockingIOError if another has taken the place; OSError, sqlite3.Error.
        """
        with ExitStack() as undo:
            lock = file.lock_again(self._lock, self._path.parent)
            if lock is not self._lock:
                undo.enter_context(lock)
            part = file.new_part(self._path)
            undo.callback(part.unlink)
            self._execute("VACUUM INTO ?", str(part))
            undo.pop_all()
        self._hold(lock)
        # From here on the copy is all that exists: whatever fails, it stays.
        self._db.close()
        self._place.remove_helpers()
        try:
            file.put(part, self._path)
        except OSError:
            self._lose(_STRANDED.format(path=self._path), "store.file_not_put_back")
            return
        self._place.close()
        self._open()
        self._report(_PUT_BACK.format(path=self._path), "store.file_put_back")

    def _join(self) -> None:
        """Bring into the file what only SQLite's helper files have, and have them made again.

        Raises StoreTrouble, OSError, sqlite3.Error.
        """
        if self._pragma("wal_checkpoint(TRUNCATE)")[0] != 0:
            raise StoreTrouble(f"the files next to {self._path} are gone, and another process reads it")
        self._db.close()
        self._place.close()
        self._open()
        self._report(_JOINED.format(path=self._path), "store.file_joined")
