"""Pure: limits how often a member may have the model API called with a server's key."""

from collections.abc import Callable

from bot.domain.errors import TooManyCalls

CALLS_PER_MEMBER = 10
CALLS_PERIOD = 60.0


class MemberCalls:
    """The calls that members asked for in the last minute, for each server; `now`: seconds since 1970."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._calls: dict[tuple[int, int], list[float]] = {}
        """Calls by server and member; those whose last call is the oldest come first."""

    def count(self, server: int, member: int) -> float:
        """Count a call that is about to be made; return its time. Raises TooManyCalls."""
        now, who = self._now(), (server, member)
        self._forget_old(now)
        calls = [at for at in self._calls.get(who, ()) if _is_recent(at, now)]
        if len(calls) >= CALLS_PER_MEMBER:
            raise TooManyCalls(CALLS_PER_MEMBER, calls[0] + CALLS_PERIOD)
        self._calls.pop(who, None)
        self._calls[who] = [*calls, now]
        return now

    def uncount(self, server: int, member: int, at: float) -> None:
        """Take back a call that was counted but is not made."""
        if at in (calls := self._calls.get((server, member), [])):
            calls.remove(at)
        if not calls:
            self._calls.pop((server, member), None)

    def _forget_old(self, now: float) -> None:
        while self._calls and not _is_recent((first := next(iter(self._calls.items())))[1][-1], now):
            del self._calls[first[0]]


def _is_recent(at: float, now: float) -> bool:
    return 0 <= now - at < CALLS_PERIOD  # below 0: the clock was set back
