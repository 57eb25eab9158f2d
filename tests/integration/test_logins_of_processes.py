"""When the shards of several processes may log in: by real stores on one real PostgreSQL."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, TypeVar, cast

import pytest

from bot.discord_api.http_trace import clock
from bot.discord_api.logins import Limits
from bot.store.base import Store
from bot.store.postgres import PostgresStore
from tests import postgres
from tests.integration.test_logins import Life, Token, forever, never

pytestmark = pytest.mark.usefixtures("virtual")
T = TypeVar("T")


class Elsewhere:
    """A loop in a separate thread and so in real time, like the database; this test's time is virtual."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        done = asyncio.run_coroutine_threadsafe(work, self._loop)
        return await asyncio.get_running_loop().run_in_executor(None, done.result)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


class StoreElsewhere:
    """The part of a real store there that `Logins` needs."""

    def __init__(self, store: Store, elsewhere: Elsewhere) -> None:
        self._store, self._elsewhere = store, elsewhere

    async def value(self, name: str) -> Any:
        return await self._elsewhere.do(self._store.value(name))

    async def set_value(self, name: str, value: Any) -> None:
        await self._elsewhere.do(self._store.set_value(name, value))

    async def change_value(self, name: str, change: Callable[[Any], Any]) -> Any:
        return await self._elsewhere.do(self._store.change_value(name, change))


Replicas = list[Store]


@pytest.fixture
async def replicas(postgres_server: str, request: pytest.FixtureRequest) -> AsyncIterator[Replicas]:
    """Stores of several processes on one database."""
    elsewhere, stack = Elsewhere(), AsyncExitStack()

    async def connect() -> Replicas:
        url = await stack.enter_async_context(postgres.database(postgres_server))
        stores = []
        for _ in range(request.param):
            stores.append(store := await PostgresStore.connect(url))
            stack.push_async_callback(store.release)
        return [cast("Store", StoreElsewhere(store, elsewhere)) for store in stores]

    with elsewhere.running():
        yield await elsewhere.do(connect())
        await elsewhere.do(stack.aclose())


LIVES: dict[str, Life] = {"refused": never, "lost after a second": lambda _: 1.0}


@pytest.mark.parametrize("replicas", [2, 16], indirect=True)
@pytest.mark.parametrize("name", LIVES)
async def test_all_processes_of_a_token_count_together(replicas: Replicas, name: str) -> None:
    token, began = Token(LIVES[name]), clock()
    async with AsyncExitStack() as stack:
        for number, store in enumerate(replicas):
            await stack.enter_async_context(token.process(store, number))
        await asyncio.sleep(1200)
    assert 4 <= token.within(90, began) <= 8
    assert token.within(1200, began) <= 12


@pytest.mark.parametrize("replicas", [12], indirect=True)
async def test_logins_that_are_not_answered_count_for_all_processes(replicas: Replicas) -> None:
    token, began = Token(never, refused_after=60.0), clock()
    async with AsyncExitStack() as stack:
        for number, store in enumerate(replicas):
            await stack.enter_async_context(token.process(store, number))
        await asyncio.sleep(90)
    assert 2 <= token.within(90, began) <= 8


@pytest.mark.parametrize("replicas", [16], indirect=True)
@pytest.mark.parametrize(("concurrency", "seconds"), [(1, 76), (16, 4)])
async def test_processes_that_start_together_log_in_at_discords_pace(
    replicas: Replicas, concurrency: int, seconds: float
) -> None:
    token, began = Token(forever, Limits(1000, 0.0, concurrency)), clock()
    async with AsyncExitStack() as stack:
        for number, store in enumerate(replicas):
            await stack.enter_async_context(token.process(store, number))
        await asyncio.sleep(seconds)
    times = sorted(at - began for at, _ in token.times)
    assert len(times) == 16
    if concurrency == 1:
        assert all(later - earlier >= 5 - 1e-3 for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize("replicas", [2], indirect=True)
async def test_a_sick_process_holds_up_no_other(replicas: Replicas) -> None:
    token = Token(lambda shard: forever(shard) if shard else 0.0)
    async with token.process(replicas[0], 0):
        await asyncio.sleep(3600)
        began = clock()
        async with token.process(replicas[1], 1):
            await asyncio.sleep(10)
    assert [shard for at, shard in token.times if shard and at - began < 6] == [1]
