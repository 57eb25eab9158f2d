"""A bot with many live countdowns: how soon it answers, how late it ends, what that costs."""

import asyncio
import itertools
import math
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import orjson

from tests.benchmarks import places
from tests.benchmarks.control import Child, part
from tests.benchmarks.discord import Kind
from tests.benchmarks.seed import SECONDS
from tests.benchmarks.stage import HEAD_SECONDS, Stage, stage

SETTLE_SECONDS = 3.0
GRACE_SECONDS = 3.0
"""Seconds after a window within which everything that was due in it must have arrived."""
FEWEST_PER_SECOND = 5.0
"""People who ask per second if there is no load."""
SHORT_SECONDS = 1.0
"""Seconds of a reload if there is no load, so that no countdown is live."""
SLOW = 0.1
IDLE_SECONDS = 4.0


class Spread(NamedTuple):
    """Median and 99th percentile, in seconds."""

    p50: float
    p99: float


@dataclass(frozen=True)
class Window:
    """Measurements from a part of a run in which Discord took `delay` seconds to answer."""

    delay: float
    answer: Spread
    ending: Spread
    ping: Spread
    lag: Spread
    fakes_lag: Spread
    interval: float
    edits: float
    endings: int
    missing: int
    """First responses, endings and pings that had not arrived."""
    limited: int
    """Answers of 429."""
    refused: int
    """First responses that were no countdown: too many are open, or the store is slow."""
    cpu: float
    """Of the bot, in seconds per second."""
    fakes_cpu: float
    seconds: float

    @property
    def overloaded(self) -> bool:
        """Whether the bot did less than it should have."""
        return bool(self.missing or self.refused)


@dataclass(frozen=True)
class Load:
    """One run."""

    live: int
    resumed: float
    """Seconds from the login to the last first edit."""
    memory: int
    """Bytes, with all countdowns live."""
    limited: int
    """Answers of 429, from the login on."""
    windows: tuple[Window, ...]


async def run(live: int, seconds: float) -> Load:
    """One run: resume, settle, a window with Discord answering at once, and one after 100 ms."""
    rate = live / SECONDS or FEWEST_PER_SECOND
    lasts = SECONDS if live else SHORT_SECONDS
    began = time.time()
    async with stage("rewarm", places.servers_for(live), live, lasts) as on:
        first = began + HEAD_SECONDS
        await on.discord.ask("flow", first=live, count=10**6, rate=rate, after=first - time.time())
        await asyncio.sleep(first - time.time())
        memory = await on.bot.ask("memory")
        marks = [await _window(on, delay, seconds) for delay in (0.0, SLOW)]
        events = await _events(on)
    windows = tuple(_seen(mark, events, on) for mark in marks)
    limited = sum(map(len, events[Kind.LIMITED].values()))
    return Load(live, _resumed(events, set(on.deadlines)), memory, limited, windows)


class Idle(NamedTuple):
    """An idle bot."""

    memory: int
    """Bytes."""
    cpu: float
    """Seconds per second."""
    watched: float
    """The same while the lag of its loop is measured."""


async def idle(live: int) -> Idle:
    """Measure an idle bot that is in the servers for this many countdowns."""
    async with stage("rewarm", places.servers_for(live)) as on:
        await asyncio.sleep(SETTLE_SECONDS)
        cpu = await _rate(on.bot, IDLE_SECONDS)
        await on.bot.ask("watch")
        return Idle(await on.bot.ask("memory"), cpu, await _rate(on.bot, IDLE_SECONDS))


class _Mark(NamedTuple):
    """A window as it was measured from outside."""

    delay: float
    began: float
    ended: float
    cpu: float
    fakes_cpu: float
    lag: dict[str, float]
    fakes_lag: dict[str, float]


async def _window(on: Stage, delay: float, seconds: float) -> _Mark:
    """Measure CPU in the first half, and the loops' lag, which costs some CPU, in the second."""
    await on.discord.ask("slow_down", delay=delay)
    await asyncio.sleep(SETTLE_SECONDS)
    began = time.time()
    cpu, fakes_cpu = await asyncio.gather(_rate(on.bot, seconds / 2), _rate(on.discord, seconds / 2))
    for process in on.bot, on.discord:
        await process.ask("watch")
    await asyncio.sleep(seconds / 2)
    lags = [await process.ask("lag") for process in (on.bot, on.discord)]
    ended = time.time()
    await asyncio.sleep(GRACE_SECONDS)
    return _Mark(delay, began, ended, cpu, fakes_cpu, *lags)


async def _rate(process: Child, seconds: float) -> float:
    """CPU seconds per second, over some time."""
    since, before = time.monotonic(), await process.ask("cpu")
    await asyncio.sleep(seconds)
    used: float = await process.ask("cpu") - before
    return used / (time.monotonic() - since)


Events = dict[Kind, dict[int, list[float]]]


async def _events(on: Stage) -> Events:
    """Return when each event happened to each message, in order."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "events"
        await on.discord.ask("save", path=str(path))
        raw: list[list[Any]] = orjson.loads(path.read_bytes())
    events: Events = {kind: defaultdict(list) for kind in Kind}
    for kind, message, at in raw:
        events[Kind(kind)][message].append(at)
    return events


def _seen(mark: _Mark, events: Events, on: Stage) -> Window:
    def within(at: float) -> bool:
        return mark.began <= at < mark.ended

    def first(kind: Kind) -> dict[int, float]:
        """Return when it first happened to each message, within the window."""
        return {message: times[0] for message, times in events[kind].items() if within(times[0])}

    called = {message: times[0] + on.seconds for message, times in events[Kind.CALLED].items()}
    due = {message: at for message, at in {**on.deadlines, **called}.items() if within(at)}
    asked, refused = first(Kind.ASKED), first(Kind.REFUSED)
    asked = {message: at for message, at in asked.items() if message not in events[Kind.REFUSED]}
    answered, ended, pinged = (
        _late(wanted, events[kind])
        for wanted, kind in ((asked, Kind.ANSWERED), (due, Kind.ENDED), (due, Kind.PINGED))
    )
    edits = [[at for at in times if within(at)] for times in events[Kind.EDITED].values()]
    endings, seconds = len(first(Kind.ENDED)), mark.ended - mark.began
    return Window(
        delay=mark.delay,
        answer=_spread(answered),
        ending=_spread(ended),
        ping=_spread(pinged),
        lag=Spread(**mark.lag),
        fakes_lag=Spread(**mark.fakes_lag),
        interval=part([b - a for times in edits for a, b in itertools.pairwise(times)], 0.5),
        edits=(sum(map(len, edits)) + endings) / seconds,
        endings=endings,
        missing=len(asked) - len(answered) + 2 * len(due) - len(ended) - len(pinged),
        limited=sum(within(at) for times in events[Kind.LIMITED].values() for at in times),
        refused=len(refused),
        cpu=mark.cpu,
        fakes_cpu=mark.fakes_cpu,
        seconds=seconds,
    )


def _late(due: dict[int, float], arrived: dict[int, list[float]]) -> list[float]:
    return [arrived[message][0] - at for message, at in due.items() if message in arrived]


def _spread(values: list[float]) -> Spread:
    return Spread(part(values, 0.5), part(values, 0.99))


def _resumed(events: Events, messages: set[int]) -> float:
    login = events[Kind.LOGIN][0][0]
    edited, ended = events[Kind.EDITED], events[Kind.ENDED]
    first = [min([*edited.get(m, []), *ended.get(m, []), math.inf]) for m in messages]
    return max(first, default=login) - login
