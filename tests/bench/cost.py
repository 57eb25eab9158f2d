"""What a reload and an edit cost: our bot beside others, at the same time, on the same Discord."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median

from tests.bench import places
from tests.bench.load import IDLE_SECONDS
from tests.bench.plan import Plan
from tests.bench.report import Figure, Table, under
from tests.bench.stage import Stage, stage

OURS, SECOND, FIVE, BARE = "rewarm", "every_second", "every_five", "bare"
BOTS = {
    OURS: "Rewarm",
    SECOND: "once a second, discord.py",
    FIVE: "every 5 s, discord.py",
    BARE: "every 5 s, bare aiohttp",
}
MARGIN_SECONDS = 5.0
"""Between the last command and the phase in which all only count; and between that and the first ending."""
PATIENCE_SECONDS = 60.0
SETTLE_SECONDS = 3.0


@dataclass(frozen=True)
class Cost:
    """CPU of one bot in one round, in seconds, less what it needs when idle."""

    reload: float
    edit: float
    edits: int
    """Of each reload."""


async def measure(plan: Plan, say: Callable[[str], None]) -> list[Table]:
    """All bots at once, round after round."""
    rounds = []
    for number in range(plan.compared):
        say(f"{plan.reloads} reloads of each bot, round {number + 1} of {plan.compared}")
        rounds.append(await _round(plan))
    return [_table(rounds, plan)]


async def _round(plan: Plan) -> dict[str, Cost]:
    async with AsyncExitStack() as open_:
        on = {
            which: await open_.enter_async_context(
                stage(which, places.servers_for(plan.reloads), seconds=plan.lasts)
            )
            for which in BOTS
        }
        await asyncio.sleep(SETTLE_SECONDS)
        idle = await _cpu(on)
        await asyncio.sleep(IDLE_SECONDS)
        began = await _cpu(on)
        rates = {which: (began[which] - idle[which]) / IDLE_SECONDS for which in on}
        return await _count(on, rates, plan)


async def _count(on: dict[str, Stage], idle: dict[str, float], plan: Plan) -> dict[str, Cost]:
    """Ask for all, and read the clocks: at first, while all count, and when all have ended."""
    loop = asyncio.get_running_loop()
    started, first = loop.time(), await _cpu(on)
    for one in on.values():
        await one.discord.ask("flow", first=0, count=plan.reloads, rate=plan.reloads / plan.over, after=0.0)
    await asyncio.sleep(started + plan.over + MARGIN_SECONDS - loop.time())
    from_, cpu, edits = loop.time(), await _cpu(on), await _counted(on, "edited")
    await asyncio.sleep(started + plan.lasts - MARGIN_SECONDS - loop.time())
    counted = loop.time() - from_
    cpu_then, edits_then = await _cpu(on), await _counted(on, "edited")
    await _all_ended(on, plan.reloads)
    took, last, all_edits = loop.time() - started, await _cpu(on), await _counted(on, "edited")
    return {
        which: Cost(
            reload=(last[which] - first[which] - idle[which] * took) / plan.reloads,
            edit=(cpu_then[which] - cpu[which] - idle[which] * counted) / (edits_then[which] - edits[which]),
            edits=all_edits[which] // plan.reloads,
        )
        for which in on
    }


async def _cpu(on: dict[str, Stage]) -> dict[str, float]:
    return {which: await one.bot.ask("cpu") for which, one in on.items()}


async def _counted(on: dict[str, Stage], what: str) -> dict[str, int]:
    return {which: (await one.discord.ask("counted")).get(what, 0) for which, one in on.items()}


async def _all_ended(on: dict[str, Stage], reloads: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while min((await _counted(on, "pinged")).values()) < reloads:
            await asyncio.sleep(1)


def _table(rounds: list[dict[str, Cost]], plan: Plan) -> Table:
    reload = {which: [one[which].reload for one in rounds] for which in BOTS}
    edit = {which: [one[which].edit for one in rounds] for which in BOTS}
    columns = ["bot", *BOTS.values()]
    rows = [
        ("CPU per reload", [Figure(_range(values)) for values in reload.values()]),
        ("of a reload, ours by theirs", _ratios(reload, {SECOND: 0.25, FIVE: 1.25})),
        ("CPU per edit", [Figure(_range(values)) for values in edit.values()]),
        ("of an edit, ours by theirs", _ratios(edit, {BARE: 1.8})),
        ("edits of a reload", [Figure(f"{rounds[0][which].edits}") for which in BOTS]),
    ]
    said = f"""
    {plan.reloads} reloads of {plan.lasts:.0f} s, asked for over {plan.over:.0f} s, by each bot at the same
    time; each is a process with a Discord of its own. Median, and lowest to highest of {plan.compared}
    rounds. Per reload: all CPU from the first command to the last ping, less idle. Per edit: CPU while all
    count and none begins or ends, less idle, by the edits that arrived. Ours logs into a file, as it comes.
    The others store nothing, try nothing again, and know no limits. Bare aiohttp sends a body as long as
    ours, made once, and reads the answer.
    """
    return Table("What a reload costs, beside others", said, columns, rows)


def _range(values: list[float]) -> str:
    low, mid, high = (f"{1000 * value:.2f}" for value in (min(values), median(values), max(values)))
    return f"{mid} ms ({low} to {high})" if len(values) > 1 else f"{mid} ms"


def _ratios(costs: dict[str, list[float]], goals: dict[str, float]) -> list[Figure]:
    """Round by round, since what disturbs one bot of a round disturbs all."""
    figures = []
    for which, theirs in costs.items():
        ratio = median(ours / their for ours, their in zip(costs[OURS], theirs, strict=True))
        goal = goals.get(which)
        text = "" if which == OURS else f"{ratio:.2f}"
        figures.append(Figure(text) if goal is None else under(text, ratio, goal, f"≤ {goal}"))
    return figures
