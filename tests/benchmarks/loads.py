"""The runs under load, as tables."""

import math
from collections.abc import Callable, Sequence
from statistics import median

from tests.benchmarks import load
from tests.benchmarks.load import Idle, Load, Spread, Window
from tests.benchmarks.plan import Plan
from tests.benchmarks.report import Figure, Table, both, ms, under
from tests.benchmarks.seed import SECONDS

COMPARED_WITH = 500
"""The load, or the next larger one, whose cost per reload is the reference for larger ones."""
MANY = 1000
"""The largest load for which the tighter goals hold."""
MOST_ENDINGS = 40.0
KIB = 1024


async def measure(plan: Plan, say: Callable[[str], None]) -> list[Table]:
    """Measure all loads, in turns; then a bot without countdowns."""
    runs: dict[int, list[Load]] = {live: [] for live in plan.loads}
    for number in range(plan.rounds):
        for live in plan.loads:
            say(f"{live:,} live, round {number + 1} of {plan.rounds}")
            runs[live].append(await load.run(live, plan.window))
    idle = {}
    for live in plan.loads:
        say(f"idle, with the servers of {live:,}")
        idle[live] = await load.idle(live)
    return [*_windows(runs), _whole(runs, idle)]


def _windows(runs: dict[int, list[Load]]) -> list[Table]:
    after = f"Under load, Discord answering after {ms(load.SLOW)}"
    texts = (("Under load", _AT_ONCE), (after, _AFTER))
    tables = []
    for index, (title, said) in enumerate(texts):
        seen = {live: [run.windows[index] for run in of] for live, of in runs.items()}
        rows = [
            ("first answer", [_answer(live, _mid(of, "answer")) for live, of in seen.items()]),
            ("ending late by", [_ending(live, _mid(of, "ending"), of[0]) for live, of in seen.items()]),
            ("ping late by", [_ping(live, _mid(of, "ping")) for live, of in seen.items()]),
            ("between two edits", [_between(live, of) for live, of in seen.items()]),
            ("edits a second", [Figure(f"{_of(of, 'edits'):,.0f}") for of in seen.values()]),
            ("endings a second", [Figure(f"{_per_second(of):.1f}") for of in seen.values()]),
            ("answers of 429", [_none([w.limited for w in of]) for of in seen.values()]),
            (
                "did not arrive, or refused",
                [_none([w.missing + w.refused for w in of]) for of in seen.values()],
            ),
            ("lag of the bot's loop", [_lag(_mid(of, "lag")) for of in seen.values()]),
            ("CPU of the bot", [Figure(_share(of, "cpu")) for of in seen.values()]),
            ("lag of Discord's loop", [Figure(both(*_mid(of, "fakes_lag"))) for of in seen.values()]),
            ("CPU of Discord", [Figure(_share(of, "fakes_cpu")) for of in seen.values()]),
        ]
        tables.append(Table(title, said, ["live countdowns", *(f"{n:,}" for n in seen)], rows))
    return tables


_AT_ONCE = f"""
Medians / 99th percentiles. First answer: from the moment the command is written to the gateway's websocket
until the callback arrives. Late: from the deadline until the edit or the ping arrives. The countdowns were
in the store when the bot started, with deadlines spread over two minutes; new ones are requested at the same
rate. At 0 that is {load.FEWEST_PER_SECOND:.0f} per second, and a reload takes {load.SHORT_SECONDS:.0f} s, so
that none stays. There are no times for what never arrived: if that row is not 0, the real times were worse
than shown above. The bot's own limit for pings is {MOST_ENDINGS:.0f} per second: if more than that end, pings
have no goal. CPU is measured in the first half of a window, the lag, by a task that sleeps for 10 ms, in the
second half. Between two edits: the median within the window, which leaves out long intervals; the edits per
second include them.
"""
_AFTER = """
As above, but each answer is held back, while the call itself arrives immediately. So the ending arrives as
above, and the ping, which waits for the answer to the ending, one round trip later.
"""


def _whole(runs: dict[int, list[Load]], idle: dict[int, Idle]) -> Table:
    costs = {live: median(_cost(run, idle[live]) for run in of) for live, of in runs.items()}
    small = min((live for live in runs if live >= COMPARED_WITH), default=max(runs))
    rows = [
        ("resumed, after login", [_resumed([run.resumed for run in of]) for of in runs.values()]),
        ("answers of 429, whole run", [_none([run.limited for run in of]) for of in runs.values()]),
        ("memory, idle", [Figure(f"{idle[live].memory / 2**20:.1f} MiB") for live in runs]),
        ("memory, per countdown", [_memory(live, of, idle[live].memory) for live, of in runs.items()]),
        ("CPU, idle", [Figure(f"{idle[live].cpu:.1%}") for live in runs]),
        ("CPU, idle, lag measured", [Figure(f"{idle[live].watched:.1%}") for live in runs]),
        ("CPU per reload", [_per_reload(live, of, costs, small) for live, of in runs.items()]),
    ]
    said = f"""
    Resumed: from the last call of the login until every countdown has been edited once. Idle: connected to
    as many servers, with no countdown. Per countdown: memory with all of them live, minus idle. Per reload:
    CPU while Discord answers immediately, minus idle, divided by the reloads that start and end in that time.
    Its goal: at most 1.15 times that at {small:,}.
    """
    return Table("The cost of a countdown", said, ["live countdowns", *(f"{n:,}" for n in runs)], rows)


def _cost(run: Load, idle: Idle) -> float:
    """Return the CPU of a reload: as many start and end as there are deadlines."""
    return (run.windows[0].cpu - idle.cpu) * SECONDS / (run.live or math.inf)


def _per_reload(live: int, of: list[Load], costs: dict[int, float], small: int) -> Figure:
    if any(run.windows[0].overloaded for run in of):
        return under("overloaded", float("nan"), 0, "≤ 1.15 times")
    ratio = costs[live] / costs[small]
    if live <= small:
        return Figure(ms(costs[live]) if live else "")
    return under(f"{ms(costs[live])}, {ratio:.2f} times", ratio, 1.15, "≤ 1.15 times")


def _memory(live: int, of: list[Load], idle: int) -> Figure:
    if not live:
        return Figure("")
    each = median((run.memory - idle) / live for run in of) / KIB
    text = f"{each:.1f} KiB"
    return under(text, each, 25, "≤ 25 KiB") if live >= MANY else Figure(text)


def _resumed(seconds: list[float]) -> Figure:
    value = median(seconds)
    return under(f"{value:.2f} s", value, 5, "≤ 5 s") if value else Figure("")


def _answer(live: int, seen: Spread) -> Figure:
    limit = 0.025 if live <= MANY else 0.1
    return under(both(*seen), seen.p99, limit, f"< {ms(limit)}")


def _ending(live: int, seen: Spread, window: Window) -> Figure:
    limit = window.delay + 0.1 if live <= MANY else 1.0
    return under(both(*seen), seen.p99, limit, f"≤ {ms(limit)}")


def _between(live: int, of: list[Window]) -> Figure:
    return Figure(f"{_of(of, 'interval'):.2f} s" if live else "")


def _ping(live: int, seen: Spread) -> Figure:
    if live / SECONDS > MOST_ENDINGS:
        return Figure(both(*seen))
    return under(both(*seen), seen.p99, 1, "≤ 1 s")


def _lag(seen: Spread) -> Figure:
    return under(both(*seen), seen.p99, 0.02, "< 20 ms")


def _none(counts: Sequence[int]) -> Figure:
    return under(str(sum(counts)), sum(counts), 0, "none")


def _of(windows: list[Window], name: str) -> float:
    values: list[float] = [getattr(window, name) for window in windows]
    return median(values)


def _mid(windows: list[Window], name: str) -> Spread:
    seen: list[Spread] = [getattr(window, name) for window in windows]
    return Spread(median(one.p50 for one in seen), median(one.p99 for one in seen))


def _per_second(windows: list[Window]) -> float:
    return median(window.endings / window.seconds for window in windows)


def _share(windows: list[Window], name: str) -> str:
    return f"{_of(windows, name):.0%} of a core"
