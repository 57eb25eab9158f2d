"""Pure: whose turn it is among the calls made with the bot's own token."""

from collections import Counter, deque

PER_SECOND = 45
"""Discord allows 50 a second in all; the rest is left to commands and joins."""
PER_SERVER_AND_SECOND = 10
"""So that one server's crowd leaves room for the others."""
PER_CHANNEL = 5
CHANNEL_SECONDS = 5.0


class Pace:
    """Hands out turns; `now` is a monotonic clock in seconds. One lives as long as the bot."""

    def __init__(self) -> None:
        self._seconds: Counter[int] = Counter()
        self._of_server: Counter[tuple[int, int]] = Counter()
        self._of_channel: dict[int, deque[float]] = {}

    def wait(self, server: int, channel: int, now: float) -> float:
        """Seconds until the next turn of a channel; takes nothing."""
        return self._turn(server, channel, now) - now

    def take(self, server: int, channel: int, now: float) -> float:
        """Take the next turn of a channel; answers the seconds to sleep first."""
        turn = self._turn(server, channel, now)
        second = int(turn)
        self._seconds[second] += 1
        self._of_server[second, server] += 1
        self._of_channel.setdefault(channel, deque(maxlen=PER_CHANNEL)).append(turn)
        self._forget(now)
        return turn - now

    def _turn(self, server: int, channel: int, now: float) -> float:
        taken = self._of_channel.get(channel, deque[float]())
        turn = max(now, taken[0] + CHANNEL_SECONDS if len(taken) == PER_CHANNEL else now)
        while self._full(int(turn), server):
            turn = float(int(turn) + 1)
        return turn

    def _full(self, second: int, server: int) -> bool:
        return self._seconds[second] >= PER_SECOND or self._of_server[second, server] >= PER_SERVER_AND_SECOND

    def _forget(self, now: float) -> None:
        """Drop what has passed, now and then, so that memory stays flat."""
        if len(self._of_server) < 1000 and len(self._of_channel) < 1000:
            return
        past = int(now)
        self._seconds = Counter({s: n for s, n in self._seconds.items() if s >= past})
        self._of_server = Counter({k: n for k, n in self._of_server.items() if k[0] >= past})
        self._of_channel = {c: t for c, t in self._of_channel.items() if t[-1] + CHANNEL_SECONDS > now}
