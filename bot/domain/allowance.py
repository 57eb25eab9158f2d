"""How many test images a member may have made in 24 hours, and how many they have had."""

import hashlib
from collections import Counter
from collections.abc import Iterable

from bot.domain.errors import NoTestsLeft
from bot.domain.reload import ImageTest, Reload
from bot.domain.rows import PaidCall

ALLOWANCE_AGE = 86400.0
"""Seconds for which a call counts."""


def call_name(reload: Reload, test: ImageTest) -> str:
    """Return the name of a test image's call, the same for a press or form that is delivered twice.

    A test image that is requested ahead has one name per reload, however often its button is pressed.
    """
    about = f"{reload.id}:{test.by.user}" if test.ahead else test.by.token
    return hashlib.sha256(about.encode()).hexdigest()[:32]


def freed(before: Reload, after: Reload) -> str | None:
    """Return the name of a call that was reserved ahead and that will not be made."""
    test = before.test
    is_dropped = test is not None and test.ahead and not test.called and after.test is None
    return call_name(before, test) if test is not None and is_dropped else None


def counts(call: PaidCall, now: float) -> bool:
    """Return whether a call still counts. One in the future does: the clock was set back."""
    return abs(now - call.at) < ALLOWANCE_AGE


def check_allowance(calls: Iterable[PaidCall], by: int, now: float, most: int | None) -> None:
    """Raise NoTestsLeft if a member's `calls` leave no room for one more."""
    mine = sorted(call.at for call in calls if call.by == by and counts(call, now))
    if most is None or len(mine) < most:
        return
    free_at = mine[len(mine) - most] + ALLOWANCE_AGE if most else None
    raise NoTestsLeft(most, free_at)


def made_by(calls: Iterable[PaidCall], now: float) -> list[tuple[int, int]]:
    """Return the members who had test images made, with how many each, most first."""
    return Counter(call.by for call in calls if counts(call, now)).most_common()
