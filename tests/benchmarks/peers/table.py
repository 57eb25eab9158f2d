"""Shows the job's results as one table, with a column for each bot."""

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from statistics import median

from tests.benchmarks.peers import bots
from tests.benchmarks.peers.job import Part, Result
from tests.benchmarks.report import Figure, Table

Rounds = dict[str, list[Result]]
"""By bot, one result for each round."""
_OF_PARTS: dict[str, Callable[[Part], object]] = {
    "pinged none, one, two times": lambda part: ", ".join(map(str, part.pings)),
    "calls refused": lambda part: part.refused,
    "its process ended": lambda part: part.exits,
}


def page(rounds: Rounds, loads: list[float]) -> str:
    """Return the whole page. `loads`: the machine's, before each run."""
    rows = [("library", [Figure(_library(which)) for which in rounds])]
    for number, part in enumerate(next(iter(rounds.values()))[0].parts):
        title = f"**{part.title}**: endings shown, of {part.reloads}"
        rows.append((title, _of_each(rounds, number, lambda part: part.ended)))
        rows += [(what, _of_each(rounds, number, read)) for what, read in _OF_PARTS.items()]
    rows += [
        ("**CPU** of a reload, ms", _measured(rounds, lambda result: 1000 * result.cpu_reload, 1)),
        ("CPU of its start, s", _measured(rounds, lambda result: result.cpu_start, 2)),
        ("**memory** when idle, MiB", _measured(rounds, lambda result: result.memory_idle, 0)),
        ("memory, most in the first part, MiB", _measured(rounds, lambda result: result.memory_most, 0)),
    ]
    rows = [row for row in rows if row[0].startswith("**") or any(figure.text != "0" for figure in row[1])]
    count = max(map(len, rounds.values()))
    how = "one round" if count == 1 else f"{count} alternating rounds"
    said = f"""
    Measured on {time.strftime("%Y-%m-%d")}, in {how}, on {os.cpu_count()} cores;
    the machine's load before each run was {min(loads):.1f} to {max(loads):.1f}.
    Python {platform.python_version()}, {_node()}. If rounds differ, each is given; for CPU and memory the
    median, and lowest to highest. Rows about refused calls and ended processes are left out if all are 0.
    """
    return str(Table("Measured", said, ["", *(bots.NAMES[which] for which in rounds)], rows))


def _library(which: str) -> str:
    return f"discord.py {bots.version(which)}" if which == bots.REWARM else bots.version(which)


def _of_each(rounds: Rounds, number: int, read: Callable[[Part], object]) -> list[Figure]:
    """Return a value of one part, by bot."""
    texts = ([str(read(result.parts[number])) for result in results] for results in rounds.values())
    return [Figure("; ".join(dict.fromkeys(text))) for text in texts]


def _measured(rounds: Rounds, read: Callable[[Result], float], digits: int) -> list[Figure]:
    return [_range([read(result) for result in results], digits) for results in rounds.values()]


def _range(values: list[float], digits: int) -> Figure:
    low, mid, high = (f"{value:.{digits}f}" for value in (min(values), median(values), max(values)))
    return Figure(mid if low == high else f"{mid} ({low} to {high})")


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        return "no Node"
    return (
        "Node "
        + subprocess.run((node, "--version"), check=True, capture_output=True, text=True).stdout.strip()
    )
