"""The promises of every store, on a real disk and in a real PostgreSQL: atomic verbs, nothing lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.allowance import call_name
from bot.domain.errors import (
    NoKey,
    NoTestNow,
    NoTestsLeft,
    OneChannelForBoth,
    TooManyOpen,
    TooManyWatched,
    TooManyWatchers,
)
from bot.domain.reload import Asker, ImageTest, Outcome, Reload, State
from bot.domain.rows import (
    WATCHED_PER_SERVER,
    WATCHERS_PER_MODEL,
    Event,
    KeyRow,
    PaidCall,
    ServerSettings,
    Watch,
)
from bot.domain.steps import IllegalStep, faded
from bot.store.embedded import EmbeddedStore
from bot.store.postgres import PostgresStore

AnyStore = EmbeddedStore | PostgresStore
OpenStore = Callable[[], Awaitable[AnyStore]]
LIMIT = 5.0


def make(id_: int = 1, user: int = 7, model: str = "sdxl-turbo", server: int = 100) -> Reload:
    return Reload(
        id_, server, model, (Asker(user, 11, f"token-{id_}"),), asked_at=1000.0 + id_, seconds=120.0
    )


@pytest.fixture(params=["embedded", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    """PostgreSQL's URL; None for the embedded store."""
    return request.getfixturevalue("postgres_url") if request.param == "postgres" else None


@pytest.fixture
async def open_store(url: str | None, tmp_path: Path) -> AsyncIterator[OpenStore]:
    """Open a store, and again what the last one left; servers 100 and 101 have a key."""
    stores: list[AnyStore] = []

    async def shut() -> None:
        for store in stores:
            await store.release()
            store.close()
        stores.clear()

    async def again() -> AnyStore:
        await shut()
        stores.append(store := EmbeddedStore(tmp_path) if url is None else await PostgresStore.connect(url))
        if await store.value("is set up") is None:
            await store.set_value("is set up", 1)
            for server in (100, 101):
                await store.set_key(server, KeyRow("sealed", 7, "mod", 1.0))
        await store.news()
        return store

    yield again
    await shut()


@pytest.fixture
async def store(open_store: OpenStore) -> AnyStore:
    return await open_store()


async def test_same_model_in_the_same_server_joins(store: AnyStore) -> None:
    await store.ask(make(1, user=7), LIMIT)
    joined = await store.ask(make(2, user=8), LIMIT)
    assert joined is not None
    assert joined.id == 1
    assert [asker.user for asker in joined.askers] == [7, 8]


@pytest.mark.parametrize("other", [make(2, model="Sdxl-Turbo"), make(2, server=101)])
async def test_other_model_or_server_does_not_join(store: AnyStore, other: Reload) -> None:
    await store.ask(make(1), LIMIT)
    assert await store.ask(other, LIMIT) == other


async def test_asks_in_the_same_instant_make_one_reload(store: AnyStore) -> None:
    stored = await asyncio.gather(*(store.ask(make(n, user=n), LIMIT) for n in range(1, 51)))
    assert {reload.id for reload in stored if reload} == {1}
    [known] = await store.open()
    assert len(known.askers) == 50


@pytest.mark.parametrize("again", [make(1), replace(make(3), askers=(Asker(7, 11, "token-2"),))])
async def test_the_same_interaction_is_neither_join_nor_error(store: AnyStore, again: Reload) -> None:
    await store.ask(make(1), LIMIT)
    await store.ask(make(2, user=8), LIMIT)
    assert await store.ask(again, LIMIT) is None


async def test_announcing_cannot_be_joined(store: AnyStore) -> None:
    await store.ask(make(1), LIMIT)
    await store.step(1, {State.ASKED}, State.ANNOUNCING, outcome=Outcome.NOT_SENT, ended_at=1002.0)
    second = await store.ask(make(2), LIMIT)
    assert second is not None
    assert second.id == 2


async def test_notify_adds_and_mutes(store: AnyStore) -> None:
    await store.ask(make(1, user=7), LIMIT)
    await store.notify(1, Asker(8, 12, "token-8"), wanted=True)
    after = await store.notify(1, Asker(7, 11, "token-7"), wanted=False)
    assert after is not None
    assert ([asker.user for asker in after.askers], after.muted) == ([7, 8], (7,))
    assert await store.find(100, 1) == after


async def test_one_person_tests_ahead_until_the_countdown_ends(store: AnyStore) -> None:
    await store.ask(make(1, user=7), LIMIT)
    tests = [ImageTest(Asker(user, 12, f"t-{user}"), 5.0, True, ahead=True) for user in (8, 9)]
    asked = [store.test_ahead(1, test.by.user, test) for test in tests]
    first, second = await asyncio.gather(*asked, return_exceptions=True)
    winner, loser = (first, second) if isinstance(first, Reload) else (second, first)
    assert isinstance(loser, NoTestNow)
    assert isinstance(winner, Reload)
    by = winner.tested_ahead_by
    assert by is not None
    with pytest.raises(NoTestNow):
        await store.test_ahead(1, 7, None)
    assert await store.find(100, 1) == winner
    taken_back = await store.test_ahead(1, by.user, None)
    assert taken_back == replace(winner, test=None)
    assert await store.test_ahead(1, 8, tests[0]) is not None
    with pytest.raises(IllegalStep):
        await store.step(1, {State.ASKED}, State.REMOVED)
    await store.step(1, {State.ASKED}, State.ANNOUNCING, outcome=Outcome.NOT_SENT, ended_at=1002.0)
    assert await store.test_ahead(1, 8, None) is None
    row = await store.find(100, 1)
    assert row is not None
    assert row.test is None, "there is nothing to test"
    assert [ping.users for ping in row.pings] == [(8,)], "they are pinged all the same"


@pytest.mark.parametrize("wanted", [True, False])
async def test_nobody_is_added_to_what_has_ended_or_is_not_there(store: AnyStore, wanted: bool) -> None:
    await store.ask(make(1), LIMIT)
    await store.step(1, {State.ASKED}, State.ANNOUNCING, outcome=Outcome.NOT_SENT, ended_at=1002.0)
    assert await store.notify(1, Asker(8, 12, "token-8"), wanted=wanted) is None
    assert await store.notify(2, Asker(8, 12, "token-8"), wanted=wanted) is None
    row = await store.find(100, 1)
    assert row is not None
    assert (len(row.askers), row.muted) == (1, ())


async def test_find_keeps_to_one_server(store: AnyStore) -> None:
    await store.ask(make(1, server=100), LIMIT)
    assert await store.find(100, 1) is not None
    assert await store.find(101, 1) is None
    assert await store.find(100, 2) is None


async def test_two_tests_in_the_same_instant_are_one(store: AnyStore) -> None:
    await ready(store)
    tests = [ImageTest(Asker(n, 11, f"t{n}"), 2000.0, spoiler=True) for n in range(5)]
    steps = [store.step(1, {State.ENDED}, State.ENDED, test=test) for test in tests]
    done = await asyncio.gather(*steps, return_exceptions=True)
    assert sum(isinstance(one, Reload) for one in done) == 1
    assert sum(isinstance(one, IllegalStep) for one in done) == 4


async def ready(store: AnyStore) -> None:
    """Reload 1 has ended as Ready."""
    await store.ask(make(1), LIMIT)
    await store.step(1, {State.ASKED}, State.CALLING, message=5)
    await store.step(1, {State.CALLING}, State.COUNTING, deadline=1130.0)
    await store.step(1, {State.COUNTING}, State.ANNOUNCING, outcome=Outcome.ACCEPTED, ended_at=1130.0)
    await store.step(1, {State.ANNOUNCING}, State.ENDED)


async def test_two_settings_in_the_same_instant_are_both_kept(store: AnyStore) -> None:
    await asyncio.gather(store.change_settings(100, quiet=True), store.change_settings(100, language="fr"))
    assert await store.settings(100) == ServerSettings(quiet=True, language="fr")


async def test_one_channel_for_moderators_and_for_watched_models_is_none_in_the_same_instant(
    store: AnyStore,
) -> None:
    """Members read the one, and a form's own check saw neither."""
    changes = store.change_settings(100, news_channel=5), store.change_settings(100, ledger_channel=5)
    done = await asyncio.gather(*changes, return_exceptions=True)
    assert [isinstance(result, OneChannelForBoth) for result in done].count(True) == 1
    chosen = await store.settings(100)
    assert {chosen.news_channel, chosen.ledger_channel} == {5, None}


async def test_watches_have_a_limit_in_the_same_instant(store: AnyStore) -> None:
    watches = [store.set_watch(Watch(100, f"m{n}", 7, 11), new=True) for n in range(60)]
    done = await asyncio.gather(*watches, return_exceptions=True)
    assert done.count(True) == WATCHED_PER_SERVER
    assert sum(isinstance(one, TooManyWatched) for one in done) == 60 - WATCHED_PER_SERVER
    assert await store.set_watch(Watch(101, "m", 7, 11), new=True)


async def test_a_watch_is_begun_once_and_changed_only_while_it_is_there(store: AnyStore) -> None:
    watch = Watch(100, "m", 7, 11)
    assert not await store.set_watch(watch)
    assert await store.set_watch(watch, new=True)
    assert (await store.watch(100, "m"), await store.watch(100, "n"), await store.watch(101, "m")) == (
        watch,
        None,
        None,
    )
    assert await store.set_watch(replace(watch, used_at=5.0))
    assert await store.remove_watch(100, "m")
    assert not await store.remove_watch(100, "m")
    assert not await store.set_watch(watch)


async def test_people_watch_together_and_nothing_that_is_said_meanwhile_loses_one(store: AnyStore) -> None:
    watch = Watch(100, "m", 0, 11)
    for user in range(21):
        assert await store.set_watch(replace(watch, by=user), new=True)
    watching = [store.set_watch(replace(watch, by=user), new=True) for user in range(21, 27)]
    said = store.set_watch(replace(watch, said_of=5.0))
    done = await asyncio.gather(*watching, said, return_exceptions=True)
    assert sum(isinstance(one, TooManyWatchers) for one in done) == 2, done
    known = await store.watch(100, "m")
    assert known is not None
    assert (len(set(known.users)), known.users[0], known.said_of) == (WATCHERS_PER_MODEL, 0, 5.0)
    assert not await store.set_watch(watch, new=True), "once more is no error"
    assert not await store.remove_watch(100, "m", {77})
    *going, last = known.users
    assert all(await asyncio.gather(*(store.remove_watch(100, "m", {user}) for user in going)))
    assert await store.watch(100, "m") == replace(watch, by=last, said_of=5.0)
    assert await store.remove_watch(100, "m", {last})
    assert await store.watch(100, "m") is None


async def test_limits_hold_in_the_same_instant(store: AnyStore) -> None:
    asks = [store.ask(make(n, user=7, model=f"model-{n}"), LIMIT) for n in range(1, 11)]
    results = await asyncio.gather(*asks, return_exceptions=True)
    assert sum(isinstance(result, Reload) for result in results) == 5
    assert sum(isinstance(result, TooManyOpen) for result in results) == 5


async def test_step_compares_before_it_sets(store: AnyStore) -> None:
    await store.ask(make(1), LIMIT)
    assert await store.step(1, {State.CALLING}, State.COUNTING, deadline=2000.0) is None
    assert await store.step(2, {State.ASKED}, State.CALLING) is None
    steps = [store.step(1, {State.ASKED}, State.CALLING, called_at=float(n)) for n in range(10)]
    won = [reload for reload in await asyncio.gather(*steps) if reload is not None]
    assert len(won) == 1


async def test_joined_reload_cannot_be_removed(store: AnyStore) -> None:
    await store.ask(make(1), LIMIT)
    await store.ask(make(2, user=8), LIMIT)
    with pytest.raises(IllegalStep):
        await store.step(1, {State.ASKED}, State.REMOVED)
    assert len(await store.open()) == 1


async def test_reload_survives_reopening(open_store: OpenStore) -> None:
    store = await open_store()
    await store.ask(make(), LIMIT)
    calling = await store.step(1, {State.ASKED}, State.CALLING, message=5, called_at=1001.0)
    again = await open_store()
    assert await again.open() == [calling]


async def test_a_test_that_runs_is_open_and_outlives_the_process(open_store: OpenStore) -> None:
    store = await open_store()
    await ready(store)
    assert await store.open() == []
    test = ImageTest(Asker(7, 11, "t"), 2000.0, spoiler=True, job="7")
    begun = await store.step(1, {State.ENDED}, State.ENDED, test=test)
    again = await open_store()
    assert await again.open() == [begun]
    done = replace(test, outcome=Outcome.RENDERED)
    await again.step(1, {State.ENDED}, State.ENDED, test=done)
    assert len(await again.open()) == 1, "it has not been shown"
    await again.step(1, {State.ENDED}, State.ENDED, test=replace(done, shown=True))
    assert await again.open() == []


async def test_a_member_has_so_many_calls_that_cost_in_a_day_also_in_the_same_instant(
    open_store: OpenStore,
) -> None:
    store = await open_store()

    async def reserve(name: str, by: int = 7, server: int = 100, at: float = 1000.0) -> bool:
        return await store.reserve_call(server, name, PaidCall(by, at), 3)

    done = await asyncio.gather(*(reserve(f"call-{n}") for n in range(10)), return_exceptions=True)
    refused = [error for error in done if isinstance(error, NoTestsLeft)]
    assert (done.count(True), len(refused)) == (3, 7)
    assert refused[0].free_at == 1000.0 + 86400.0
    made = next(n for n in range(10) if done[n] is True)
    assert await reserve(f"call-{made}") is False, "it was stored before"
    assert await reserve("other-member", by=8)
    assert await reserve("other-server", server=101)
    store = await open_store()
    with pytest.raises(NoTestsLeft):
        await reserve("after-a-restart")
    await store.give_back_call(100, f"call-{made}")
    assert await reserve("in-its-place", at=2000.0)
    assert await reserve("a-day-later", at=1000.0 + 86400.0)
    assert await store.expire_rows(1000.0 + 86400.0) == 4
    assert await store.expire_rows(1000.0 + 86400.0) == 0
    assert sorted(call.at for call in await store.paid_calls(100)) == [2000.0, 87400.0]
    await store.forget(101)
    assert await store.paid_calls(101) == []
    await store.remove_key(100)
    assert await store.servers() == {100}
    await store.forget(100)
    assert await (await open_store()).servers() == set()


async def test_forgetting_a_server_spares_the_others_settings_and_watches(open_store: OpenStore) -> None:
    store = await open_store()
    for server in (100, 101):
        await store.change_settings(server, quiet=True)
        await store.set_watch(Watch(server, "a:b/c", 7, 11), new=True)
    assert await store.servers() == {100, 101}
    await store.forget(100)
    again = await open_store()
    assert [watch async for watch in again.all_watches()] == [Watch(101, "a:b/c", 7, 11)]
    assert (await again.settings(100), await again.settings(101)) == (
        ServerSettings(),
        ServerSettings(quiet=True),
    )
    assert await again.servers() == {101}


async def test_removed_reload_is_gone_from_disk(open_store: OpenStore) -> None:
    store = await open_store()
    await store.ask(make(1), LIMIT)
    await store.step(1, {State.ASKED}, State.REMOVED)
    again = await open_store()
    assert await again.history(100) == []


async def test_events_are_kept_where_something_changed_the_newest_ten(open_store: OpenStore) -> None:
    store = await open_store()
    refused, works = Event("key_refused", 1000.0), Event("works", 2000.0)
    assert not await store.add_event(100, replace(works, at=1.0)), "there was no trouble"
    assert await store.add_event(100, refused)
    assert not await store.add_event(100, replace(refused, at=1500.0)), "it is known"
    assert await store.add_event(100, works)
    assert not await store.add_event(100, replace(refused, at=2500.0)), "kept, but told within the hour"
    assert [event.at for event in await store.events(100)] == [2500.0, 2000.0, 1000.0]
    store = await open_store()
    for n in range(12):
        await store.add_event(100, Event("setting", 10_000.0 + n, 7, "mod", "ping"))
    kept = await store.events(100)
    assert [event.at for event in kept[:10]] == [10_011.0 - n for n in range(10)]
    stands, told = [2500.0], [10_000.0, 2000.0, 1000.0]
    assert sorted(event.at for event in kept[10:]) == sorted(stands + told), "what the next is held against"
    await store.add_event(101, refused)
    assert await store.servers() == {100, 101}
    await store.forget(100)
    assert await store.events(100) == []
    assert await store.expire_rows(1000.0 + 30 * 86400.0) == 1
    assert await store.events(101) == []


@pytest.mark.parametrize("how", ["taken back", "failed", "ready"])
async def test_the_place_of_a_test_asked_for_ahead_is_given_back_with_it(
    open_store: OpenStore, how: str
) -> None:
    store = await open_store()
    reload = make()
    await store.ask(reload, LIMIT)
    test = ImageTest(Asker(8, 70, "token-test"), 1000.0, True, ahead=True)
    assert await store.reserve_call(100, call_name(reload, test), PaidCall(8, 1000.0), 1)
    assert await store.test_ahead(1, 8, test) == replace(reload, test=test)
    again = replace(test, by=Asker(8, 71, "token-again"), at=1001.0)
    assert call_name(reload, again) == call_name(reload, test)
    assert await store.test_ahead(1, 8, again) == replace(reload, test=test), "the first stays"
    assert len(await store.paid_calls(100)) == 1
    if how == "taken back":
        await store.test_ahead(1, 8, None)
    else:
        await store.step(1, {State.ASKED}, State.CALLING, called_at=1.0)
        await store.step(1, {State.CALLING}, State.COUNTING, deadline=2.0)
        outcome = Outcome.ACCEPTED if how == "ready" else Outcome.INTERRUPTED
        await store.step(1, {State.COUNTING}, State.ANNOUNCING, outcome=outcome, ended_at=3.0)
    calls = [PaidCall(8, 1000.0)] if how == "ready" else []
    assert await store.paid_calls(100) == calls
    assert await (await open_store()).paid_calls(100) == calls


async def test_a_place_that_is_held_already_counts_for_itself_alone(store: AnyStore) -> None:
    for n in range(2):
        assert await store.reserve_call(100, f"call-{n}", PaidCall(7, 1000.0), 3)
    assert await store.reserve_call(100, "call-0", PaidCall(7, 1001.0), 2) is False
    with pytest.raises(NoTestsLeft):
        await store.reserve_call(100, "call-0", PaidCall(7, 1001.0), 1)


async def test_a_key_set_later_is_not_removed(store: AnyStore) -> None:
    assert not await store.remove_key(100, 0.5)
    assert await store.key(100) is not None
    assert await store.remove_key(100, 1.0)
    assert await store.key(100) is None


async def test_ask_needs_a_key(store: AnyStore) -> None:
    await store.remove_key(100)
    with pytest.raises(NoKey):
        await store.ask(make(1), LIMIT)
    assert await store.history(100) == []


async def test_ask_in_the_instant_of_forget_leaves_nothing(store: AnyStore) -> None:
    done = await asyncio.gather(
        store.forget(100), *(store.ask(make(n, user=n), LIMIT) for n in range(1, 20)), return_exceptions=True
    )
    assert not isinstance(done[0], BaseException), "one that came first goes with the rest"
    left = await store.history(100)
    assert left == [] or (await store.key(100)) is not None
    assert await store.key(101) is not None


async def test_history_is_newest_first_and_of_one_model_where_that_is_asked_for(store: AnyStore) -> None:
    for number, model in enumerate(("a", "b", "c"), 1):
        await store.ask(make(number, model=model), LIMIT)
    assert [reload.id for reload in await store.history(100)] == [3, 2, 1]
    assert [reload.id for reload in await store.history(100, "b")] == [2]
    assert [reload.id for reload in await store.history(100, most=2)] == [3, 2]
    assert await store.history(101) == []


async def test_keys_and_values_are_put_replaced_and_removed(open_store: OpenStore) -> None:
    store = await open_store()
    row = KeyRow("sealed again", 8, "another", 2.0)
    await store.set_key(102, row)
    await store.set_value("name", {"a": [1, "ü"]})
    await store.set_value("name", {"b": None})
    again = await open_store()
    assert await again.key(102) == row
    assert (102, row) in [known async for known in again.all_keys()]
    assert await again.value("name") == {"b": None}
    assert await again.value("another") is None
    assert await again.remove_key(102)
    assert not await again.remove_key(102)
    assert await again.key(102) is None
    assert await again.servers() == {100, 101}


async def test_a_value_is_changed_by_one_at_a_time(store: AnyStore) -> None:
    changes = [store.change_value("name", lambda known: (known or 0) + 1) for _ in range(50)]
    assert sorted(await asyncio.gather(*changes)) == list(range(1, 51))
    assert await store.value("name") == 50


async def test_a_key_is_replaced_only_where_it_is_still_the_same(open_store: OpenStore) -> None:
    store = await open_store()
    was, new = KeyRow("sealed", 7, "mod", 1.0), KeyRow("sealed again", 7, "mod", 1.0)
    await store.set_key(101, set_meanwhile := KeyRow("another", 8, "ana", 2.0))
    assert [await store.replace_key(server, was, new) for server in (100, 101, 102)] == [True, False, False]
    moved = replace(new, version="v6")
    assert await store.replace_key(100, new, moved)
    assert not await store.replace_key(100, new, replace(new, version="v4")), "it is for another host by now"
    again = await open_store()
    assert [await again.key(server) for server in (100, 101, 102)] == [moved, set_meanwhile, None]


async def test_a_server_is_known_by_anything_that_is_kept_of_it(store: AnyStore) -> None:
    await store.change_settings(200, quiet=True)
    await store.set_watch(Watch(201, "m", 7, 11), new=True)
    await store.set_value("name", 1)
    await store.ask(make(1, server=101), LIMIT)
    await store.remove_key(101)
    assert await store.servers() == {100, 101, 200, 201}


async def test_what_ended_goes_or_fades_by_age(store: AnyStore) -> None:
    for number in (1, 2, 3):
        await store.ask(make(number, model=f"m{number}"), LIMIT)
    for number, at in ((1, 2000.0), (2, 3000.0)):
        await store.step(number, {State.ASKED}, State.ANNOUNCING, outcome=Outcome.NOT_SENT, ended_at=at)
        ended = await store.step(number, {State.ANNOUNCING}, State.ENDED)
    assert ended is not None
    assert await store.expire(2500.0, 3500.0) == 2
    assert await store.history(100) == [make(3, model="m3"), faded(ended)]
    assert await store.expire(2500.0, 3500.0) == 0


async def test_one_that_could_not_be_told_for_so_long_is_over(store: AnyStore) -> None:
    await store.ask(make(1), LIMIT)
    await store.step(1, {State.ASKED}, State.ANNOUNCING, outcome=Outcome.NOT_SENT, ended_at=2000.0)
    assert await store.expire(1000.0, 3000.0) == 1
    assert await store.open() == []
    assert await store.step(1, {State.ANNOUNCING}, State.ENDED) is None


async def test_strange_words_come_back_as_they_were(open_store: OpenStore) -> None:
    store = await open_store()
    await store.set_key(102, KeyRow("sealed", 7, "a \x00 ' \" \\ \u2028 ☃", 1.0))
    await store.ask(make(1), LIMIT)
    facts = {"outcome": Outcome.REFUSED, "ended_at": 2000.0, "said": "\x00 $1 ' % 🙃"}
    told = await store.step(1, {State.ASKED}, State.ANNOUNCING, **facts)  # type: ignore[arg-type]  # a plain dict
    again = await open_store()
    assert await again.find(100, 1) == told
    row = await again.key(102)
    assert row is not None
    assert row.by_name == "a \x00 ' \" \\ \u2028 ☃"


async def test_a_late_or_lost_step_is_taken_once(store: AnyStore) -> None:
    await store.ask(make(1), LIMIT)
    first = await store.step(1, {State.ASKED}, State.CALLING, message=5, called_at=1001.0)
    assert first is not None
    assert await store.step(1, {State.ASKED}, State.CALLING, message=5, called_at=1001.0) is None
    assert await store.open() == [first]
