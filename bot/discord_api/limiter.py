"""Pure: decides whose turn it is among calls with the bot's own token, and when nobody may call."""

import math
from collections import Counter, deque

PER_SECOND = 40
"""Calls per second. Discord allows 50 in all; some arrive closer together than they were sent."""
FREE_PER_SERVER = 5
"""Turns per second that a server has before it must leave half of each tenth of a second to the others."""
PER_CHANNEL = 5
"""Calls per second in a channel, until Discord's headers say otherwise."""
CHANNEL_WINDOW = 5.0
FIRST_SHUT, LONGEST_SHUT = 5.0, 300.0
"""The first and the longest pause, in seconds, after a refusal of everybody that named no time; it doubles
each time."""
TRIAL_TIMEOUT = 2.0
"""Seconds after which a trial call is no longer waited for."""
_MOST_EXHAUSTED, _MOST_REFUSALS = 1000, 10
_TURNS_PER_SLOT = 4
"""Turns per slot of a tenth of a second: so no second has more than 40, wherever it starts."""
_MOST_PER_CHANNEL = 50


class Limiter:
    """Hands out turns; `now` is a monotonic clock in seconds.

    It lives as long as the bot. `share`: this process's part of Discord's limit, up to 1, since others use
    the same token.
    """

    def __init__(self, share: float = 1.0) -> None:
        self._per_second = max(1, int(PER_SECOND * share))
        self._slots_per_second = max(1, self._per_second // _TURNS_PER_SLOT)
        self._slots: Counter[int] = Counter()
        self._of_server: Counter[tuple[int, int]] = Counter()
        self._of_channel: dict[int, deque[float]] = {}
        self._limits: dict[int, int] = {}
        self._blocked: dict[int, float] = {}
        self._exhausted: dict[str, float] = {}
        self.everything, self.own, self.tokens = Gate(), Gate(), Gate()
        """The gates for all calls, for calls with the bot's own token, and for calls with an interaction's
        token."""
        self._sent: deque[float] = deque(maxlen=self._per_second)

    def wait(self, server: int, channel: int, now: float) -> float:
        """Return the seconds until a channel's next turn, without taking it."""
        return self._turn(server, channel, now) - now

    def take(self, server: int, channel: int, now: float) -> float:
        """Take the next turn of a channel; return the seconds to sleep first."""
        turn = self._turn(server, channel, now)
        self._slots[self._slot(turn)] += 1
        self._of_server[int(turn), server] += 1
        self._of_channel.setdefault(channel, deque(maxlen=_MOST_PER_CHANNEL)).append(turn)
        self._forget(now)
        return turn - now

    def go_or_wait(self, now: float) -> float:
        """Return the seconds that a call must still wait before it goes out; 0 if it may go.

        Turns are dealt out in advance: a process that was held up would send a second's worth of calls
        together.
        """
        if len(self._sent) == self._per_second and now - self._sent[0] < 1:
            return self._sent[0] + 1 - now
        self._sent.append(now)
        return 0.0

    def learn(self, channel: int, limit: int, remaining: int, reset_after: float, now: float) -> None:
        """Take over what Discord's headers say about a channel: its limit, and whether it is used up."""
        self._limits[channel] = min(max(1, limit), _MOST_PER_CHANNEL)
        if remaining == 0:
            self.block(channel, now + reset_after)

    def block(self, channel: int, until: float) -> None:
        """Let nobody have a turn in a channel before `until`, as Discord said."""
        self._blocked[channel] = max(self._blocked.get(channel, until), until)

    def exhaust(self, bucket: str, until: float) -> None:
        """Treat a bucket as used up until `until`, as Discord said."""
        self._exhausted[bucket] = until

    def exhausted_for(self, bucket: str, now: float) -> float:
        """Return the seconds for which a bucket is used up; 0 if it is not."""
        if len(self._exhausted) > _MOST_EXHAUSTED:
            self._exhausted = {name: until for name, until in self._exhausted.items() if until > now}
        return max(0.0, self._exhausted.get(bucket, now) - now)

    def gates(self, *, by_token: bool) -> tuple["Gate", "Gate"]:
        """Return the gates that a call must pass: with an interaction's token, or with the bot's own."""
        return self.everything, self.tokens if by_token else self.own

    def _turn(self, server: int, channel: int, now: float) -> float:
        taken = self._of_channel.get(channel, deque[float]())
        limit = self._limits.get(channel, PER_CHANNEL)
        turn = max(now, self.own.shut_until, self._blocked.get(channel, now))
        if len(taken) >= limit:
            turn = max(turn, taken[-limit] + CHANNEL_WINDOW)
        if taken:
            turn = max(turn, taken[-1])  # first come, first served
        while self._full(turn, server):
            turn = (self._slot(turn) + 1) / self._slots_per_second
        return turn

    def _full(self, turn: float, server: int) -> bool:
        share = 1 if self._of_server[int(turn), server] < FREE_PER_SERVER else 2
        most = self._per_second // self._slots_per_second
        return self._slots[self._slot(turn)] >= max(1, most // share)

    def _forget(self, now: float) -> None:
        """Drop what has passed, now and then, so that memory stays flat."""
        if max(len(self._of_server), len(self._of_channel), len(self._limits)) < 1000:
            return
        self._slots = Counter({s: n for s, n in self._slots.items() if s >= self._slot(now)})
        self._of_server = Counter({k: n for k, n in self._of_server.items() if k[0] >= int(now)})
        self._of_channel = {c: t for c, t in self._of_channel.items() if t[-1] + CHANNEL_WINDOW > now}
        self._limits = {c: limit for c, limit in self._limits.items() if c in self._of_channel}
        self._blocked = {c: until for c, until in self._blocked.items() if until > now}

    def _slot(self, moment: float) -> int:
        return int(moment * self._slots_per_second)


class Gate:
    """A gate that is shut while Discord, or something in front of it, refuses everybody; one call tries.

    The rest wait: Discord blocks an address after refusing it 10,000 calls in ten minutes (its page on rate
    limits).
    """

    def __init__(self) -> None:
        self._refusals = 0
        self._tried_at = -math.inf
        self.shut_until = -math.inf

    def wait(self, now: float) -> float:
        """Return the seconds for which no call may go out; 0 if one may."""
        if not self._refusals:
            return 0.0
        return max(0.0, self.shut_until - now, self._tried_at + TRIAL_TIMEOUT - now)

    def enter(self, now: float) -> bool:
        """Let a call go out; return whether it is the one that tries."""
        self._tried_at = now
        return self._refusals > 0

    def shut(self, now: float, named: float | None = None) -> float:
        """Shut after a call was refused for a named time; return the seconds until one tries again.

        If no time is named, several refusals of one burst count once.
        """
        if named is None and now < self.shut_until:
            return self.shut_until - now
        pause = min(FIRST_SHUT * 2.0**self._refusals, LONGEST_SHUT) if named is None else named
        self._refusals = min(self._refusals + 1, _MOST_REFUSALS)
        self.shut_until, self._tried_at = max(self.shut_until, now + pause), -math.inf
        return self.shut_until - now

    def open(self) -> None:
        """Open again: the call that tried was answered."""
        self._refusals = 0
