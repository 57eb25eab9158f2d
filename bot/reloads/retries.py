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
    """Those of one reload; an age is that of the ending, in seconds.

    `refused`: calls of this reload that were refused so far, also before a restart.
    """

    def __init__(self, refused: int) -> None:
        self._refused = refused
        self._cost = _QUIET_COST if refused else 0

    def tried(self, refused: int) -> None:
        """A try has failed; `refused` is as above."""
        self._cost = max(1, refused - self._refused)
        self._refused = refused

    def rest(self, age: float) -> float:
        """Seconds from this age on in which nothing is tried, whatever happens: too much was refused."""
        affordable = (self._refused + self._cost - FIRST_REFUSED) / (MOST_REFUSED - FIRST_REFUSED) * FADE_AGE
        return max(0.0, min(affordable, FADE_AGE) - age)

    def pause(self, age: float) -> Pause | None:
        """How long to wait, at this age, for the next try; None: there is none."""
        if age >= FADE_AGE:
            return None
        rest = self.rest(age)
        interval = RETRY_INTERVAL if age < YOUNG_AGE else LATER_INTERVAL
        return Pause(rest, min(max(rest, interval), FADE_AGE - age) - rest)
