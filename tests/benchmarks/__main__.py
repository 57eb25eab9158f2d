"""Measures the bot, prints a table and writes docs/benchmarks.md: `python -m tests.benchmarks`."""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from tests import ROOT
from tests.benchmarks import capacity, cost, loads, store, suggestions, time_costs
from tests.benchmarks.plan import FULL, QUICK, Plan
from tests.benchmarks.report import Table, page

Say = Callable[[str], None]
PARTS: dict[str, Callable[[Plan, Say], Awaitable[list[Table]]]] = {
    "load": loads.measure,
    "cost": cost.measure,
    "store": store.measure,
    "time": time_costs.measure,
    "suggestions": suggestions.measure,
    "discord": capacity.measure,
}
WRITTEN = ROOT / "docs" / "benchmarks.md"


def main() -> None:
    """Measure what the arguments ask for."""
    arguments = _parser().parse_args()
    plan = QUICK if arguments.quick else FULL
    if arguments.loads:
        plan = replace(plan, loads=tuple(map(int, arguments.loads.split(","))))
    chosen = arguments.only or list(PARTS)
    began = time.monotonic()
    tables = asyncio.run(_measure(plan, chosen))
    text = page(tables, time.monotonic() - began)
    print(text)  # noqa: T201  # the figures
    where = arguments.write or (WRITTEN if plan is FULL and chosen == list(PARTS) else None)
    if where is not None:
        where.write_text(text)


async def _measure(plan: Plan, chosen: list[str]) -> list[Table]:
    return [table for name in chosen for table in await PARTS[name](plan, _say)]


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)  # noqa: T201  # how far it has got


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three minutes, smaller; writes no file")
    parser.add_argument(
        "--only", metavar="PART", type=_parts, help=f"only these, with commas: {', '.join(PARTS)}"
    )
    parser.add_argument("--loads", metavar="N", help="live countdowns, with commas, instead of the usual")
    parser.add_argument("--write", metavar="PATH", type=Path, help="where to write what is printed")
    return parser


def _parts(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - PARTS.keys():
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}")
    return names


if __name__ == "__main__":
    main()
