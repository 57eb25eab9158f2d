"""How many test images a member may have made in 24 hours, and how many there were."""

import hashlib
from collections import Counter
from collections.abc import Iterable

from bot.domain.errors import NoTestsLeft
from bot.domain.reload import ImageTest, Reload
from bot.domain.rows import PaidCall

ALLOWANCE_AGE = 86400.0
"""So long a call counts."""


def call_name(reload: Reload, test: ImageTest) -> str:
    """What the call for a test image is known by: the same press or form delivered twice is one.

    Of those that somebody asks for ahead there is one for a reload, however often they press.
    """
    about = f"{reload.id}:{test.by.user}" if test.ahead else test.by.token
    return hashlib.sha256(about.encode()).hexdigest()[:32]


def freed(before: Reload, after: Reload) -> str | None:
    """The name of a call that was reserved ahead, and that nobody makes any more."""
    test = before.test
    is_dropped = test is not None and test.ahead and not test.called and after.test is None
    return call_name(before, test) if test is not None and is_dropped else None


def counts(call: PaidCall, now: float) -> bool:
    """Whether a call still counts; one that lies in the future does: the clock was set back."""
    return abs(now - call.at) < ALLOWANCE_AGE


def check_allowance(calls: Iterable[PaidCall], by: int, now: float, most: int | None) -> None:
    """Raise NoTestsLeft where a member's `calls` leave no place for one more."""
    mine = sorted(call.at for call in calls if call.by == by and counts(call, now))
    if most is None or len(mine) < most:
        return
    free_at = mine[len(mine) - most] + ALLOWANCE_AGE if most else None
    raise NoTestsLeft(most, free_at)


def made_by(calls: Iterable[PaidCall], now: float) -> list[tuple[int, int]]:
    """The members that had test images made, with how many each, most first."""
    return Counter(call.by for call in calls if counts(call, now)).most_common()
