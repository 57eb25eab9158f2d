"""Shows measurements as Markdown tables, on the terminal and in docs/benchmarks.md."""

import math
import os
import platform
import textwrap
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

WIDTH = 110
LIBRARIES = ("discord.py", "aiohttp", "orjson", "sqlitedict")


@dataclass(frozen=True)
class Figure:
    """A figure as text; `goal` in the same unit, empty if there is none."""

    text: str
    goal: str = ""
    met: bool = True

    def __str__(self) -> str:
        """Return it with the goal, and whether that is met."""
        if not self.goal:
            return self.text
        return f"{self.text} ({self.goal}: {'met' if self.met else '**missed**'})"


@dataclass(frozen=True)
class Table:
    """A table with a title, and sentences about how it was measured."""

    title: str
    said: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Figure]]]

    def __str__(self) -> str:
        """As Markdown, in columns that line up in a terminal, too."""
        cells = [[*self.columns], *([name, *map(str, figures)] for name, figures in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [_line(row, widths) for row in cells]
        lines.insert(1, _line(["-" * width for width in widths], widths))
        said = textwrap.fill(" ".join(self.said.split()), WIDTH)
        return "\n".join([f"## {self.title}", "", said, "", *lines, ""])


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    return f"| {' | '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))} |"


def under(text: str, value: float, limit: float, goal: str) -> Figure:
    """Return a figure that should stay at or below a limit; NaN does not."""
    return Figure(text, goal, value <= limit)


def both(p50: float, p99: float) -> str:
    """Return two times, given in seconds, as text."""
    return f"{ms(p50)} / {ms(p99)}"


def ms(seconds: float) -> str:
    """Return a time, given in seconds, as text; NaN means that nothing arrived."""
    if math.isnan(seconds):
        return "none"
    milliseconds = 1000 * seconds
    return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{milliseconds:,.0f} ms"


def page(tables: Sequence[Table], took: float) -> str:
    """Return the whole page: when, on what, which goals are missed, then the tables."""
    goals = [
        (f"- {table.title}; {table.columns[0]}: {column}; {name}: {figure.text} ({figure.goal})", figure.met)
        for table in tables
        for name, row in table.rows
        for column, figure in zip(table.columns[1:], row, strict=True)
        if figure.goal
    ]
    missed = [line for line, met in goals if not met]
    return "\n".join(
        [
            "# Benchmarks",
            "",
            f"Written by `make bench` on {time.strftime('%Y-%m-%d')}, in {took / 60:.0f} minutes.",
            "Medians of alternating rounds. The bot is one process; Discord and the model API are another,",
            "lean and on the same machine. In brackets: the goal, and whether it is met.",
            "",
            *_machine(),
            "",
            f"Goals met: {len(goals) - len(missed)} of {len(goals)}.{' Missed:' if missed else ''}",
            *(["", *missed] if missed else []),
            "",
            *map(str, tables),
        ]
    )


def _machine() -> list[str]:
    about = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in about if line.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES)
    return [
        f"- Machine: {model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}",
        f"- Python {platform.python_version()}, {versions}",
    ]
