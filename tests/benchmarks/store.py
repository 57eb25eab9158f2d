"""How many steps of reloads a store writes in a second, one after another and many at once."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bot.domain.errors import StoreTrouble
from bot.domain.reload import Asker, Reload, State
from bot.domain.rows import KeyRow
from bot.store.base import Store
from bot.store.embedded import EmbeddedStore
from bot.store.postgres import PostgresStore
from tests import ROOT, postgres
from tests.benchmarks import places
from tests.benchmarks.control import LoopLag, part
from tests.benchmarks.plan import Plan
from tests.benchmarks.report import Figure, Table, both

AT_ONCE = (1, 50, 500)
ASK_SECONDS = 5.0
Opener = Callable[[Path], AbstractAsyncContextManager[Store]]


@asynccontextmanager
async def embedded(folder: Path) -> AsyncIterator[Store]:
    """The embedded store, on the disk of this clone."""
    store = EmbeddedStore(folder)
    try:
        yield store
    finally:
        await asyncio.to_thread(store.close)


@asynccontextmanager
async def postgresql(_: Path) -> AsyncIterator[Store]:
    """PostgreSQL, on a server of its own that flushes each commit to the disk."""
    with postgres.server(fsync=True) as server:
        store = await PostgresStore.connect(server.url())
        try:
            yield store
        finally:
            await store.release()


STORES: list[tuple[str, Opener]] = [("embedded", embedded)]
if postgres.programs() is not None:
    STORES.append(("PostgreSQL", postgresql))
"""The stores. Each gets an empty folder of its own, which it may use or not."""


async def measure(plan: Plan, say: Callable[[str], None]) -> list[Table]:
    """All stores, each with few and with many writes at once."""
    rows = []
    for name, opener in STORES:
        say(f"the {name} store")
        with TemporaryDirectory(prefix=".bench-", dir=ROOT) as folder:
            async with opener(Path(folder)) as store:
                await _fill(store)
                rows.append((name, [await _write(store, at_once, plan.writes) for at_once in AT_ONCE]))
    said = """
    Steps of reloads per second, each durable when it returns; in brackets the time for one, and the lag of
    the event loop, which has nothing else to wait for: medians / 99th percentiles. In trouble: given up after
    1 s, like any step; it may land later.
    """
    return [Table("Writes to the store", said, ["at once", *map(str, AT_ONCE)], rows)]


async def _fill(store: Store) -> None:
    """Store as many reloads as write together."""
    for number in range(max(AT_ONCE)):
        place = number // places.OPEN_IN_SERVER
        if number % places.OPEN_IN_SERVER == 0:
            await store.set_key(places.server(place), KeyRow("sealed", 1, "mod", 0.0))
        channel = places.channel(place, number)
        asker = Asker(places.member(number), channel, places.token(number, channel))
        reload = Reload(number, places.server(place), f"model-{number}", (asker,), time.time(), 120.0)
        await store.ask(reload, ASK_SECONDS)


async def _write(store: Store, at_once: int, seconds: float) -> Figure:
    took: list[float] = []
    slow = 0
    until = time.monotonic() + seconds

    async def keep_writing(number: int) -> None:
        nonlocal slow
        for waits in itertools.count():
            began = time.monotonic()
            if began > until:
                return
            try:
                await store.step(number, {State.ASKED}, State.ASKED, waits=waits)
            except StoreTrouble:
                slow += 1
            took.append(time.monotonic() - began)

    lag = LoopLag()
    lag.watch()
    await asyncio.gather(*(keep_writing(number) for number in range(at_once)))
    text = f"{len(took) / seconds:,.0f} ({both(part(took, 0.5), part(took, 0.99))}; lag {both(**lag.read())})"
    return Figure(f"{text}; {slow} in trouble" if slow else text)
