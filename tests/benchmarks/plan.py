"""How much is measured: in full, or quickly."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Sizes and times; all seconds."""

    loads: tuple[int, ...]
    rounds: int
    window: float
    """How long each of a load's two windows is."""
    reloads: int
    """Of each bot, where bots are compared."""
    over: float
    """The time in which they are asked for."""
    lasts: float
    compared: int
    """Rounds of that."""
    writes: float
    """How long a store is written to."""
    kept: int
    """Reloads of a store with a long history."""


FULL = Plan((0, 100, 500, 1000, 5000), 2, 18.0, 300, 10.0, 120.0, 2, 4.0, 1_000_000)
QUICK = Plan((0, 300), 1, 6.0, 60, 5.0, 30.0, 1, 2.0, 50_000)
