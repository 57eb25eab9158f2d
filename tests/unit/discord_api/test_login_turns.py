"""Which logins count, and for how long: a token's days in a moment. Shards here only log in and are lost."""

import heapq
import itertools
from collections.abc import Callable

import pytest

from bot.discord_api.login_turns import Login, Token, delay_after

DAY = 86400.0
BEGAN = 1_800_000_000.0
READY_AFTER = 0.5
Life = Callable[[int], float]
"""Seconds for which a shard's next login lives once it is READY; 0: it is never READY."""


class Bot:
    """A token's shards, launched one after the other, in one process that may be killed."""

    def __init__(self, shards: int, life: Life, concurrency: int = 1, refused_after: float = 0.1) -> None:
        self.life = life
        self.logins: list[tuple[float, int]] = []
        self.now = 0.0
        self._token = Token()
        self._shards, self._concurrency, self._refused_after = shards, concurrency, refused_after
        self._last: dict[int, Login] = {}
        self._well: set[int] = set()
        self._number = itertools.count()
        self._due: list[tuple[float, int, Callable[[int], None], int]] = []

    def within(self, seconds: float) -> int:
        return sum(at < seconds for at, _ in self.logins)

    def start(self) -> None:
        """Start, or start again: what was connected has been killed."""
        self._due.clear()
        self._well.clear()
        self._launched = 0
        self._began = BEGAN + self.now
        self._after(0.0, self._settle, 0)

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self._due and self._due[0][0] < until:
            self.now, _, event, shard = heapq.heappop(self._due)
            event(shard)
        self.now = until

    def _after(self, seconds: float, event: Callable[[int], None], shard: int) -> None:
        heapq.heappush(self._due, (self.now + seconds, next(self._number), event, shard))

    def _settle(self, shard: int) -> None:
        now = BEGAN + self.now
        if (last := self._last.pop(shard, None)) is not None:
            if last.is_young(now, self._began):
                self._token = self._token.failed(shard, last, now, was_ready=shard in self._well)
            else:
                self._token = self._token.stayed(shard)
        self._well.discard(shard)
        self._log_in(shard)

    def _log_in(self, shard: int) -> None:
        now, bucket = BEGAN + self.now, shard % self._concurrency
        if (pause := self._token.wait(bucket, shard, now)) > 0:
            self._after(pause, self._log_in, shard)
            return
        self._token = Token.unpacked(self._token.claimed(bucket, shard, now).packed())
        self.logins.append((self.now, shard))
        self._last[shard] = Login(now)
        life = self.life(shard)
        if life:
            self._after(READY_AFTER, self._ready, shard)
        self._after(READY_AFTER + life if life else self._refused_after, self._settle, shard)
        if shard == self._launched and shard + 1 < self._shards:
            self._launched += 1
            self._after(0.0, self._settle, self._launched)

    def _ready(self, shard: int) -> None:
        self._well.add(shard)
        before, now = self._token.lost, BEGAN + self.now
        self._token = self._token.ready(shard, now)
        self._last[shard] = self._last[shard]._replace(credit=before - self._token.lost)


FOREVER = 10 * DAY


@pytest.mark.parametrize("concurrency", [1, 16])
@pytest.mark.parametrize("shards", [1, 4, 9, 16, 64])
@pytest.mark.parametrize("life", [0, 1, 30, 120, 540, 594, 599])
def test_logins_that_do_not_stay_up_are_few(life: float, shards: int, concurrency: int) -> None:
    bot = Bot(shards, lambda _: life, concurrency)
    bot.start()
    bot.run(DAY)
    assert bot.within(DAY) <= (200 if shards <= 16 else 144 + shards)
    if life <= 30 and concurrency == 1:
        assert bot.within(90) <= 8


@pytest.mark.parametrize("shards", [1, 2, 16, 64])
@pytest.mark.parametrize("uptime", [20, 120, 400, 590, 599])
def test_so_are_those_of_a_process_that_is_killed_again_and_again(uptime: float, shards: int) -> None:
    bot = Bot(shards, lambda _: FOREVER)
    while bot.now < DAY:
        bot.start()
        bot.run(uptime)
    assert bot.within(DAY) <= (200 if shards <= 16 else 152 + 2 * shards)


@pytest.mark.parametrize("sick", [0, 1, 2, 4])
def test_shards_that_are_refused_hold_up_the_launch_of_no_other(sick: int) -> None:
    bot = Bot(16, lambda shard: 0 if shard % 4 == 0 and shard < 4 * sick else FOREVER)
    bot.start()
    bot.run(DAY)
    first = {shard: at for at, shard in reversed(bot.logins)}
    assert max(first.values()) <= 75 + 10 * sick


def test_after_an_outage_all_shards_follow_the_first() -> None:
    bot = Bot(16, lambda _: FOREVER if bot.now >= DAY else 0)
    bot.start()
    bot.run(DAY)
    bot.run(DAY)
    last = [at for at, _ in bot.logins if at >= DAY]
    assert len(last) == 16
    assert last[0] <= DAY + 600
    assert last[-1] <= last[0] + 420


def test_where_all_were_lost_once_the_others_follow_the_first() -> None:
    bot = Bot(16, lambda _: 300 - bot.now if bot.now < 300 else FOREVER)
    bot.start()
    bot.run(DAY)
    assert len(bot.logins) == 32
    assert bot.logins[-1][0] <= 300 + 20 * 60


def test_pauses_grow_to_ten_minutes() -> None:
    assert [delay_after(count) for count in range(1, 10)] == [5, 10, 20, 40, 80, 160, 320, 600, 600]
