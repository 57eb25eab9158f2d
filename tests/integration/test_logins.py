"""When shards may log in: of one process and of several, by real stores; a shard here is a loop of logins."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bot.discord_api.http_trace import clock
from bot.discord_api.logins import Limits, Logins
from bot.domain.errors import StoreTrouble
from bot.store.base import Store
from bot.store.embedded import EmbeddedStore
from tests.wire import EPOCH

pytestmark = pytest.mark.usefixtures("virtual")
DAY = 86400.0
PLENTY = Limits(1000, 0.0, 1)
READY_AFTER = 0.5
Life = Callable[[int], float]
"""Seconds for which a shard's next login lives; 0: it is not even READY."""


@dataclass
class Token:
    """A bot's token at Discord: its login limits, and the logins made."""

    life: Life
    limits: Limits = PLENTY
    times: list[tuple[float, int]] = field(default_factory=list)
    well: set[int] = field(default_factory=set)
    clock_ahead: float = 0.0
    refused_after: float = 0.0

    def within(self, seconds: float, since: float) -> int:
        return sum(since <= at < since + seconds for at, _ in self.times)

    async def serve(self, logins: Logins, shard: int, launched: asyncio.Event | None = None) -> None:
        """A shard as `PatientBot` drives it, until it is cancelled."""
        try:
            while True:
                await logins.wait(shard)
                self.times.append((clock(), shard))
                await logins.begun(shard)
                if launched is not None:
                    launched.set()
                life = self.life(shard)
                await asyncio.sleep(min(life, READY_AFTER) or self.refused_after)
                if life:
                    await logins.ready(shard)
                    self.well.add(shard)
                    await asyncio.sleep(life)
                    self.well.discard(shard)
                await asyncio.sleep(0.1)
        finally:
            self.well.discard(shard)

    @asynccontextmanager
    async def process(self, store: Store, *shards: int) -> AsyncIterator[Logins]:
        """One that launches its shards one after the other, as discord.py does."""

        async def limits() -> Limits:
            return self.limits

        logins = Logins(store, lambda: EPOCH + clock() + self.clock_ahead, limits)
        tasks = []

        async def launch() -> None:
            for shard in shards:
                launched = asyncio.Event()
                tasks.append(asyncio.create_task(self.serve(logins, shard, launched)))
                await launched.wait()

        tasks.append(asyncio.create_task(launch()))
        try:
            yield logins
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = EmbeddedStore(tmp_path)
    yield store
    store.close()


def never(_: int) -> float:
    return 0.0


def forever(_: int) -> float:
    return 10 * DAY


LIVES: dict[str, Life] = {
    "refused": never,
    "lost after a second": lambda _: 1.0,
    "lost after half a minute": lambda _: 30.0,
}


@pytest.mark.parametrize("shards", [1, 16])
@pytest.mark.parametrize("name", LIVES)
async def test_logins_that_do_not_stay_up_are_few(store: Store, name: str, shards: int) -> None:
    token, began = Token(LIVES[name]), clock()
    async with token.process(store, *range(shards)):
        await asyncio.sleep(DAY / 4)
    assert token.within(DAY / 4, began) <= 50
    assert token.within(90, began) <= 8


async def test_a_process_that_crashes_again_and_again_waits_longer_and_longer(tmp_path: Path) -> None:
    token, began = Token(forever), clock()
    while clock() - began < 4 * 3600:
        store = EmbeddedStore(tmp_path)
        async with token.process(store, 0):
            logins = len(token.times)
            while len(token.times) == logins:
                await asyncio.sleep(5)
        store.close()
    assert token.within(90, began) <= 8
    assert token.within(4 * 3600, began) <= 200 / 6


async def test_a_process_that_is_killed_every_ten_minutes_uses_up_no_day(tmp_path: Path) -> None:
    """A login ends with its process, not when the next one launches that shard; and each READY forgives."""
    token, began = Token(forever), clock()
    while clock() - began < DAY / 4:
        store = EmbeddedStore(tmp_path)
        async with token.process(store, *range(16)):
            await asyncio.sleep(598)
        store.close()
    assert token.within(DAY / 4, began) <= 50 + 56


async def test_restarts_while_logins_are_refused_change_nothing(tmp_path: Path) -> None:
    """Restarts by the supervisor and by the operator, every 7 s."""
    token, began = Token(never), clock()
    while clock() - began < 1200:
        store = EmbeddedStore(tmp_path)
        async with token.process(store, 0, 1) as logins:
            await asyncio.sleep(7)
            await logins.leave([0, 1])  # they had connections
        store.close()
    assert token.within(90, began) <= 8
    assert token.within(3600, began) <= 16


async def test_a_start_after_a_kill_does_not_wait(tmp_path: Path) -> None:
    token = Token(forever)
    for _ in range(2):
        store = EmbeddedStore(tmp_path)
        async with token.process(store, 0, 1):
            began = clock()
            await asyncio.sleep(30)
        store.close()
    assert [round(at - began) for at, _ in token.times[2:]] == [0, 5]


async def test_a_clean_restart_does_not_wait(store: Store) -> None:
    token = Token(forever)
    async with token.process(store, 0, 1) as logins:
        await asyncio.sleep(30)
        await logins.leave([0, 1])
    token.times.clear()
    began = clock()
    async with token.process(store, 0, 1):
        await asyncio.sleep(6)
    assert [round(at - began) for at, _ in token.times] == [0, 5]


@pytest.mark.parametrize(("concurrency", "seconds"), [(1, 76), (4, 16), (16, 0.1)])
async def test_healthy_shards_log_in_at_discords_pace(store: Store, concurrency: int, seconds: float) -> None:
    token, began = Token(forever, Limits(1000, 0.0, concurrency)), clock()
    async with token.process(store, 0) as logins:
        await asyncio.sleep(6)
        async with AsyncExitStack() as stack:
            others = [asyncio.create_task(token.serve(logins, shard)) for shard in range(1, 16)]
            stack.callback(lambda: [task.cancel() for task in others])
            await asyncio.sleep(seconds)
            assert len(token.well | {shard for _, shard in token.times}) == 16
    for at, shard in token.times:
        bucket = [t for t, other in token.times if other % concurrency == shard % concurrency and t != at]
        assert all(abs(at - other) >= 5 for other in bucket)
    assert clock() - began < 90


async def test_one_sick_shard_holds_up_no_other(store: Store) -> None:
    token = Token(lambda shard: 0.0 if shard == 3 else 10 * DAY)
    async with token.process(store, *range(16)) as logins:
        await asyncio.sleep(180)
        assert token.well == set(range(16)) - {3}
        await asyncio.sleep(3600)
        token.times.clear()
        began = clock()
        other = asyncio.create_task(token.serve(logins, 7))  # loses its session, and wants another
        await asyncio.sleep(5)
        other.cancel()
    assert [shard for at, shard in token.times if at - began < 5 and shard != 3] == [7]


async def test_after_an_outage_all_shards_follow_the_first(store: Store) -> None:
    is_well = False
    token = Token(lambda _: 10 * DAY if is_well else 0.0)
    async with token.process(store, *range(16)):
        await asyncio.sleep(4 * 3600)
        is_well = True
        await asyncio.sleep(600 + 10)
        assert token.well, "the first try after it"
        await asyncio.sleep(420)
        assert token.well == set(range(16))


async def test_failures_are_forgiven_with_time(store: Store) -> None:
    lives = [0.0, 0.0, 0.0, 3 * 3600.0]
    token = Token(lambda _: lives.pop(0) if lives else 0.0)
    async with token.process(store, 0):
        await asyncio.sleep(3 * 3600 + 120)
    pauses = [b - a for (a, _), (b, _) in zip(token.times[3:], token.times[4:], strict=False)]
    assert pauses[1:4] == pytest.approx([5, 10, 20], abs=0.5), "as at the beginning"


async def test_where_none_is_left_the_reset_is_waited_for(store: Store) -> None:
    token, began = Token(forever, Limits(0, 3600.0, 1)), clock()
    async with token.process(store, 0, 1) as logins:
        await asyncio.sleep(3500)
        assert token.times == []
        assert logins.none_left().startswith("no logins are left until 20")
        token.limits = PLENTY
        await asyncio.sleep(200)
        assert logins.none_left() == ""
    assert [at - began for at, _ in token.times] == pytest.approx([3600, 3605], abs=0.1)


async def test_a_bucket_waits_for_an_answer_to_its_last_login(store: Store) -> None:
    """HELLO, and no READY: each hangs for a minute, and the next shards do not pile up behind it."""
    token, began = Token(forever), clock()

    async def hang(logins: Logins, shard: int) -> None:
        while True:
            await logins.wait(shard)
            token.times.append((clock(), shard))
            await logins.begun(shard)
            await asyncio.sleep(60)

    async with token.process(store) as logins, asyncio.TaskGroup() as shards:
        tasks = [shards.create_task(hang(logins, shard)) for shard in range(16)]
        await asyncio.sleep(3600)
        for task in tasks:
            task.cancel()
    assert token.within(90, began) <= 8
    assert token.within(3600, began) <= 16


@pytest.mark.parametrize("ahead", [-86400.0 * 365, 86400.0 * 365])
async def test_a_clock_that_is_set_keeps_nobody_out(store: Store, ahead: float) -> None:
    well = False
    token = Token(lambda _: 10 * DAY if well else 0.0)
    async with token.process(store, 0):
        await asyncio.sleep(1800)
        token.clock_ahead = ahead
        await asyncio.sleep(1800)
        assert len(token.times) < 25
        well = True
        await asyncio.sleep(700)
        assert token.well == {0}


class AwayStore(EmbeddedStore):
    """The real one, whose disk answers nothing."""

    async def value(self, name: str) -> None:
        raise StoreTrouble("away")

    async def set_value(self, name: str, value: object) -> None:
        raise StoreTrouble("away")


async def test_without_a_store_a_process_counts_for_itself(tmp_path: Path) -> None:
    store, token, began = AwayStore(tmp_path), Token(never), clock()
    async with token.process(store, 0, 1):
        await asyncio.sleep(3600)
    store.close()
    assert token.within(90, began) <= 8
    assert token.within(3600, began) <= 16


async def test_limits_that_discord_does_not_tell_hold_up_nobody(store: Store) -> None:
    async def hang() -> Limits:
        await asyncio.sleep(1e6)
        raise AssertionError

    logins, began = Logins(store, clock, hang), clock()
    await logins.wait(0)
    assert clock() - began == pytest.approx(10, abs=0.1)
