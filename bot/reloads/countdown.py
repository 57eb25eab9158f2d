"""When each countdown is edited: every few seconds, or as often as this process can carry."""

import math
from collections import Counter
from collections.abc import Callable

EDIT_INTERVAL = 5.0
"""Seconds between two edits: Discord was seen to allow 5 edits in 2 s for a reply; one in 5 s is polite."""
NEAR_SECONDS = 15.0
"""This long before its end, a countdown is edited every EDIT_INTERVAL seconds, however many there are."""
QUIET_SECONDS = 2.0
"""No edit this shortly before the ending, so that none can land after it."""
_SOONEST = 1.0
LOAD = 0.6
"""How much of a core may be used before countdowns are edited less often: the rest is for the unforeseen."""
RELOAD_COSTS = 24
"""What a reload costs beside its countdown, in edits: 11 to 14 ms, an edit 0.5 to 0.6 (measured)."""
WAIT_COSTS = 8
"""The same of a wait before the call: 5 ms with its edits."""
EDITS_A_LOOK = 200
CHEAPEST, DEAREST = 0.0002, 0.005
"""What an edit may cost, in seconds of CPU: what is measured beyond that is something else."""
ROUND_SECONDS = 0.25
"""A shift as short as this leaves round numbers round, also with BATCH_WINDOW on top."""
BATCH_WINDOW = 0.25
"""An edit is made so much earlier, at most, to be made with others: one that a sleeping process wakes up for
costs 1.4 ms of CPU, one of fifteen in a row 0.6 (measured)."""
EDIT_BATCH = 16
"""No more in a row, or whoever asks meanwhile would wait."""
_BEGIN_WITH = 0.0005
_SMOOTH = 0.05
_LONGEST = 60.0
_BEATS_KEPT = 10_000
_GOLDEN = 0.6180339887498949


class Countdowns:
    """Of all countdowns of a process. `cpu`: the CPU time that it has used, in seconds."""

    def __init__(self, cpu: Callable[[], float]) -> None:
        self._cpu = cpu
        self._cost = _BEGIN_WITH
        self._edits = 0
        self._looked_at: float | None = None
        self._count = 0
        self._due = Counter[float]()
        """Edits that are due on each beat."""
        self._line = 0.0
        """When whoever comes next in line has a turn."""
        self.live = 0
        self.near = 0
        """Of the live ones, those that end within NEAR_SECONDS."""

    @property
    def capacity(self) -> float:
        """Edits a second that this process could carry if it did nothing else."""
        return LOAD / self._cost

    @property
    def spare(self) -> float:
        """Edits a second for countdowns not near their end: what the others and the reloads leave."""
        ending = self.near / (NEAR_SECONDS - EDIT_INTERVAL / 2)  # each second; as many begin
        left = self.capacity - ending * (RELOAD_COSTS + NEAR_SECONDS / EDIT_INTERVAL)
        return max(left, self.capacity / 4)

    @property
    def every(self) -> float:
        """Seconds between two edits of a countdown that is not near its end; more in a crowd."""
        return min(_LONGEST, max(EDIT_INTERVAL, self._far / self.spare))

    @property
    def window(self) -> float:
        """Seconds over which countdowns that began in one instant are spread: as many as their edits take."""
        return max(0, self.live - 1) / self.capacity

    @property
    def _far(self) -> int:
        return self.live - self.near

    def turn(self, now: float, latest: float) -> float | None:
        """Take the next turn for an edit far from an end, at least EDIT_INTERVAL away; None: after `latest`.

        One after the other: a crowd that edits in waves makes people wait in each of them.
        """
        turn = min(max(self._line, now + EDIT_INTERVAL), now + _LONGEST)
        if turn > latest:
            return None
        self._line = turn + 1 / self.spare
        return turn

    def beat(self, moment: float, now: float) -> float:
        """When to make an edit that may be made a little before a moment: with others, but not with too many.

        Takes a place. Both, and the answer: seconds of a monotonic clock.
        """
        apart, rate = BATCH_WINDOW, self._far / self.every + self.near / EDIT_INTERVAL
        while apart * rate > EDIT_BATCH:
            apart /= 2  # halves, so that old and new beats fall together
        beat = moment // apart * apart
        if self._due[beat] == EDIT_BATCH:  # many began at once: they are close to each other as it is
            return moment
        self._due[beat] += 1
        if len(self._due) > _BEATS_KEPT:
            self._due = Counter({at: edits for at, edits in self._due.items() if at > now})
        return beat

    def begin(self, costs: int) -> "Countdown":
        """A countdown begins, which is to be ended; with it goes work that costs as much as so many edits."""
        self._count += 1
        place = self._count * _GOLDEN % 1  # neighbours are far from each other, however many there are
        return Countdown(self, place, costs)

    def worked(self, edits: int) -> None:
        """As much was done as so many edits cost: now and then, look what one does."""
        self._edits += edits
        if self._edits < EDITS_A_LOOK:
            return
        now = self._cpu()
        if self._looked_at is not None:
            cost = min(max((now - self._looked_at) / self._edits, CHEAPEST), DEAREST)
            self._cost += _SMOOTH * (cost - self._cost)
        self._looked_at, self._edits = now, 0


class Countdown:
    """One countdown's part in it; `place`: where it stands among the others, from 0 to 1."""

    def __init__(self, countdowns: Countdowns, place: float, costs: int) -> None:
        self._countdowns = countdowns
        self._place = place
        self._costs = costs
        self._near = False
        countdowns.live += 1

    def next_edit(self, left: float, now: float) -> float | None:
        """After an edit, with `left` seconds to go: when the next is due; None: only the ending is left.

        `now`, and the answer: seconds of a monotonic clock.
        """
        countdowns = self._countdowns
        countdowns.worked(1)
        if left <= NEAR_SECONDS and not self._near:
            self._near = True
            countdowns.near += 1
        if countdowns.window <= ROUND_SECONDS:
            pause = next_edit(left, self._place * countdowns.window)
        elif (turn := countdowns.turn(now, now + left - NEAR_SECONDS)) is not None:
            pause = turn - now
        else:
            pause = next_edit_near(left, self._place)
        return None if pause is None else countdowns.beat(now + pause, now)

    def end(self) -> None:
        """The countdown is over."""
        self._countdowns.worked(self._costs)
        self._countdowns.live -= 1
        self._countdowns.near -= self._near


def next_edit(left: float, offset: float = 0.0) -> float | None:
    """Seconds until the next edit, with `left` seconds to go; None when only the ending is left.

    Edits fall where the time left is a multiple of EDIT_INTERVAL, so that the numbers read well; or `offset`
    seconds earlier, so that not all countdowns are edited at once.
    """
    if not math.isfinite(left):
        return None
    mark = math.floor((left - _SOONEST - offset) / EDIT_INTERVAL) * EDIT_INTERVAL + offset
    return left - mark if mark > QUIET_SECONDS else None


def next_edit_near(left: float, place: float) -> float | None:
    """The same in a crowd, for the last NEAR_SECONDS; with more to go, for the first edit in these.

    `place`: where this countdown stands among the others, from 0 to 1: they are spread over EDIT_INTERVAL.
    """
    over = max(0.0, left - _SOONEST - NEAR_SECONDS)
    pause = next_edit(left - over, place * EDIT_INTERVAL)
    return None if pause is None else over + pause
