"""Pure: when an ending that could not be shown is tried again, and what its refused calls leave for that."""

from typing import NamedTuple

from bot.domain.reload import FADE_AGE, MOST_REFUSED

RETRY_INTERVAL = 600.0
"""Seconds between two tries, where nothing happens in the server, while the ending is young."""
LATER_INTERVAL = 3600.0
YOUNG_AGE = 3600.0
FIRST_REFUSED = 20
"""Calls that may be refused at any time; the rest of MOST_REFUSED comes evenly over the day."""
_QUIET_COST = 2
"""Calls that a try costs mostly: an edit and a ping."""


class Pause(NamedTuple):
    """Before the next try, in seconds."""

    rest: float
    """Nothing is tried, whatever happens: too much was refused."""
    wait: float
    """After that, an event ends it."""


class Retries:
    """Those of one reload in one process; an age is that of the ending, in seconds.

    `age`: when this process began to tell it. What was refused before is not known: it counts what a quiet
    day costs.
    """

    def __init__(self, age: float) -> None:
        self._before = _QUIET_COST * _quiet_tries(age)
        self._refused = 0
        self._cost = _QUIET_COST

    def tried(self, refused: int) -> None:
        """A try has failed. `refused`: calls of this reload that this process has had refused so far."""
        self._cost = max(1, refused - self._refused)
        self._refused = refused

    def pause(self, age: float) -> Pause | None:
        """How long to wait, at this age, for the next try; None: there is none."""
        if age >= FADE_AGE:
            return None
        spent = self._before + self._refused + self._cost
        affordable = (spent - FIRST_REFUSED) / (MOST_REFUSED - FIRST_REFUSED) * FADE_AGE
        rest = min(max(age, affordable), FADE_AGE) - age
        interval = RETRY_INTERVAL if age < YOUNG_AGE else LATER_INTERVAL
        return Pause(rest, min(max(rest, interval), FADE_AGE - age) - rest)


def _quiet_tries(age: float) -> int:
    """Tries by then, where nothing happens in the server."""
    young = min(age, YOUNG_AGE)
    return int(young // RETRY_INTERVAL + (age - young) // LATER_INTERVAL)
