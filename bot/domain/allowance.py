"""How many test images a member may have made in 24 hours, and how many there were."""

import hashlib
from collections import Counter
from collections.abc import Iterable

from bot.domain.errors import NoTestsLeft
from bot.domain.reload import Asker
from bot.domain.rows import PaidCall

ALLOWANCE_AGE = 86400.0
"""So long a call counts."""


def call_name(asker: Asker) -> str:
    """What the call is known by that somebody asks for: the same press or form delivered twice is one."""
    return hashlib.sha256(asker.token.encode()).hexdigest()[:32]


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
