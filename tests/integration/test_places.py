"""Places for calls to the model API: how many there are, and whose turn it is."""

import asyncio
import resource
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.model_api.places import (
    MAX_CONCURRENT_CALLS,
    PLACE_TIMEOUT,
    WANTED_FILES,
    CallPlaces,
    concurrent_calls,
    raise_file_limit,
)

pytestmark = pytest.mark.usefixtures("virtual")


class Crowd:
    """Calls of servers that last as long as they say; notes when each got a place."""

    def __init__(self, places: CallPlaces) -> None:
        self.places = places
        self.out: Counter[int] = Counter()
        self.most_out: Counter[int] = Counter()
        self.most = 0
        self.began: list[tuple[float, int]] = []
        self.gave_up: list[int] = []

    async def call(self, server: int, seconds: float) -> None:
        try:
            async with self.places.turn(server):
                self.out[server] += 1
                self.most = max(self.most, self.out.total())
                self.most_out[server] = max(self.most_out[server], self.out[server])
                self.began.append((asyncio.get_running_loop().time(), server))
                await asyncio.sleep(seconds)
                self.out[server] -= 1
        except TimeoutError:
            self.gave_up.append(server)


async def test_a_server_s_calls_that_hang_leave_room_for_the_others() -> None:
    crowd = Crowd(CallPlaces(8))
    began = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(crowd.call(1, 20))
        await asyncio.sleep(1)
        tasks.create_task(crowd.call(2, 1))
    assert crowd.most_out[1] == 2, "a quarter"
    [at] = [at for at, server in crowd.began if server == 2]
    assert at - began < 1.5


async def test_where_all_hang_a_newcomer_has_the_next_place() -> None:
    crowd = Crowd(CallPlaces(4))
    began = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as tasks:
        for server in (1, 2, 3, 4) * 5:
            tasks.create_task(crowd.call(server, 25))
        await asyncio.sleep(5)
        tasks.create_task(crowd.call(5, 1))
    assert crowd.most == 4
    [at] = [at for at, server in crowd.began if server == 5]
    assert at - began == pytest.approx(25, abs=0.5)
    assert len(crowd.gave_up) == 8, "four at once, four after 25 s, four after 50 s"


async def test_who_waits_keeps_their_place_and_gives_up_after_a_minute() -> None:
    places, order = CallPlaces(1), []

    async def call(number: int) -> None:
        async with places.turn(1):
            order.append(number)
            await asyncio.sleep(1)

    tasks = [asyncio.create_task(call(number)) for number in range(5)]
    await asyncio.sleep(0.5)
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [0, 1, 3, 4]
    with places.line(1):
        began = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await call(9)
        assert asyncio.get_running_loop().time() - began == pytest.approx(PLACE_TIMEOUT, abs=0.5)


@given(
    calls=st.lists(st.tuples(st.integers(1, 4), st.floats(0, 90), st.floats(0, 90)), max_size=40),
    most=st.integers(1, 9),
)
def test_no_place_is_lost_or_given_twice(calls: list[tuple[int, float, float]], most: int) -> None:
    """However calls come, hang, and give up: afterwards all places are free."""

    def stand(places: CallPlaces) -> Iterator[int]:
        lines = []
        for server, _, _ in calls:
            context = places.line(server)
            lines.append((server, context, context.__enter__()))
            yield sum(turn.done() for _, _, turn in lines)
        for number, (_, context, _) in enumerate(lines):
            context.__exit__(None, None, None)
            yield sum(turn.done() for _, _, turn in lines[number + 1 :])

    async def run() -> None:
        places = CallPlaces(most)
        assert all(out <= most for out in stand(places))
        assert (places._free, places._lines) == (most, {})

    asyncio.run(run())


@pytest.mark.parametrize(
    ("files", "calls"), [(1024, 256), (8192, MAX_CONCURRENT_CALLS), (256, 64), (64, 16), (8, 4), (1, 4)]
)
def test_calls_take_a_quarter_of_the_files(files: int, calls: int) -> None:
    assert concurrent_calls(files) == calls


def test_the_soft_limit_is_raised_as_far_as_the_hard_one_allows() -> None:
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        raised = raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (raised, hard)
        assert raised == (WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
