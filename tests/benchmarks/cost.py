"""What a reload and an edit cost: our bot and others, in turns, each alone with a Discord."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from tests.benchmarks import places
from tests.benchmarks.load import IDLE_SECONDS
from tests.benchmarks.plan import Plan
from tests.benchmarks.report import Figure, Table, under
from tests.benchmarks.stage import Stage, stage

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
BARE_SECONDS = 45.0
"""A bare reload is shorter: only what an edit costs is asked of it."""
SETTLE_SECONDS = 3.0


@dataclass(frozen=True)
class Cost:
    """CPU of one bot in one round, in seconds, less what it needs when idle."""

    reload: float
    edit: float
    edits: int
    """Of each reload."""


async def measure(plan: Plan, say: Callable[[str], None]) -> list[Table]:
    """One bot at a time, in turns: so that none has to share the caches with the others."""
    rounds = []
    for number in range(plan.compared):
        costs = {}
        for which in BOTS if number % 2 == 0 else reversed(BOTS):
            say(f"{plan.reloads} reloads of {which}, round {number + 1} of {plan.compared}")
            costs[which] = await _cost(which, plan)
        rounds.append(costs)
    return [_table(rounds, plan)]


async def _cost(which: str, plan: Plan) -> Cost:
    """Ask for all, and read the clocks: at first, while all count, and when all have ended."""
    lasts = min(plan.lasts, BARE_SECONDS) if which == BARE else plan.lasts
    async with stage(which, places.servers_for(plan.reloads), seconds=lasts) as on:
        await asyncio.sleep(SETTLE_SECONDS)
        idle = await on.bot.ask("cpu")
        await asyncio.sleep(IDLE_SECONDS)
        loop = asyncio.get_running_loop()
        started, first = loop.time(), await on.bot.ask("cpu")
        rate = (first - idle) / IDLE_SECONDS
        await on.discord.ask("flow", first=0, count=plan.reloads, rate=plan.reloads / plan.over, after=0.0)
        await asyncio.sleep(started + plan.over + MARGIN_SECONDS - loop.time())
        from_, cpu, edits = loop.time(), await on.bot.ask("cpu"), await _counted(on, "edited")
        await asyncio.sleep(started + lasts - MARGIN_SECONDS - loop.time())
        counted = loop.time() - from_
        spent = await on.bot.ask("cpu") - cpu - rate * counted
        made = await _counted(on, "edited") - edits
        await _all_ended(on, plan.reloads)
        took = loop.time() - started
        return Cost(
            reload=(await on.bot.ask("cpu") - first - rate * took) / plan.reloads,
            edit=spent / made,
            edits=await _counted(on, "edited") // plan.reloads,
        )


async def _counted(on: Stage, what: str) -> int:
    number: int = (await on.discord.ask("counted")).get(what, 0)
    return number


async def _all_ended(on: Stage, reloads: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await _counted(on, "pinged") < reloads:
            await asyncio.sleep(1)


def _table(rounds: list[dict[str, Cost]], plan: Plan) -> Table:
    reload = {which: [one[which].reload for one in rounds] for which in BOTS}
    edit = {which: [one[which].edit for one in rounds] for which in BOTS}
    columns = ["bot", *BOTS.values()]
    rows = [
        ("CPU per reload", [Figure("" if w == BARE else _range(v)) for w, v in reload.items()]),
        ("of a reload, ours by theirs", _ratios(reload, {SECOND: 0.25, FIVE: 1.25}, leave=BARE)),
        ("CPU per edit", [Figure(_range(values)) for values in edit.values()]),
        ("of an edit, ours by theirs", _ratios(edit, {BARE: 1.8})),
        ("edits of a reload", [Figure(f"{rounds[0][which].edits}") for which in BOTS]),
    ]
    said = f"""
    {plan.reloads} reloads of {plan.lasts:.0f} s (bare: {BARE_SECONDS:.0f} s at most), asked for over
    {plan.over:.0f} s, by one bot after the other, in turns; each is a process, alone with a Discord. Median,
    and lowest to highest of {plan.compared} rounds. Per reload: all CPU from the first command to the last
    ping, less idle. Per edit: CPU while all count and none begins or ends, less idle, by the edits that
    arrived. Ours logs into a file, as it comes, and stores every step. The others store nothing, try nothing
    again, and know no limits. Bare aiohttp sends a body as long as ours, made once, and reads the answer.
    """
    return Table("What a reload costs, beside others", said, columns, rows)


def _range(values: list[float]) -> str:
    low, mid, high = (f"{1000 * value:.2f}" for value in (min(values), median(values), max(values)))
    return f"{mid} ms ({low} to {high})" if len(values) > 1 else f"{mid} ms"


def _ratios(costs: dict[str, list[float]], goals: dict[str, float], leave: str = "") -> list[Figure]:
    """Round by round: what disturbs a round for a while disturbs its neighbours, too."""
    figures = []
    for which, theirs in costs.items():
        ratio = median(ours / their for ours, their in zip(costs[OURS], theirs, strict=True))
        goal = goals.get(which)
        text = "" if which in (OURS, leave) else f"{ratio:.2f}"
        figures.append(Figure(text) if goal is None else under(text, ratio, goal, f"≤ {goal}"))
    return figures
