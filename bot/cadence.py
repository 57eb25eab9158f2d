"""Pure: when the next edit of a countdown is due."""

import math

EDIT_EVERY = 5.0
"""Seconds between two edits: Discord was seen to allow 5 edits in 2 s for a reply; one in 5 s is polite."""
NEAR_SECONDS = 15.0
"""This long before its end, a countdown is edited every EDIT_EVERY seconds, however many there are."""
QUIET_SECONDS = 2.0
"""No edit this shortly before the ending, so that none can land after it."""
EDIT_LIMIT = 5.0
"""Seconds that one edit may take before it is dropped."""
_SOONEST = 1.0


def next_edit(left: float, offset: float = 0.0) -> float | None:
    """Seconds until the next edit, with `left` seconds to go; None when only the ending is left.

    Edits fall where the time left is a multiple of EDIT_EVERY, so that the numbers read well; or `offset`
    seconds earlier, so that not all countdowns are edited at once.
    """
    if not math.isfinite(left):
        return None
    mark = math.floor((left - _SOONEST - offset) / EDIT_EVERY) * EDIT_EVERY + offset
    return left - mark if mark > QUIET_SECONDS else None


def next_edit_near(left: float, place: float) -> float | None:
    """The same in a crowd, for the last NEAR_SECONDS; with more to go, for the first edit in these.

    `place`: where this countdown stands among the others, from 0 to 1: they are spread over EDIT_EVERY.
    """
    over = max(0.0, left - _SOONEST - NEAR_SECONDS)
    pause = next_edit(left - over, place * EDIT_EVERY)
    return None if pause is None else over + pause


def start_pause(attempt: int) -> float:
    """Seconds to wait after the `attempt`-th failed start (from 0): 1, 2, 4 and so on, up to a minute."""
    return float(min(2 ** min(attempt, 6), 60))


def retry_pause(attempt: int) -> float:
    """Seconds to wait after the `attempt`-th try (from 0) to show an ending: 1, 2, 4, then 8 each."""
    return float(2 ** min(attempt, 3))
