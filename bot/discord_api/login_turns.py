"""Pure: decides which of a token's logins count against the next one, and when that may be."""

from typing import Any, NamedTuple

STAYED_AGE = 600.0
"""Seconds after which a login has stayed up. Each time this long passes, one login that did not is forgiven.
"""
FIRST_DELAY, LONGEST_DELAY = 5.0, 600.0
SPACING = 5.0
"""Seconds between two logins of one bucket; Discord says how many buckets there are (`max_concurrency`)."""
ANSWER_TIMEOUT = 120.0
"""Seconds that a bucket waits for Discord's answer to its last login: to connect, and to be READY."""
ANSWER_INTERVAL = 1.0
MOST_FAILURES = 24
"""The most failures that count. Half of them still give the longest delay: if shards are lost again and
again, the first one that is READY has to stay up before the others follow."""
DAYS_FAILURES, DAY = 24, 86400.0
"""How many failures, besides one for each shard that has failed, may come before each login waits for the
longest delay, which allows 144 more in a day."""
_CLOCK_SKEW = 60.0


class Login(NamedTuple):
    """A shard's login, at a time in seconds since 1970; `credit`: failures that its READY has forgiven."""

    at: float
    credit: int = 0

    def is_young(self, now: float, began: float) -> bool:
        """Return whether it has not stayed up: lost at `now`, or with the process before that of `began`."""
        lost_at = began if self.at < began else now
        return 0 <= lost_at - self.at < STAYED_AGE


class Turn(NamedTuple):
    """A bucket's last login, at a time in seconds since 1970; `shard` is set until it is answered."""

    at: float
    shard: int | None


class Token(NamedTuple):
    """The state of a token's logins, shared by all processes."""

    lost: int = 0
    """How many logins did not stay up."""
    at: float = 0.0
    """When the last of these was made, or another tried since; in seconds since 1970."""
    shards: frozenset[int] = frozenset()
    """The shards that made them."""
    were_ready: bool = False
    """Whether one of them had been READY: then another's READY proves less."""
    paid_at: float = 0.0
    """When 10 minutes for each failure will have passed, whatever READY forgave; in seconds since 1970."""
    turns: dict[int, Turn] = {}  # noqa: RUF012  # never changed in place
    """The last login of each bucket."""

    def left(self, now: float) -> int:
        """Return how many count at `now`: one is forgiven every 10 minutes, all if the clock was set back."""
        age = now - self.at
        return max(0, self.lost - int(age // STAYED_AGE)) if self.lost and age > -_CLOCK_SKEW else 0

    def counted(self, shard: int, now: float) -> int:
        """Return how many count for a shard.

        For one that has not failed, at most one for each shard that has, and none if only one has.
        """
        if shard in self.shards:
            return self.left(now)
        return min(self.left(now), len(self.shards)) if len(self.shards) > 1 else 0

    def delay(self, shard: int, now: float) -> float:
        """Return the seconds from the last login that counts for a shard to its next one."""
        many = self.owed(now) > (DAYS_FAILURES + len(self.shards)) * STAYED_AGE
        if many and (shard in self.shards or len(self.shards) > 1):
            return LONGEST_DELAY
        count = self.counted(shard, now)
        return delay_after(count) if count else 0.0

    def owed(self, now: float) -> float:
        """Return the seconds until `paid_at`; 0 if it is over, or the clock was set back."""
        owed = self.paid_at - now
        return owed if 0 < owed < 2 * DAY else 0.0

    def wait(self, bucket: int, shard: int, now: float) -> float:
        """Return the seconds from `now` until a shard's next login, or a look if one is unanswered."""
        pause, turn = 0.0, self.turns.get(bucket)
        if delay := self.delay(shard, now):
            others = [turn.at for turn in self.turns.values()] if len(self.shards) > 1 else []
            pause = min(max(self.at, *others, 0.0) + delay - now, LONGEST_DELAY)
        if turn is not None and (age := now - turn.at) > -_CLOCK_SKEW:
            is_unanswered = turn.shard not in (None, shard) and age < ANSWER_TIMEOUT
            pause = max(pause, SPACING - age, ANSWER_INTERVAL if is_unanswered else 0.0)
        return max(0.0, pause)

    def claimed(self, bucket: int, shard: int, now: float) -> "Token":
        """Let a shard take its turn, if it has one."""
        if self.wait(bucket, shard, now) > 0:
            return self
        begun = self.begun(bucket, shard, now)
        return begun._replace(lost=self.left(now), at=now) if self.delay(shard, now) else begun

    def begun(self, bucket: int, shard: int, now: float) -> "Token":
        """Record that a shard logs in."""
        return self._replace(turns={**self.turns, bucket: Turn(now, shard)})

    def answered(self, shard: int) -> "Token":
        """Record that nobody need wait any longer for the answer to a shard's login."""
        old = self.turns.items()
        return self._replace(turns={b: Turn(t.at, None if t.shard == shard else t.shard) for b, t in old})

    def ready(self, shard: int, now: float) -> "Token":
        """Forgive half of what counted, after a login's READY, so that the others follow after an outage."""
        counted = self.counted(shard, now)
        forgiven = (counted + 1) // 2
        if self.were_ready:
            forgiven = counted // 2 if shard in self.shards else 0
        return self.answered(shard)._replace(lost=self.lost - forgiven)

    def failed(self, shard: int, login: Login, now: float, *, was_ready: bool) -> "Token":
        """Record that a shard's login has not stayed up; what it forgave counts again."""
        left = self.left(now)
        return self.answered(shard)._replace(
            lost=min(left + login.credit + 1, MOST_FAILURES),
            at=max(login.at, self.at) if left else login.at,
            shards=self.shards | {shard} if left else frozenset((shard,)),
            were_ready=was_ready or (left > 0 and self.were_ready),
            paid_at=now + self.owed(now) + STAYED_AGE,
        )

    def stayed(self, shard: int) -> "Token":
        """Record that a shard's login stayed up."""
        return self.answered(shard)._replace(shards=self.shards - {shard})

    def packed(self) -> dict[str, Any]:
        """Return it as the store keeps it."""
        turns = {str(bucket): [*turn] for bucket, turn in self.turns.items()}
        return {**self._asdict(), "shards": sorted(self.shards), "turns": turns}

    @classmethod
    def unpacked(cls, known: dict[str, Any]) -> "Token":
        """Read it from what the store has."""
        turns = {int(bucket): Turn(*turn) for bucket, turn in known["turns"].items()}
        return cls(**{**known, "shards": frozenset(known["shards"]), "turns": turns})


def delay_after(failures: int) -> float:
    """Return the seconds from the last of this many failed logins to the next: 5, 10, 20, up to 600."""
    return min(FIRST_DELAY * 2.0 ** (failures - 1), LONGEST_DELAY)
