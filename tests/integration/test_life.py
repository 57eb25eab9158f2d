"""A reload in memory and in a store that fails or is slow: memory goes on, the disk catches up in order."""

import asyncio
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bot.domain.errors import StoreSlow, StoreTrouble
from bot.domain.reload import Asker, Outcome, Reload, State
from bot.domain.rows import KeyRow
from bot.domain.steps import Facts, IllegalStep
from bot.reloads.life import Life
from bot.store.embedded import EmbeddedStore

ASKED = Reload(
    id=10, server=5, model="sdxl-turbo", askers=(Asker(11, 70, "t-11"),), asked_at=1000.0, seconds=120.0
)
BEN = Asker(12, 70, "t-12")
STEPS: list[tuple[State, Facts]] = [
    (State.ASKED, {"message": 99, "not_before": 1010.0}),
    (State.CALLING, {"message": 99, "called_at": 1010.0}),
    (State.ASKED, {"not_before": 1040.0, "waits": 1}),
    (State.CALLING, {"message": 99, "called_at": 1040.0}),
    (State.COUNTING, {"deadline": 1161.0}),
    (State.ANNOUNCING, {"outcome": Outcome.ACCEPTED, "ended_at": 1161.0}),
    (State.ANNOUNCING, {"pinged": (0,)}),
    (State.ENDED, {}),
]
WORKS, FAILS, SLOW_LANDS, SLOW_FAILS = "works", "fails", "slow, lands", "slow, fails"


class TroubledStore(EmbeddedStore):
    """The real store, with trouble where a test wants it; `written`: the steps that reached the disk."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.plan: list[str] = []
        self.written: list[State] = []

    async def step(
        self, id_: int, from_: Collection[State], to: State, **facts: Unpack[Facts]
    ) -> Reload | None:
        how = self.plan.pop(0) if self.plan else WORKS
        await asyncio.sleep(0)  # a thread takes its time
        if how == FAILS:
            raise StoreTrouble("disk full")
        landing: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if how == SLOW_FAILS:
            landing.set_exception(StoreTrouble("disk full, after all"))
            landing.exception()
            raise StoreSlow(landing)
        row = await super().step(id_, from_, to, **facts)
        if row is not None:
            self.written.append(to)
        if how == SLOW_LANDS:
            landing.set_result(row)
            raise StoreSlow(landing)
        return row


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TroubledStore]:
    store = TroubledStore(tmp_path / "data")
    yield store
    store.close()


@pytest.fixture
async def life(store: TroubledStore) -> Life:
    return await begin(store)


async def begin(store: TroubledStore) -> Life:
    await store.set_key(ASKED.server, KeyRow("sealed", 1, "mod", 1.0))
    asked = await store.ask(ASKED, 5)
    assert asked is not None
    return Life(store, asked)


async def on_disk(store: TroubledStore) -> Reload:
    (row,) = await store.history(ASKED.server)
    return row


async def live(life: Life, steps: list[tuple[State, Facts]] = STEPS) -> list[bool]:
    return [await life.step(to, **facts) for to, facts in steps]


def after(steps: list[tuple[State, Facts]]) -> Reload:
    reload = ASKED
    for to, facts in steps:
        reload = replace(reload, state=to, **facts)
    return reload


async def test_each_step_is_stored_before_the_next(life: Life, store: TroubledStore) -> None:
    for to, facts in STEPS:
        assert await life.step(to, **facts) is True
        assert await on_disk(store) == life.reload
        assert life.reload.state is to


async def test_an_illegal_step_changes_nothing(life: Life, store: TroubledStore) -> None:
    with pytest.raises(IllegalStep):
        await life.step(State.ENDED)
    assert life.reload == await on_disk(store) == ASKED
    assert await life.step(State.CALLING, message=99, called_at=1010.0) is True


async def test_while_the_disk_fails_memory_goes_on(life: Life, store: TroubledStore) -> None:
    store.plan = [FAILS] * 100
    assert await live(life) == [False] * len(STEPS)
    assert life.reload.state is State.ENDED
    assert [ping.users for ping in life.reload.pings] == [(11,)]
    assert await on_disk(store) == ASKED


async def test_a_disk_that_recovers_catches_up_in_order(life: Life, store: TroubledStore) -> None:
    store.plan = [FAILS] * (len(STEPS) - 1)
    assert (await live(life))[-1] is True
    assert store.written == [to for to, _ in STEPS]
    assert await on_disk(store) == life.reload


async def test_a_disk_that_fails_again_while_catching_up_loses_nothing(
    life: Life, store: TroubledStore
) -> None:
    store.plan = [FAILS, FAILS, WORKS, FAILS, WORKS, WORKS, FAILS]
    await live(life)
    assert store.written == [to for to, _ in STEPS]
    assert await on_disk(store) == life.reload


async def test_a_slow_write_that_landed_is_gone_on_from(life: Life, store: TroubledStore) -> None:
    store.plan = [WORKS, SLOW_LANDS]
    stored = await live(life)
    assert stored[1] is False, "nobody could know that it landed"
    assert all(stored[2:])
    assert await on_disk(store) == life.reload


@pytest.mark.parametrize("place", range(len(STEPS) - 1))
async def test_a_slow_write_that_failed_in_the_end_is_made_up_for(
    life: Life, store: TroubledStore, place: int
) -> None:
    """Otherwise the row stays behind forever, and the next start announces an ending that is long over."""
    store.plan = [WORKS] * place + [SLOW_FAILS]
    await live(life)
    assert replace(life.reload, pings=()) == after(STEPS), "memory forgets nothing either"
    assert await on_disk(store) == life.reload


async def test_an_ending_reaches_the_disk_although_the_call_did_not(life: Life, store: TroubledStore) -> None:
    """The runner does this when the step to CALLING can't be stored."""
    store.plan = [SLOW_FAILS]
    await life.step(State.CALLING, message=99, called_at=1010.0)
    await live(
        life, [(State.ANNOUNCING, {"outcome": Outcome.STORAGE, "ended_at": 1015.0}), (State.ENDED, {})]
    )
    assert (await on_disk(store)).state is State.ENDED


async def test_who_joined_on_disk_is_taken_over_with_the_next_step(life: Life, store: TroubledStore) -> None:
    await store.ask(replace(ASKED, id=20, askers=(BEN,)), 5)
    await life.step(State.CALLING, message=99, called_at=1010.0)
    assert [asker.user for asker in life.reload.askers] == [11, 12]


async def test_who_joined_is_pinged_even_if_the_ending_itself_is_not_stored(
    life: Life, store: TroubledStore
) -> None:
    await live(life, STEPS[:5])
    row = await store.ask(replace(ASKED, id=20, askers=(BEN,)), 5)
    assert row is not None
    life.joined(row)
    store.plan = [FAILS]
    await live(life, STEPS[5:6])
    assert [ping.users for ping in life.reload.pings] == [(11, 12)]


async def test_who_joined_just_before_the_ending_is_pinged(life: Life, store: TroubledStore) -> None:
    await live(life, STEPS[:5])
    await store.ask(replace(ASKED, id=20, askers=(BEN,)), 5)
    await live(life, STEPS[5:6])
    assert [ping.users for ping in life.reload.pings] == [(11, 12)]


async def test_who_was_muted_is_not_pinged_with_the_disk_behind_or_not(
    life: Life, store: TroubledStore
) -> None:
    await live(life, STEPS[:4])
    await store.notify(ASKED.id, ASKED.owner, wanted=False)
    await live(life, STEPS[4:5])
    assert life.reload.muted == (ASKED.owner.user,)
    store.plan = [FAILS]
    await live(life, STEPS[5:6])
    assert life.reload.pings == ()


async def test_who_is_muted_while_the_disk_is_behind_is_not_pinged(life: Life, store: TroubledStore) -> None:
    await live(life, STEPS[:4])
    row = await store.notify(ASKED.id, ASKED.owner, wanted=False)
    assert row is not None
    life.joined(row)
    store.plan = [FAILS]
    await live(life, STEPS[5:6])
    assert life.reload.pings == ()


@pytest.mark.parametrize("how", [FAILS, SLOW_LANDS, SLOW_FAILS])
async def test_who_joins_while_the_ending_is_being_written_is_pinged_whatever_becomes_of_that(
    life: Life, store: TroubledStore, how: str
) -> None:
    """They were promised that they will be."""
    await live(life, STEPS[:5])
    row = await store.ask(replace(ASKED, id=20, askers=(BEN,)), 5)
    assert row is not None
    store.plan = [how]
    ending = asyncio.create_task(life.step(STEPS[5][0], **STEPS[5][1]))
    await asyncio.sleep(0)
    assert life.reload.state is State.ANNOUNCING
    life.joined(row)
    await ending
    assert [ping.users for ping in life.reload.pings] == [(11, 12)]


async def test_nobody_joins_an_ending_that_is_told_and_not_yet_written(
    life: Life, store: TroubledStore
) -> None:
    await live(life, STEPS[:5])
    store.plan = [FAILS] * 3
    await live(life, STEPS[5:])
    row = await store.ask(replace(ASKED, id=20, askers=(BEN,)), 5)
    assert row is not None
    catching_up = asyncio.create_task(life.catch_up())
    await asyncio.sleep(0)
    with pytest.raises(StoreTrouble):
        life.joined(row)
    await catching_up


async def test_who_joined_is_known_while_the_disk_is_behind(life: Life, store: TroubledStore) -> None:
    await store.ask(replace(ASKED, id=20, askers=(BEN,)), 5)
    store.plan = [FAILS, WORKS, FAILS]
    await live(life, STEPS[:2])
    assert life.reload.state is State.CALLING
    assert [asker.user for asker in life.reload.askers] == [11, 12]


async def test_a_row_that_is_gone_stays_gone(life: Life, store: TroubledStore) -> None:
    """A server that has thrown the bot out is forgotten while its reloads still run."""
    await store.forget(ASKED.server)
    assert await life.step(State.CALLING, message=99, called_at=1010.0) is False
    assert life.reload.state is State.CALLING
    assert await store.history(ASKED.server) == []


@given(plan=st.lists(st.sampled_from([WORKS, FAILS, SLOW_LANDS]), max_size=2 * len(STEPS)))
@hypothesis_settings(max_examples=40)
async def test_whatever_fails_the_disk_is_right_after_the_first_step_that_is_stored(plan: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = TroubledStore(Path(folder))
        try:
            life = await begin(store)
            store.plan = plan
            for number, (to, facts) in enumerate(STEPS, start=1):
                stored = await life.step(to, **facts)
                assert life.reload.state is to
                assert replace(life.reload, pings=()) == after(STEPS[:number])
                if stored:
                    assert await on_disk(store) == life.reload
            assert len(store.written) <= len(STEPS)
        finally:
            store.close()
