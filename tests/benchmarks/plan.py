"""The size of the measurement: full, or quick."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Sizes and times; all seconds."""

    loads: tuple[int, ...]
    rounds: int
    window: float
    """How long each of a load's two windows is."""
    reloads: int
    """Reloads of each bot when bots are compared."""
    over: float
    """The time over which they are requested."""
    lasts: float
    compared: int
    """Rounds of that comparison."""
    writes: float
    """How long a store is written to."""
    kept: int
    """Reloads in a store with a long history."""


FULL = Plan((0, 100, 500, 1000, 5000), 2, 18.0, 300, 10.0, 120.0, 2, 4.0, 1_000_000)
QUICK = Plan((0, 300), 1, 6.0, 60, 5.0, 30.0, 1, 2.0, 50_000)
