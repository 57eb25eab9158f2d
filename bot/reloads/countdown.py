"""When each countdown is edited: every few seconds, or as often as this process can manage."""

import math
from collections import Counter
from collections.abc import Callable

EDIT_INTERVAL = 5.0
"""Seconds between two edits. Discord was seen to allow 5 edits in 2 s for a reply; one in 5 s is polite."""
NEAR_SECONDS = 15.0
"""Seconds before its end in which a countdown is edited every EDIT_INTERVAL, however many there are."""
QUIET_SECONDS = 2.0
"""Seconds before the ending without an edit, so that none can land after it."""
_SOONEST = 1.0
LOAD = 0.6
"""The part of a core that may be used before countdowns are edited less often; the rest is a reserve."""
RELOAD_COSTS = 24
"""The cost of a reload besides its countdown, in edits: 11 to 14 ms, an edit 0.5 to 0.6 (measured)."""
WAIT_COSTS = 8
"""The cost of a wait before the call, in edits: 5 ms including its own edits."""
EDITS_A_LOOK = 200
CHEAPEST, DEAREST = 0.0002, 0.005
"""The least and the most that an edit may cost, in seconds of CPU: anything else that is measured is not the
edit."""
ROUND_SECONDS = 0.25
"""Seconds of a shift that leaves round numbers round, even with BATCH_WINDOW on top."""
BATCH_WINDOW = 0.25
"""Seconds that an edit may be early in order to join others. One that wakes a sleeping process costs 1.4 ms
of CPU, one of fifteen in a row 0.6 (measured)."""
EDIT_BATCH = 16
"""The most edits in a row, so that whoever asks in between need not wait."""
_BEGIN_WITH = 0.0005
_SMOOTH = 0.05
_LONGEST = 60.0
_BEATS_KEPT = 10_000
_GOLDEN = 0.6180339887498949


class Countdowns:
    """All countdowns of a process; `cpu` returns the seconds of CPU time that it has used."""

    def __init__(self, cpu: Callable[[], float]) -> None:
        self._cpu = cpu
        self._cost = _BEGIN_WITH
        self._edits = 0
        self._looked_at: float | None = None
        self._count = 0
        self._due = Counter[float]()
        """How many edits are due on each beat."""
        self._line = 0.0
        """When the next one in line has a turn."""
        self.live = 0
        self.near = 0
        """How many live countdowns end within NEAR_SECONDS."""

    @property
    def capacity(self) -> float:
        """Edits per second that this process could make if it did nothing else."""
        return LOAD / self._cost

    @property
    def spare(self) -> float:
        """Edits per second that are left for countdowns not near their end."""
        ending = self.near / (NEAR_SECONDS - EDIT_INTERVAL / 2)  # per second; as many begin
        left = self.capacity - ending * (RELOAD_COSTS + NEAR_SECONDS / EDIT_INTERVAL)
        return max(left, self.capacity / 4)

    @property
    def every(self) -> float:
        """Seconds between two edits of a countdown that is not near its end; more in a crowd."""
        return min(_LONGEST, max(EDIT_INTERVAL, self._far / self.spare))

    @property
    def window(self) -> float:
        """Seconds over which countdowns that began together are spread, as many as their edits take."""
        return max(0, self.live - 1) / self.capacity

    @property
    def _far(self) -> int:
        return self.live - self.near

    def turn(self, now: float, latest: float) -> float | None:
        """Take the next turn for an edit far from an end, at least EDIT_INTERVAL away; None: after `latest`.

        They come one after another: if a crowd edited in waves, people would wait during each wave.
        """
        turn = min(max(self._line, now + EDIT_INTERVAL), now + _LONGEST)
        if turn > latest:
            return None
        self._line = turn + 1 / self.spare
        return turn

    def beat(self, moment: float, now: float) -> float:
        """Return when to make an edit that may be made a little early, with others but not too many.

        It takes a place on that beat. All times are seconds of a monotonic clock.
        """
        apart, rate = BATCH_WINDOW, self._far / self.every + self.near / EDIT_INTERVAL
        while apart * rate > EDIT_BATCH:
            apart /= 2  # halves, so that old and new beats fall together
        beat = moment // apart * apart
        if self._due[beat] == EDIT_BATCH:  # many began together, so they are close to each other anyway
            return moment
        self._due[beat] += 1
        if len(self._due) > _BEATS_KEPT:
            self._due = Counter({at: edits for at, edits in self._due.items() if at > now})
        return beat

    def begin(self, costs: int) -> "Countdown":
        """Add a countdown, which has to be ended; its work costs as much as this many edits."""
        self._count += 1
        place = self._count * _GOLDEN % 1  # neighbours are far apart, however many there are
        return Countdown(self, place, costs)

    def worked(self, edits: int) -> None:
        """Record work that cost as much as this many edits; measure an edit's cost now and then."""
        self._edits += edits
        if self._edits < EDITS_A_LOOK:
            return
        now = self._cpu()
        if self._looked_at is not None:
            cost = min(max((now - self._looked_at) / self._edits, CHEAPEST), DEAREST)
            self._cost += _SMOOTH * (cost - self._cost)
        self._looked_at, self._edits = now, 0


class Countdown:
    """One countdown among them; `place`: its position among the others, from 0 to 1."""

    def __init__(self, countdowns: Countdowns, place: float, costs: int) -> None:
        self._countdowns = countdowns
        self._place = place
        self._costs = costs
        self._near = False
        countdowns.live += 1

    def next_edit(self, left: float, now: float) -> float | None:
        """Return when the next edit is due, with `left` seconds to go; None: only the ending is left.

        `now` and the result: seconds of a monotonic clock.
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
        """Remove it: the countdown is over."""
        self._countdowns.worked(self._costs)
        self._countdowns.live -= 1
        self._countdowns.near -= self._near


def next_edit(left: float, offset: float = 0.0) -> float | None:
    """Return the seconds until the next edit, with `left` seconds to go; None: only the ending is left.

    Edits fall where the time left is a multiple of EDIT_INTERVAL, so that the numbers read well, or `offset`
    seconds earlier, so that not all countdowns are edited together.
    """
    if not math.isfinite(left):
        return None
    mark = math.floor((left - _SOONEST - offset) / EDIT_INTERVAL) * EDIT_INTERVAL + offset
    return left - mark if mark > QUIET_SECONDS else None


def next_edit_near(left: float, place: float) -> float | None:
    """Do the same in a crowd, for the last NEAR_SECONDS; with more to go, for the first edit in these.

    `place`: this countdown's position among the others, from 0 to 1: they are spread over EDIT_INTERVAL.
    """
    over = max(0.0, left - _SOONEST - NEAR_SECONDS)
    pause = next_edit(left - over, place * EDIT_INTERVAL)
    return None if pause is None else over + pause
