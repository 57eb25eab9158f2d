"""Has each bot do the same job, and writes docs/peers.md: `python -m tests.benchmarks.peers`."""

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests import ROOT
from tests.benchmarks.peers import bots, job
from tests.benchmarks.peers.table import Rounds, page

PAGE = ROOT / "docs" / "peers.md"
MARK = "<!-- What follows is written by make bench-peers. -->"


def main() -> None:
    """Do what was asked for."""
    arguments = _parser().parse_args()
    chosen = arguments.only or list(bots.NAMES)
    commands = {which: bots.install(which) for which in chosen}
    here = {which: command for which, command in commands.items() if command is not None}
    if here.keys() != commands.keys():
        _say("discord.js is left out: there is no Node here.")
    text = page(*asyncio.run(_measure(here, arguments.rounds)))
    print(text)  # noqa: T201  # the figures
    if chosen == list(bots.NAMES):
        PAGE.write_text(f"{PAGE.read_text().partition(MARK)[0]}{MARK}\n\n{text}")


async def _measure(commands: dict[str, list[str]], count: int) -> tuple[Rounds, list[float]]:
    """In turns; and the machine's load before each."""
    rounds: Rounds = {which: [] for which in commands}
    loads = []
    for number in range(count):
        for which in commands if number % 2 == 0 else reversed(commands):
            loads.append(os.getloadavg()[0])
            _say(f"{bots.NAMES[which]}, round {number + 1} of {count}; load {loads[-1]:.1f}")
            with TemporaryDirectory(prefix=".bench-", dir=ROOT) as folder:
                result = await job.do(which, commands[which], Path(folder))
            for line in (*result.parts, *result.violations):
                _say(f"    {line}")
            rounds[which].append(result)
    return rounds, loads


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)  # noqa: T201  # how far it has got


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description=__doc__)
    known = ", ".join(bots.NAMES)
    parser.add_argument("--only", metavar="BOT", type=_names, help=f"only these, with commas: {known}")
    parser.add_argument("--rounds", type=int, default=2, help="how often each does the job")
    return parser


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - bots.NAMES.keys():
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}")
    return names


if __name__ == "__main__":
    main()
