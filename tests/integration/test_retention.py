"""Deletion by age, on a real store, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.domain.reload import Asker, Outcome, Reload, State
from bot.domain.rows import KeyRow
from bot.jobs.retention import Retention
from bot.store.embedded import EXPIRE_BATCH, EmbeddedStore
from tests.wire import EPOCH

pytestmark = pytest.mark.usefixtures("virtual")
HOUR, DAY = 3600.0, 86400.0


def now() -> float:
    return EPOCH + asyncio.get_running_loop().time()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    store = EmbeddedStore(tmp_path)
    await store.set_key(100, KeyRow("sealed", 7, "mod", 1.0))
    yield store
    store.close()


@pytest.fixture
async def _retention(store: EmbeddedStore) -> AsyncIterator[None]:
    task = asyncio.create_task(Retention(store, now, history_days=90).run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def ended(store: EmbeddedStore, id_: int, model: str = "sdxl-turbo") -> Reload:
    asked = Reload(id_, 100, model, (Asker(7, 11, f"secret-token-{id_}"),), now() - 200, seconds=120.0)
    await store.ask(asked, 5.0)
    await store.step(id_, {State.ASKED}, State.CALLING, message=4242, called_at=now())
    await store.step(id_, {State.CALLING}, State.ANNOUNCING, outcome=Outcome.WRONG_KEY, ended_at=now())
    row = await store.step(id_, {State.ANNOUNCING}, State.ENDED)
    assert row is not None
    return row


@pytest.mark.usefixtures("_retention")
async def test_a_reload_fades_after_a_day_and_goes_after_its_time(
    store: EmbeddedStore, tmp_path: Path
) -> None:
    first = await ended(store, 1)
    await asyncio.sleep(23 * HOUR)
    assert await store.history(100) == [first]
    await asyncio.sleep(3 * HOUR)
    (kept,) = await store.history(100)
    assert (kept.model, kept.outcome, kept.owner.user) == (first.model, first.outcome, 7)
    assert (kept.owner.token, kept.owner.channel, kept.message, kept.pings) == ("", 0, None, ())
    assert first.pings
    assert b"secret-token-1" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    await asyncio.sleep(88.5 * DAY)
    assert await store.history(100) == [kept]
    await asyncio.sleep(1 * DAY)
    assert await store.history(100) == []
    assert b"sdxl-turbo" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.usefixtures("_retention")
async def test_what_has_not_ended_stays(store: EmbeddedStore) -> None:
    asked = Reload(1, 100, "sdxl-turbo", (Asker(7, 11, "token"),), now(), seconds=120.0)
    await store.ask(asked, 5.0)
    await asyncio.sleep(100 * DAY)
    assert await store.open() == [asked]


@pytest.mark.usefixtures("_retention")
async def test_what_could_not_be_told_for_a_day_is_over(store: EmbeddedStore) -> None:
    asked = Reload(1, 100, "sdxl-turbo", (Asker(7, 11, "token"),), now(), seconds=120.0)
    await store.ask(asked, 5.0)
    await store.step(1, {State.ASKED}, State.ANNOUNCING, outcome=Outcome.NOT_SENT, ended_at=now())
    await asyncio.sleep(20 * HOUR)
    assert len(await store.open()) == 1
    await asyncio.sleep(6 * HOUR)
    assert await store.open() == []
    (kept,) = await store.history(100)
    assert (kept.state, kept.owner.token, kept.owner.channel) == (State.ENDED, "", 0)


@pytest.mark.usefixtures("_retention")
async def test_a_great_many_go_in_parts(store: EmbeddedStore) -> None:
    count = EXPIRE_BATCH + 10
    asked = [
        Reload(
            n,
            100,
            "m",
            (Asker(n, 11, f"t{n}"),),
            now(),
            1.0,
            State.ENDED,
            outcome=Outcome.ACCEPTED,
            ended_at=now(),
        )
        for n in range(count)
    ]
    await asyncio.gather(*(store.ask(reload, 60.0) for reload in asked))
    assert len(await store.history(100)) == count
    parts: list[int] = []
    while not parts or parts[-1]:
        parts.append(await store.expire(now() + 1, now()))
    assert sum(parts) == count
    assert max(parts) <= EXPIRE_BATCH


async def test_trouble_with_the_disk_is_tried_again_an_hour_later(store: EmbeddedStore) -> None:
    await ended(store, 1)
    blocked = store._db
    task = asyncio.create_task(Retention(store, now, history_days=1).run())
    await asyncio.sleep(30)
    store._db = None
    await asyncio.sleep(2 * DAY)
    store._db = blocked
    assert len(await store.history(100)) == 1
    await asyncio.sleep(2 * HOUR)
    assert await store.history(100) == []
    assert not task.done()
    task.cancel()
