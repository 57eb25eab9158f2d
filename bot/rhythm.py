"""How often countdowns are edited: as often as this process can carry, which is measured while it runs."""

from collections import Counter
from collections.abc import Callable

from bot.cadence import EDIT_EVERY, NEAR_SECONDS, next_edit, next_edit_in_a_crowd

LOAD = 0.5
"""How much of one core may go into countdowns: the rest is for answers, endings and the unforeseen."""
EDITS_A_LOOK = 50
CHEAPEST, DEAREST = 0.0002, 0.005
"""What an edit may cost, in seconds of CPU: what is measured beyond that is something else."""
ROUND_SECONDS = 0.25
"""A shift as short as this leaves round numbers round, also with BEAT_SECONDS on top."""
BEAT_SECONDS = 0.25
"""An edit is made so much earlier, at most, to be made with others: one that a sleeping process wakes up for
costs 1.4 ms of CPU, one of fifteen in a row 0.6 (measured)."""
EDITS_A_BEAT = 16
"""No more in a row, or whoever asks meanwhile would wait."""
_BEGIN_WITH = 0.0005
_SMOOTH = 0.2
_LONGEST = 60.0
_BEATS_KEPT = 10_000
_GOLDEN = 0.6180339887498949


class Rhythm:
    """Of all countdowns of a process. `cpu`: the CPU time that it has used, in seconds."""

    def __init__(self, cpu: Callable[[], float]) -> None:
        self._cpu = cpu
        self._cost = _BEGIN_WITH
        self._edits = 0
        self._looked_at: float | None = None
        self._count = 0
        self._due = Counter[float]()
        """Edits that are due on each beat."""
        self.live = 0
        self.near = 0
        """Of the live ones, those that end within NEAR_SECONDS."""

    @property
    def capacity(self) -> float:
        """Edits a second that this process can carry."""
        return LOAD / self._cost

    @property
    def every(self) -> float:
        """Seconds between two edits of a countdown that is not near its end; more in a crowd."""
        beginnings = 1.5 * self.near / NEAR_SECONDS  # as many begin as end; each with an edit, and one early
        left = max(self.capacity - self.near / EDIT_EVERY - beginnings, self.capacity / 4)
        return min(_LONGEST, max(EDIT_EVERY, (self.live - self.near) / left))

    @property
    def window(self) -> float:
        """Seconds over which countdowns that began in one instant are spread: as many as their edits take."""
        return max(0, self.live - 1) / self.capacity

    def beat(self, moment: float, now: float) -> float:
        """When to make an edit that may be made a little before a moment: with others, but not with too many.

        Takes a place. Both, and the answer: seconds of a monotonic clock.
        """
        apart, rate = BEAT_SECONDS, min(self.live / EDIT_EVERY, self.capacity)
        while apart * rate > EDITS_A_BEAT:
            apart /= 2  # halves, so that old and new beats fall together
        beat = moment // apart * apart
        if self._due[beat] == EDITS_A_BEAT:  # many began at once: they are close to each other as it is
            return moment
        self._due[beat] += 1
        if len(self._due) > _BEATS_KEPT:
            self._due = Counter({at: edits for at, edits in self._due.items() if at > now})
        return beat

    def begin(self) -> "Countdown":
        """A countdown begins; it is to be ended."""
        self._count += 1
        place = self._count * _GOLDEN % 1  # neighbours are far from each other, however many there are
        return Countdown(self, place)

    def edited(self) -> None:
        """An edit was made: now and then, look what they cost."""
        self._edits += 1
        if self._edits < EDITS_A_LOOK:
            return
        now = self._cpu()
        if self._looked_at is not None:
            cost = min(max((now - self._looked_at) / self._edits, CHEAPEST), DEAREST)
            self._cost += _SMOOTH * (cost - self._cost)
        self._looked_at, self._edits = now, 0


class Countdown:
    """One countdown's part in it; `place`: where it stands among the others, from 0 to 1."""

    def __init__(self, rhythm: Rhythm, place: float) -> None:
        self._rhythm = rhythm
        self._place = place
        self._near = self._spread = False
        rhythm.live += 1

    def next_edit(self, left: float, now: float) -> float | None:
        """After an edit, with `left` seconds to go: when the next is due; None: only the ending is left.

        `now`, and the answer: seconds of a monotonic clock.
        """
        self._rhythm.edited()
        pause = self._pause(left)
        return None if pause is None else self._rhythm.beat(now + pause, now)

    def _pause(self, left: float) -> float | None:
        rhythm = self._rhythm
        if left <= NEAR_SECONDS and not self._near:
            self._near = True
            rhythm.near += 1
        if rhythm.window <= ROUND_SECONDS:
            return next_edit(left, self._place * rhythm.window)
        pause = next_edit_in_a_crowd(left, rhythm.every, self._place)
        if pause is None or self._spread:
            return pause
        self._spread = True
        return 1.0 + self._place * (pause - 1.0)

    def end(self) -> None:
        """The countdown is over."""
        self._rhythm.live -= 1
        self._rhythm.near -= self._near
