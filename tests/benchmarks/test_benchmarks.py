"""The benchmark's bots and its Discord understand each other: whatever it counts really happens."""

import asyncio

import pytest

from tests.benchmarks.cost import BOTS
from tests.benchmarks.stage import stage

RELOADS = 3


@pytest.mark.parametrize("which", BOTS)
async def test_a_bot_of_the_benchmark_does_what_is_counted(which: str) -> None:
    async with stage(which, servers=2, seconds=4) as on:
        await on.discord.ask("flow", first=0, count=RELOADS, rate=RELOADS, after=0)
        async with asyncio.timeout(30):
            while (counted := await on.discord.ask("counted")).get("pinged", 0) < RELOADS:
                await asyncio.sleep(0.1)
    assert counted["asked"] == counted["answered"] == counted["called"] == counted["ended"] == RELOADS
    assert counted["edited"] >= RELOADS
    assert counted.keys() <= {"login", "asked", "answered", "called", "edited", "ended", "pinged"}
