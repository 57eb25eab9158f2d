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
    """The retries of one reload; an age is the ending's, in seconds.

    `refused`: how many of this reload's calls were refused so far, even before a restart.
    """

    def __init__(self, refused: int) -> None:
        self._refused = refused
        self._cost = _QUIET_COST if refused else 0

    def tried(self, refused: int) -> None:
        """Record a failed try; `refused` is as above."""
        self._cost = max(1, refused - self._refused)
        self._refused = refused

    def rest(self, age: float) -> float:
        """Return the seconds from this age on in which nothing is tried, because too much was refused."""
        affordable = (self._refused + self._cost - FIRST_REFUSED) / (MOST_REFUSED - FIRST_REFUSED) * FADE_AGE
        return max(0.0, min(affordable, FADE_AGE) - age)

    def pause(self, age: float) -> Pause | None:
        """Return how long to wait, at this age, for the next try; None if there is none."""
        if age >= FADE_AGE:
            return None
        rest = self.rest(age)
        interval = RETRY_INTERVAL if age < YOUNG_AGE else LATER_INTERVAL
        return Pause(rest, min(max(rest, interval), FADE_AGE - age) - rest)
