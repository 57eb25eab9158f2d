"""The embedded store: one file, one thread; sqlitedict on disk, open reloads mirrored in memory.

With `synchronous=FULL` a write has been fsynced when it returns. The default pickle of sqlitedict is never
used (CVE-2024-35515): rows are JSON.
"""

import math
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Unpack

import orjson

from bot.domain.reload import JOINABLE, Asker, ImageTest, Reload, State
from bot.domain.rows import Event, KeyRow, PaidCall, ServerSettings, Watch
from bot.domain.steps import Facts
from bot.metrics import Metrics
from bot.store import file, index
from bot.store.base import HISTORY_MOST, News, page_of_models
from bot.store.memory import Memory
from bot.store.rows import RELOAD, VALUE
from bot.store.turns import STEP_TIMEOUT, WRITE_TIMEOUT
from bot.store.upkeep import Upkeep

EXPIRE_BATCH = 500
SERVERS_BATCH = 5000


class EmbeddedStore(Upkeep):
    """The store of `bot.store.base` in one file that belongs to one process."""

    is_shared = is_outdated = False

    def __init__(
        self, folder: Path, metrics: Metrics | None = None, progress: Callable[[], None] = lambda: None
    ) -> None:
        """Open or make the store. Raises StoreUnusable, saying what to do."""
        memory = Memory()
        with ExitStack() as undo, file.trouble(folder):
            lock = undo.enter_context(file.claim(folder))
            path = folder / file.NAME
            found = file.read(path, progress)
            for name, value in found.rows.items():
                memory.remember(name, value)
            memory.load(found.newest)
            memory.settle()
            super().__init__(metrics or Metrics(), memory, path, lock, EXPIRE_BATCH)
            undo.pop_all()

    async def ask(self, new: Reload, limit: float) -> Reload | None:
        return await self._call(limit, self._memory.ask, new, about=(new.id,))

    async def step(
        self, id_: int, from_: Collection[State], to: State, **facts: Unpack[Facts]
    ) -> Reload | None:
        return await self._call(STEP_TIMEOUT, self._memory.step, id_, from_, to, facts, about=(id_,))

    async def notify(self, id_: int, asker: Asker, *, wanted: bool) -> Reload | None:
        return await self._call(STEP_TIMEOUT, self._memory.notify, id_, asker, wanted)

    async def test_ahead(self, id_: int, user: int, test: ImageTest | None) -> Reload | None:
        return await self._call(STEP_TIMEOUT, self._memory.test_ahead, id_, user, test)

    async def news(self) -> News:
        """Return nothing but what is open, which is ours: `changed` and `lost` are for shared stores."""
        mine = sorted(await self.open(), key=lambda reload: reload.turn_at)
        return News(mine, [], frozenset())

    async def hold(self, _: int, /, *, renew: bool = False) -> None:
        """Return immediately: nobody else has the file."""

    def holds(self, _: int, /) -> bool:
        return True

    async def try_again(self, servers: Collection[int], threads: Collection[int]) -> None:
        """Do nothing: no other process has any."""

    async def release(self) -> None:
        """Do nothing: nobody else has the file."""

    async def open(self) -> list[Reload]:
        return [reload for reload in list(self._memory.reloads.values()) if reload.is_open]

    async def find(self, server: int, id_: int) -> Reload | None:
        known = self._memory.reloads.get(id_)
        if known is None:
            address = orjson.dumps([RELOAD.address(id_)]).decode()
            known = next(iter(await self._look(self._reloads, index.THESE, address)), None)
        is_theirs = known is not None and known.server == server and id_ > self._memory.hidden(server)
        return known if is_theirs else None

    async def history(self, server: int, model: str | None = None, most: int = HISTORY_MOST) -> list[Reload]:
        hidden = self._memory.hidden(server)
        if model is None:
            return await self._look(self._reloads, index.HISTORY, server, hidden, most)
        return await self._look(self._reloads, index.HISTORY_OF_MODEL, server, hidden, model, most)

    async def recent(self, server: int, most: int) -> list[tuple[str, float]]:
        found = await self._look(self._select, index.RECENT, server, self._memory.hidden(server), most)
        return [(model, asked_at) for model, asked_at in found]

    async def models(self, server: int, first: int, most: int) -> tuple[int, list[Reload]]:
        mine = list(self._memory.of_server.get(server, {}).values())
        page = page_of_models([known for known in mine if known.state in JOINABLE], first, most)
        others = orjson.dumps(page.running).decode()
        hidden = self._memory.hidden(server)

        def look() -> tuple[int, list[Reload]]:
            count, *lines = self._lines(index.MODELS, server, hidden, others, page.most, page.first)
            return int(count), self._read(lines)

        count, reloads = await self._look(look)
        return count + len(page.running), page.reloads + reloads

    async def about(self, server: int, model: str, most: int) -> list[Reload]:
        hidden = self._memory.hidden(server)
        found = await self._look(self._reloads, index.ABOUT, server, hidden, model, most)
        return sorted(found, key=lambda reload: reload.asked_at, reverse=True)

    async def key(self, server: int) -> KeyRow | None:
        return self._memory.keys.get(server)

    async def all_keys(self) -> AsyncIterator[tuple[int, KeyRow]]:
        for known in list(self._memory.keys.items()):
            yield known

    async def set_key(self, server: int, row: KeyRow) -> None:
        await self._call_and_wipe(WRITE_TIMEOUT, self._memory.set_key, server, row)

    async def replace_key(self, server: int, was: KeyRow, row: KeyRow) -> bool:
        return await self._call_and_wipe(WRITE_TIMEOUT, self._memory.replace_key, server, was, row)

    async def remove_key(self, server: int, set_until: float = math.inf) -> bool:
        return await self._call_and_wipe(WRITE_TIMEOUT, self._memory.remove_key, server, set_until)

    async def settings(self, server: int) -> ServerSettings:
        return self._memory.settings.get(server, ServerSettings())

    async def change_settings(self, server: int, **changes: Any) -> ServerSettings:
        return await self._call(STEP_TIMEOUT, self._memory.change_settings, server, changes)

    async def watch(self, server: int, model: str) -> Watch | None:
        return self._memory.watches.get((server, model))

    async def all_watches(self) -> AsyncIterator[Watch]:
        for watch in list(self._memory.watches.values()):
            yield watch

    async def set_watch(self, watch: Watch, *, new: bool = False) -> bool:
        return await self._call(STEP_TIMEOUT, self._memory.set_watch, watch, new)

    async def remove_watch(self, server: int, model: str, users: Collection[int] | None = None) -> bool:
        return await self._call(STEP_TIMEOUT, self._memory.remove_watch, server, model, users)

    async def reserve_call(self, server: int, name: str, call: PaidCall, most: int | None) -> bool:
        return await self._call(STEP_TIMEOUT, self._memory.reserve_call, server, name, call, most)

    async def give_back_call(self, server: int, name: str) -> None:
        await self._call(STEP_TIMEOUT, self._memory.give_back_call, server, name)

    async def paid_calls(self, server: int) -> list[PaidCall]:
        return list(self._memory.paid_calls.get(server, {}).values())

    async def add_event(self, server: int, event: Event) -> bool:
        return await self._call(STEP_TIMEOUT, self._memory.add_event, server, event)

    async def events(self, server: int) -> list[Event]:
        mine = list(self._memory.events.get(server, {}).values())
        return sorted(mine, key=lambda event: event.at, reverse=True)

    async def expire_rows(self, now: float) -> int:
        return await self._call(WRITE_TIMEOUT, self._memory.expire_rows, now, EXPIRE_BATCH)

    async def servers(self) -> set[int]:
        memory = self._memory  # copied in one go, as the other thread may add to it
        found = {server for server, _ in list(memory.watches)}
        for table in (memory.keys, memory.settings, memory.paid_calls, memory.events):
            found |= set(table)
        after = 0
        while page := await self._look(self._select, index.SERVERS, after, SERVERS_BATCH):
            found.update(page)
            after = page[-1]
        return found

    async def value(self, name: str) -> Any:
        return self._memory.values.get(name)

    async def set_value(self, name: str, value: Any) -> None:
        await self._call(WRITE_TIMEOUT, self._memory.change, VALUE.address(name=name), value)

    async def change_value(self, name: str, change: Callable[[Any], Any]) -> Any:
        return await self._call(WRITE_TIMEOUT, self._memory.change_value, name, change)

    def close(self) -> None:
        """Wait for queued work, then close. Blocks for as long as the disk does."""
        self._stop_watching()
        self._thread.shutdown()
        if self._lost:
            self._lock.close()  # closing the file as well would write into it
            return
        if self._db is not None and self._db.conn.is_alive():
            self._wipe()
            self._db.close()
        self._place.close()
        self._lock.close()
