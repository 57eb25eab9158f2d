"""The cost of a reload and an edit: our bot and others take turns, each alone with a Discord."""

import asyncio
from collections.abc import Callable, Sequence
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
"""Seconds between the last command and the phase of counting only, and between that and the first ending."""
PATIENCE_SECONDS = 60.0
BARE_SECONDS = 45.0
"""Seconds of a bare bot's reload: shorter, since only the cost of an edit is measured."""
SHORT_SECONDS, SHORT_ROUNDS = 30.0, 3
"""Seconds and rounds of a short reload, mostly start and end, which shows its cost besides edits."""
SETTLE_SECONDS = 3.0
IDLE_SERVERS, IDLE_ROUNDS = 100, 3


@dataclass(frozen=True)
class Cost:
    """CPU of one bot in one round, in seconds, less what it needs when idle."""

    reload: float
    edit: float
    edits: int
    """Edits per reload."""


async def measure(plan: Plan, say: Callable[[str], None]) -> list[Table]:
    """Measure one bot at a time, in turns, so that none has to share the caches with the others."""
    rounds = await _rounds(tuple(BOTS), plan, plan.lasts, plan.compared, say)
    short = await _rounds((OURS, FIVE), plan, SHORT_SECONDS, min(SHORT_ROUNDS, plan.compared + 1), say)
    return [_table(rounds, plan), _short_table(short, plan), await _idle(say)]


async def _rounds(
    bots: Sequence[str], plan: Plan, lasts: float, count: int, say: Callable[[str], None]
) -> list[dict[str, Cost]]:
    rounds = []
    for number in range(count):
        costs = {}
        for which in bots if number % 2 == 0 else reversed(bots):
            say(f"{plan.reloads} reloads of {lasts:.0f} s of {which}, round {number + 1} of {count}")
            costs[which] = await _cost(which, plan, lasts)
        rounds.append(costs)
    return rounds


async def _idle(say: Callable[[str], None]) -> Table:
    """Return how much memory each takes that is connected and idle."""
    memory: dict[str, list[float]] = {OURS: [], FIVE: []}
    for _ in range(IDLE_ROUNDS):
        for which, taken in memory.items():
            say(f"memory of {which}, idle")
            async with stage(which, IDLE_SERVERS) as on:
                await asyncio.sleep(SETTLE_SECONDS)
                taken.append(await on.bot.ask("memory") / 2**20)
    ratio = median(ours / theirs for ours, theirs in zip(*memory.values(), strict=True))
    row = [Figure(f"{median(taken):.1f} MiB") for taken in memory.values()]
    goal = under(f"{ratio:.2f}", ratio, 1.5, "≤ 1.5")
    said = f"""
    Connected, in {IDLE_SERVERS} servers, before the public models are fetched: resident memory, medians of
    {IDLE_ROUNDS} alternating rounds, without packages that only the development's tools need (rich).
    """
    columns = ["bot", *(BOTS[which] for which in memory)]
    rows = [("memory", row), ("ours by theirs", [goal, Figure("")])]
    return Table("Memory when idle, compared with another bot", said, columns, rows)


async def _cost(which: str, plan: Plan, lasts: float) -> Cost:
    """Request all, and read the clocks: at first, while all count down, and when all have ended."""
    lasts = min(lasts, BARE_SECONDS) if which == BARE else lasts
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
    {plan.reloads} reloads of {plan.lasts:.0f} s (bare: {BARE_SECONDS:.0f} s at most), requested over
    {plan.over:.0f} s. The bots take turns; each is a process, alone with a Discord. Median, and lowest to
    highest of {plan.compared} rounds. Per reload: all CPU from the first command to the last ping, minus
    idle. Per edit: CPU while all count down and none starts or ends, minus idle, divided by the edits that
    arrived. Ours logs to a file, as it does by default, and stores every step. The others store nothing,
    retry nothing, and know no limits. Bare aiohttp sends a body as long as ours, made once, and reads the
    answer.
    """
    return Table("The cost of a reload, compared with others", said, columns, rows)


def _short_table(rounds: list[dict[str, Cost]], plan: Plan) -> Table:
    reload = {which: [one[which].reload for one in rounds] for which in (OURS, FIVE)}
    rows = [
        ("CPU per reload", [Figure(_range(values)) for values in reload.values()]),
        ("of a reload, ours by theirs", _ratios(reload, {FIVE: 1.25})),
        ("edits of a reload", [Figure(f"{rounds[0][which].edits}") for which in reload]),
    ]
    said = f"""
    As above with {plan.reloads} reloads of {SHORT_SECONDS:.0f} s, {len(rounds)} rounds: few edits, which
    shows the cost of the six durable steps and of everything else besides the countdown.
    """
    return Table("The cost of a short reload", said, ["bot", *(BOTS[which] for which in reload)], rows)


def _range(values: list[float]) -> str:
    low, mid, high = (f"{1000 * value:.2f}" for value in (min(values), median(values), max(values)))
    return f"{mid} ms ({low} to {high})" if len(values) > 1 else f"{mid} ms"


def _ratios(costs: dict[str, list[float]], goals: dict[str, float], leave: str = "") -> list[Figure]:
    """Compare round by round: whatever disturbs a round also disturbs its neighbours."""
    figures = []
    for which, theirs in costs.items():
        ratio = median(ours / their for ours, their in zip(costs[OURS], theirs, strict=True))
        goal = goals.get(which)
        text = "" if which in (OURS, leave) else f"{ratio:.2f}"
        figures.append(Figure(text) if goal is None else under(text, ratio, goal, f"≤ {goal}"))
    return figures
