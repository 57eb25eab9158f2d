"""Suggestions from 100,000 public models: how long they take, how long others wait, how much memory."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from bot.domain.catalogue import MOST_ROWS, PublicModel
from bot.jobs import catalogue_refresh
from bot.memory import give_back, share_one_arena
from tests.benchmarks.control import child, obey, part, resident
from tests.benchmarks.plan import Plan
from tests.benchmarks.report import Table, both, under

MOST, PEOPLE = 50, 16
_SYLLABLES = [first + vowel for first in "bcdfghjklmnprstvz" for vowel in "aeiou"]
_COMMON = ["stable", "anime", "realistic", "dream", "photo", "turbo", "flux", "vision", "juggernaut", "comic"]
_COMMON += ["mix", "xl", "v1", "v2", "lora", "style"]
TYPED = {
    "nothing": [""],
    "a letter": list("aeoqz7"),
    "two or three rare letters": ["zq", "7q", "-q", "q9e", "vg", "aur", "2cs", "jp", "dé", "re-"],
    "words that many have": [
        "anime mix",
        "stable realistic dream photo",
        "mix anime stable dream",
        "xl v1",
        "stable v1 stable",
    ],
    "words never together": ["flux juggernaut comic turbo", "v1 v2 style vision", "comic 7 9 1"],
    "typos": ["juggrnaut", "relistic vison", "stabel dreem anmie potho", "reaistlc junggernaut"],
    "like nothing": ["zzzzzzzz", "qqqqqqqq qqqqqqqz", "xq" * 20, "a" * 100, "日本語のモデル"],
    "like very many": ["bacadafa", "kalamare tarimola", "saremito delanoka", "bebabibo cucacico"],
}
"""The slowest texts that were tried, by what makes them slow."""


def models(rows: int = MOST_ROWS) -> Iterator[PublicModel]:
    """Make the same models each time: common words, made-up names, numbers; capitals, some not Latin."""
    chance = random.Random(7)  # noqa: S311
    names = ["".join(chance.choices(_SYLLABLES, k=chance.randint(2, 5))) for _ in range(40_000)]
    for number in range(rows):
        words = chance.choices(_COMMON, k=chance.randint(1, 3))
        words += chance.choices(names, k=chance.randint(1, 2))
        name = " ".join(words).title() + chance.choice(["", "", f" v{number % 30}", " 日本", " é"])
        yield PublicModel(f"{'-'.join(words)}-{number}", name, chance.randrange(10**6))


async def measure(plan: Plan, say: Callable[[str], None]) -> list[Table]:
    """Ask a process that has nothing else to do."""
    say(f"suggestions from {MOST_ROWS:,} public models")
    with TemporaryDirectory() as made:
        folder = Path(made)
        rows = [list(row) for row in models()]
        (folder / catalogue_refresh.FILE).write_bytes(orjson.dumps({"fetched_at": 0, "rows": rows}))
        async with child(folder, "tests.benchmarks.suggestions") as bot:
            read = await bot.ask("read")
            took = {what: await bot.ask("search", typed=typed) for what, typed in TYPED.items()}
            await bot.ask("watch")
            await bot.ask("crowd", seconds=plan.writes)
            lag = await bot.ask("lag")
    said = f"""
    {MOST_ROWS:,} models, read from the disk in {read["took"]:.1f} s of a thread's time; searches for the
    worst texts we could think of: medians / 99th percentiles. Then all of them by {PEOPLE} people together,
    and how late the event loop wakes up. Memory: of the process, with the list minus without.
    """
    figures = {
        f"search for {what}": under(both(one["p50"], one["p99"]), one["p99"], 0.008, "≤ 8 ms")
        for what, one in took.items()
    }
    figures["lag of the loop"] = under(both(lag["p50"], lag["p99"]), lag["p99"], 0.010, "≤ 10 ms")
    mib = read["memory"] / 2**20
    figures["memory of the list"] = under(f"{mib:.1f} MiB", mib, 25, "≤ 25 MiB")
    table = [(name, [figure]) for name, figure in figures.items()]
    return [Table("Suggestions from 100,000 models", said, ["of", "measured"], table)]


class _Measured:
    """The catalogue of this process, and what can be asked of it."""

    def __init__(self) -> None:
        nothing: Any = None  # it fetches none, and only searches
        self._refresh = catalogue_refresh.CatalogueRefresh(
            Path(), nothing, nothing, nothing, time.time, nothing
        )

    async def read(self) -> dict[str, float]:
        await asyncio.to_thread(give_back)
        before, began = resident(), time.process_time()
        await self._refresh._read()
        return {"took": time.process_time() - began, "memory": resident() - before}

    def search(self, typed: list[str]) -> dict[str, float]:
        took = []
        for text in typed * (200 // len(typed)):
            began = time.perf_counter()
            self._refresh.catalogue.search(text, MOST)
            took.append(time.perf_counter() - began)
        return {"p50": part(took, 0.5), "p99": part(took, 0.99)}

    async def crowd(self, seconds: float) -> None:
        until, typed = time.monotonic() + seconds, list(chain(*TYPED.values()))

        async def type_all() -> None:
            while time.monotonic() < until:
                for text in typed:
                    await self._refresh.suggest(text, MOST)

        await asyncio.gather(*(type_all() for _ in range(PEOPLE)))


if __name__ == "__main__":
    share_one_arena()
    asked = _Measured()
    asyncio.run(obey({"read": asked.read, "search": asked.search, "crowd": asked.crowd}))
