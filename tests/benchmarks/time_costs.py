"""The costs of a long history: memory, a start, a press, and everybody's wait while much is deleted."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bot.admin.store import backup
from bot.domain.reload import Asker, Reload, State
from bot.domain.rows import KeyRow
from bot.domain.server_models import MOST_LOOKED_AT, models_of, own_models
from bot.reloads.story import SPAM_FILTER_LOOK
from bot.store.embedded import EmbeddedStore
from bot.store.file import NAME
from bot.view import MODELS_PER_PAGE
from tests import ROOT
from tests.benchmarks import history, places
from tests.benchmarks.control import LoopLag, part
from tests.benchmarks.plan import Plan
from tests.benchmarks.report import Figure, Table, ms, under
from tests.benchmarks.stage import stage

ROUNDS = 3
PRESSES = 300
PRESS_INTERVAL = 0.1
SMALL = 100
OTHERS = 200
SETTLE_SECONDS = 2.0
IDLE_SECONDS = 3.0
ASK_SECONDS = 5.0
LONGEST_WAIT = 0.05
BIG_SERVER, SMALL_SERVER, ANOTHER = (places.server(n) for n in range(3))


async def measure(plan: Plan, say: Callable[[str], None]) -> list[Table]:
    """The embedded store, with a history and without."""
    with TemporaryDirectory(prefix=".bench-", dir=ROOT) as made:
        full, big = Path(made) / "full", plan.kept // 10
        say(f"a store of {plan.kept:,} reloads")
        await asyncio.to_thread(history.fill_file, full, _servers(plan.kept), time.time())
        processes = [[await _process(store) for store in (None, full / NAME)] for _ in range(ROUNDS)]
        say("presses in a server with a long history")
        async with _opened(full) as store:
            await _sort_out(store)
            presses = {name: await _ratio(press, store) for name, press in PRESSES_OF.items()}
            alone = [await _first_answers(store, None) for _ in range(ROUNDS)]
            busy = [await _first_answers(store, BIG_SERVER) for _ in range(ROUNDS)]
        say("what everybody waits for")
        waits = {name: await _wait(work, full, Path(made)) for name, work in WORK.items()}
    rows = [
        ("memory", _by(processes, 0, lambda value: f"{value / 2**20:.0f} MiB", 1.25)),
        ("start to ready", _by(processes, 1, lambda value: f"{value:.2f} s", 1.5)),
    ]
    rows += [
        (name, [Figure(ms(few)), *_figures(ms(many), many / few, 2.0)])
        for name, (few, many) in presses.items()
    ]
    few, many = median(alone), median(busy)
    rows.append(("first answers elsewhere", [Figure(ms(few)), *_figures(ms(many), many / few, 1.5)]))
    said = f"""
    {plan.kept:,} reloads, {big:,} of them in one server, compared with an empty store: medians of {ROUNDS}.
    Presses: the store's work for them in that server, compared with one of {SMALL}: 99th percentiles of
    {PRESSES}. First answers elsewhere: a reload is stored while that server presses /models ten times a
    second.
    """
    table = Table("The cost of a long history", said, ["what", "without", "with", "by it"], rows)
    said = "The longest wait of the event loop, and of anybody else's write, during each kind of work."
    longest = [
        (name, [_longest(lag), _longest(write), Figure(f"{took:.1f} s")])
        for name, (lag, write, took) in waits.items()
    ]
    return [table, Table("Waits for everybody", said, ["while", "loop", "a write", "it takes"], longest)]


def _servers(kept: int) -> dict[int, int]:
    rest = (kept - kept // 10 - SMALL) // OTHERS
    return {
        BIG_SERVER: kept // 10,
        SMALL_SERVER: SMALL,
        **{places.server(2 + n): rest for n in range(OTHERS)},
    }


def _by(
    rounds: list[list["_Process"]], field: int, text: Callable[[float], str], most: float
) -> list[Figure]:
    without, with_ = (median(one[which][field] for one in rounds) for which in (0, 1))
    return [Figure(text(without)), *_figures(text(with_), with_ / without, most)]


def _figures(text: str, ratio: float, most: float) -> list[Figure]:
    return [Figure(text), under(f"{ratio:.2f}", ratio, most, f"≤ {most:g}")]


def _longest(seconds: float) -> Figure:
    return under(ms(seconds), seconds, LONGEST_WAIT, f"≤ {ms(LONGEST_WAIT)}")


class _Process(NamedTuple):
    memory: float
    started: float


async def _process(store: Path | None) -> _Process:
    """The bot as its own process, with a copy of a store or with none."""
    async with stage("rewarm", 10, store=store) as on:
        await asyncio.sleep(SETTLE_SECONDS)
        return _Process(await on.bot.ask("memory"), on.started)


@asynccontextmanager
async def _opened(folder: Path) -> AsyncIterator[EmbeddedStore]:
    store = await asyncio.to_thread(EmbeddedStore, folder)
    try:
        yield store
    finally:
        await asyncio.to_thread(store.close)


async def _sort_out(store: EmbeddedStore) -> None:
    """Look at each page once, which reads it from the disk."""
    for server in (BIG_SERVER, SMALL_SERVER):
        for press in PRESSES_OF.values():
            await press(store, server)


async def _models(store: EmbeddedStore, server: int, page: int = 0) -> None:
    _, found = await store.models(server, page * MODELS_PER_PAGE, MODELS_PER_PAGE)
    models_of(found, time.time())


async def _suggest(store: EmbeddedStore, server: int) -> None:
    own_models(await store.recent(server, MOST_LOOKED_AT), "model-1", time.time())


async def _spam_filter(store: EmbeddedStore, server: int) -> None:
    await store.history(server, "model-3", SPAM_FILTER_LOOK)


async def _old_button(store: EmbeddedStore, server: int) -> None:
    [newest] = await store.history(server, most=1)
    await store.find(server, newest.id)


PRESSES_OF: dict[str, Callable[[EmbeddedStore, int], Awaitable[None]]] = {
    "/models": _models,
    "a page turn": lambda store, server: _models(store, server, 2),
    "suggestions": _suggest,
    "the spam filter": _spam_filter,
    "an old button": _old_button,
}


async def _ratio(
    press: Callable[[EmbeddedStore, int], Awaitable[None]], store: EmbeddedStore
) -> tuple[float, float]:
    """The 99th percentiles in a server with few reloads and in one with many, in turns; medians of rounds."""
    rounds = []
    for _ in range(ROUNDS):
        took: dict[int, list[float]] = {SMALL_SERVER: [], BIG_SERVER: []}
        for number in range(2 * PRESSES):
            server = (SMALL_SERVER, BIG_SERVER)[number % 2]
            began = time.perf_counter()
            await press(store, server)
            took[server].append(time.perf_counter() - began)
        rounds.append({server: part(seconds, 0.99) for server, seconds in took.items()})
    few, many = (median(one[server] for one in rounds) for server in (SMALL_SERVER, BIG_SERVER))
    return few, many


async def _first_answers(store: EmbeddedStore, pressing: int | None) -> float:
    """The 99th percentile of storing a reload, while a server presses /models, or none does."""

    async def keep_pressing(server: int) -> None:
        while True:
            await asyncio.sleep(PRESS_INTERVAL)
            await _models(store, server)

    task = asyncio.create_task(keep_pressing(pressing)) if pressing is not None else None
    took = []
    for number in range(PRESSES):
        server, id_ = places.server(10**6 + number), places.interaction(number)
        await store.set_key(server, KeyRow("sealed", 1, "mod", 0.0))
        asker = Asker(places.member(number), 1, "token")
        new = Reload(id_, server, f"model-{id_}", (asker,), time.time(), 120.0)
        await asyncio.sleep(0.01)
        began = time.perf_counter()
        await store.ask(new, ASK_SECONDS)
        took.append(time.perf_counter() - began)
        await store.step(id_, {State.ASKED}, State.REMOVED)
    if task is not None:
        task.cancel()
    return part(took, 0.99)


async def _idle(_: EmbeddedStore, __: Path) -> None:
    await asyncio.sleep(IDLE_SECONDS)


async def _expire(store: EmbeddedStore, _: Path) -> None:
    """Delete a tenth of all reloads."""
    now = time.time()
    while await store.expire(now - 0.9 * history.DAYS * 86400.0, 0.0):
        pass


async def _forget(store: EmbeddedStore, _: Path) -> None:
    await store.forget(BIG_SERVER)
    while await store.sweep():
        pass


async def _backup(_: EmbeddedStore, folder: Path) -> None:
    await asyncio.to_thread(backup, folder, folder.parent / "backup")


async def _remove_key(store: EmbeddedStore, _: Path) -> None:
    await store.remove_key(ANOTHER)


WORK: dict[str, Callable[[EmbeddedStore, Path], Awaitable[None]]] = {
    "nothing: the loop, an fsync": _idle,
    "a tenth is deleted by age": _expire,
    "the server with a tenth is forgotten": _forget,
    "a backup": _backup,
    "/key remove": _remove_key,
}


async def _wait(
    work: Callable[[EmbeddedStore, Path], Awaitable[None]], full: Path, made: Path
) -> tuple[float, float, float]:
    """Return the loop's longest lag, the longest write, and the work's duration, on a copy of the store."""
    folder = made / "copy"
    await asyncio.to_thread(shutil.copytree, full, folder)
    try:
        async with _opened(folder) as store:
            lag, took = LoopLag(), [0.0]

            async def keep_writing() -> None:
                while True:
                    began = time.perf_counter()
                    await store.set_value("probe", began)
                    took.append(time.perf_counter() - began)
                    await asyncio.sleep(0.005)

            task = asyncio.create_task(keep_writing())
            await asyncio.sleep(SETTLE_SECONDS)
            took.clear()
            lag.watch()
            began = time.perf_counter()
            await work(store, folder)
            lasted = time.perf_counter() - began
            await asyncio.sleep(0.1)
            task.cancel()
            return lag.longest(), max(took), lasted
    finally:
        await asyncio.to_thread(shutil.rmtree, folder)
        (made / "backup").unlink(missing_ok=True)
