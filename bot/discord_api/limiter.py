"""Pure: whose turn it is among the calls made with the bot's own token, and when nobody may call at all."""

import math
from collections import Counter, deque

PER_SECOND = 40
"""Discord allows 50 a second in all; some arrive closer together than they were sent."""
FREE_PER_SERVER = 5
"""Turns a second that a server has before it must leave half of each tenth to the others."""
PER_CHANNEL = 5
"""Until Discord's headers say otherwise."""
CHANNEL_WINDOW = 5.0
FIRST_SHUT, LONGEST_SHUT = 5.0, 300.0
"""Seconds for which nobody calls after everybody was refused; twice as long each time."""
TRIAL_TIMEOUT = 10.0
"""Seconds after which the call that tries is not waited for any more."""
_TURNS_PER_SLOT = 4
"""A second is dealt out in slots, so that no second has more, wherever it begins: of 40, in tenths."""
_MOST_PER_CHANNEL = 50


class Limiter:
    """Hands out turns; `now` is a monotonic clock in seconds. One lives as long as the bot.

    `share`: how much of Discord's limit is this process's, up to 1: others have the same token.
    """

    def __init__(self, share: float = 1.0) -> None:
        self._per_second = max(1, int(PER_SECOND * share))
        self._slots_per_second = max(1, self._per_second // _TURNS_PER_SLOT)
        self._slots: Counter[int] = Counter()
        self._of_server: Counter[tuple[int, int]] = Counter()
        self._of_channel: dict[int, deque[float]] = {}
        self._limits: dict[int, int] = {}
        self._blocked: dict[int, float] = {}
        self._all_blocked = -math.inf
        self._tokens_blocked = -math.inf
        self.gate = Gate()
        self._sent: deque[float] = deque(maxlen=self._per_second)

    def wait(self, server: int, channel: int, now: float) -> float:
        """Seconds until the next turn of a channel; takes nothing."""
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
        """For a call that is about to go out: seconds that it must wait yet; 0 if it goes.

        Turns are dealt out beforehand: a process that was held up would send those of a second at once.
        """
        if len(self._sent) == self._per_second and now - self._sent[0] < 1:
            return self._sent[0] + 1 - now
        self._sent.append(now)
        return 0.0

    def learn(self, channel: int, limit: int, remaining: int, reset_after: float, now: float) -> None:
        """Take over what Discord's headers say of a channel: its limit, and whether it is used up."""
        self._limits[channel] = min(max(1, limit), _MOST_PER_CHANNEL)
        if remaining == 0:
            self.block(channel, now + reset_after)

    def block(self, channel: int | None, until: float) -> None:
        """Let nobody have a turn in a channel, or with None in any, before `until`: Discord said so."""
        if channel is None:
            self._all_blocked = max(self._all_blocked, until)
        else:
            self._blocked[channel] = max(self._blocked.get(channel, until), until)

    def block_tokens(self, until: float) -> None:
        """Let nobody call with an interaction's token before `until`: Discord said so to one of these."""
        self._tokens_blocked = max(self._tokens_blocked, until)

    def blocked_for(self, now: float, *, by_token: bool) -> float:
        """Seconds for which a call may not go out: with an interaction's token, or with the bot's own."""
        blocked = self._tokens_blocked if by_token else self._all_blocked
        return max(0.0, blocked - now) or self.gate.wait(now)

    def _turn(self, server: int, channel: int, now: float) -> float:
        taken = self._of_channel.get(channel, deque[float]())
        limit = self._limits.get(channel, PER_CHANNEL)
        turn = max(now, self._all_blocked, self._blocked.get(channel, now))
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
    """Shut while whoever stands before Discord refuses everybody: then one call tries, more and more rarely.

    Discord closes an address to which it has refused 10,000 calls in ten minutes (its page on rate limits).
    """

    def __init__(self) -> None:
        self._refusals = 0
        self._shut_until = -math.inf
        self._tried_at = -math.inf

    def wait(self, now: float) -> float:
        """Seconds for which a call may not go out; 0: it may, and is the one that tries a shut gate."""
        if not self._refusals:
            return 0.0
        wait = max(self._shut_until, self._tried_at + TRIAL_TIMEOUT) - now
        if wait <= 0:
            self._tried_at = now
        return max(0.0, wait)

    def is_shut(self) -> bool:
        """Whether somebody has been refused, and nobody answered since."""
        return self._refusals > 0

    def shut(self, now: float) -> float:
        """A call was refused; return the seconds until one tries again. Calls of one burst count once."""
        if now >= self._shut_until:
            self._refusals += 1
            pause = min(FIRST_SHUT * 2 ** (self._refusals - 1), LONGEST_SHUT)
            self._shut_until, self._tried_at = now + pause, -math.inf
        return self._shut_until - now

    def open(self) -> None:
        """The call that tried was answered."""
        self._refusals = 0
