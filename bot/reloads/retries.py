"""Pure: when an ending that could not be shown is tried again, and how many refused calls that may cost."""

from typing import NamedTuple

from bot.domain.reload import FADE_AGE, MOST_REFUSED

RETRY_INTERVAL = 600.0
"""Seconds between two tries while the ending is young and nothing happens in the server."""
LATER_INTERVAL = 3600.0
YOUNG_AGE = 3600.0
FIRST_REFUSED = 20
"""Calls that may be refused at any time; the rest of MOST_REFUSED is released evenly over the day."""
_QUIET_COST = 2
"""Calls that a try usually costs: an edit and a ping."""


class Pause(NamedTuple):
    """The time before the next try, in seconds."""

    rest: float
    """Seconds during which nothing is tried, whatever happens: too much was refused."""
    wait: float
    """Seconds after that, unless an event ends them."""


class Retries:
    """The retries of one reload in one process; an age is the ending's, in seconds.

    `age`: when this process began to announce it. Earlier refusals are not known, so they count as a quiet
    day's.
    """

    def __init__(self, age: float) -> None:
        self._before = _QUIET_COST * _quiet_tries(age)
        self._refused = 0
        self._cost = _QUIET_COST

    def tried(self, refused: int) -> None:
        """Record a failed try; `refused`: this reload's calls refused to this process so far."""
        self._cost = max(1, refused - self._refused)
        self._refused = refused

    def pause(self, age: float) -> Pause | None:
        """Return how long to wait, at this age, for the next try; None if there is none."""
        if age >= FADE_AGE:
            return None
        spent = self._before + self._refused + self._cost
        affordable = (spent - FIRST_REFUSED) / (MOST_REFUSED - FIRST_REFUSED) * FADE_AGE
        rest = min(max(age, affordable), FADE_AGE) - age
        interval = RETRY_INTERVAL if age < YOUNG_AGE else LATER_INTERVAL
        return Pause(rest, min(max(rest, interval), FADE_AGE - age) - rest)


def _quiet_tries(age: float) -> int:
    """Return the tries made by then if nothing happens in the server."""
    young = min(age, YOUNG_AGE)
    return int(young // RETRY_INTERVAL + (age - young) // LATER_INTERVAL)
