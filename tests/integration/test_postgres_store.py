"""Features of the shared store only: leases, taking over, a database that goes and comes back."""

import asyncio
import signal
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import asyncpg
import pytest

from bot.clock import elapsed
from bot.domain.errors import DatabaseUnusable, StoreTrouble, Taken, TooManyOpen
from bot.domain.reload import Asker, ImageTest, Outcome, Reload, State
from bot.domain.rows import KeyRow, Watch
from bot.reloads.life import Life
from bot.store import claims, statements
from bot.store.database import _unusable
from bot.store.lease import LEASE_TIMEOUT
from bot.store.postgres import SERVERS_BATCH, PostgresStore
from bot.store.schema import MIGRATIONS
from bot.store.server_rows import READ_BATCH
from tests import postgres
from tests.integration.test_store import LIMIT, make

SOON = LEASE_TIMEOUT + 2.0


class Two(NamedTuple):
    """Two replicas' stores on one database."""

    one: PostgresStore
    other: PostgresStore
    url: str


class Clock:
    """A replica's clock. Set ahead, its machine has slept."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return elapsed() + self.ahead


@asynccontextmanager
async def replica(url: str, clock: Callable[[], float] = elapsed) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.connect(url, clock=clock)
    try:
        yield store
    finally:
        await store.release()


@pytest.fixture
async def two(postgres_url: str) -> AsyncIterator[Two]:
    async with replica(postgres_url) as one, replica(postgres_url) as other:
        for server in (100, 101, 102):
            await one.set_key(server, KeyRow("sealed", 7, "mod", 1.0))
        yield Two(one, other, postgres_url)


def die(store: PostgresStore) -> None:
    """Act like kill -9: renew nothing, report nothing."""
    store._keeper.cancel()


async def taken(store: PostgresStore, seconds: float = SOON) -> list[Reload]:
    """Return the reloads that a replica takes over, once there are some."""
    async with asyncio.timeout(seconds):
        while not (reloads := (await store.news()).taken):
            await asyncio.sleep(0.1)
    return reloads


async def test_of_very_many_servers_none_is_left_out_and_none_comes_twice(two: Two) -> None:
    """They are read in pages; a million keys in one would take seconds, and the loop's time (measured)."""
    keys, with_reloads = range(1000, 1000 + 2 * READ_BATCH), range(5000, 5001 + SERVERS_BATCH)
    watches = [Watch(server, model, 7, 11) for server in keys[:400] for model in ("a", "b", "ü")]
    db = await asyncpg.connect(two.url)
    sealed = statements.packed(KeyRow("sealed", 7, "mod", 1.0))
    await db.executemany("INSERT INTO rows VALUES ('key', $1, '', $2)", [(server, sealed) for server in keys])
    rows = [(watch.server, watch.model, statements.packed(watch)) for watch in watches]
    await db.executemany("INSERT INTO rows VALUES ('watch', $1, $2, $3)", rows)
    reloads = [
        (*statements.columns(make(server * 2 + n, server=server, model=str(n))), None)
        for server in with_reloads
        for n in range(2)
    ]
    await db.executemany(statements.INSERT, reloads)
    await db.close()
    assert [server async for server, _ in two.one.all_keys()] == [100, 101, 102, *keys]
    assert [watch async for watch in two.one.all_watches()] == watches
    assert await two.one.servers() == {100, 101, 102, *keys, *with_reloads}


async def test_what_a_replica_looks_after_no_other_takes(two: Two) -> None:
    await two.one.ask(make(1), LIMIT)
    await asyncio.sleep(LEASE_TIMEOUT + 1)  # longer than a lease that nobody renews
    assert (await two.other.news()).taken == []
    await two.one.hold(1)
    with pytest.raises(Taken):
        await two.other.hold(1)
    with pytest.raises(Taken):
        await two.other.step(1, {State.ASKED}, State.CALLING)


async def test_a_dead_replicas_reloads_are_taken_over_most_overdue_first(two: Two) -> None:
    for number, deadline in ((1, 3000.0), (2, 2000.0)):
        await two.one.ask(make(number, model=f"m{number}"), LIMIT)
        await two.one.step(number, {State.ASKED}, State.CALLING, called_at=1.0)
        await two.one.step(number, {State.CALLING}, State.COUNTING, deadline=deadline)
    die(two.one)
    reloads = await taken(two.other)
    assert [reload.id for reload in reloads] == [2, 1]
    assert all(reload.state is State.COUNTING for reload in reloads)
    await two.other.hold(1)
    assert await two.other.step(1, {State.COUNTING}, State.ANNOUNCING, outcome=Outcome.ACCEPTED, ended_at=3.0)


async def test_whoever_holds_an_untold_ending_learns_that_its_server_has_changed(two: Two) -> None:
    ending = {"outcome": Outcome.NOT_SENT, "ended_at": 3.0}
    for id_, server, store in ((1, 100, two.one), (2, 101, two.one), (3, 102, two.other)):
        await store.ask(make(id_, server=server), LIMIT)
        await store.step(id_, {State.ASKED}, State.ANNOUNCING, **ending)  # type: ignore[arg-type]  # a plain dict
    await two.one.ask(make(4, server=100, model="another"), LIMIT)
    await two.other.try_again([100, 102], [])
    assert [reload.id for reload in (await two.one.news()).changed] == [1]
    [channel] = {asker.channel for asker in make(1).askers}
    await two.other.try_again([], [channel + 1])
    assert (await two.one.news()).changed == []
    await two.other.try_again([], [channel])
    assert {reload.id for reload in (await two.one.news()).changed} == {1, 2}
    assert (await two.other.news()).changed == []
    assert (await two.one.news()).changed == []
    assert await two.one.step(1, {State.ANNOUNCING}, State.ENDED) is not None


async def test_what_is_claimed_has_its_story_begun_once_also_where_somebody_joins_meanwhile(two: Two) -> None:
    await two.one.ask(make(1, user=7), LIMIT)
    await two.one.release()
    await two.other._claims._claim()
    await two.other.ask(make(2, user=8), LIMIT)
    assert not two.other.holds(1), "who joins would begin a story, which the take-over then cuts off"
    [reload] = (await two.other.news()).taken
    assert [asker.user for asker in reload.askers] == [7, 8]
    assert two.other.holds(1)


async def test_who_stops_sets_free_at_once(two: Two) -> None:
    await two.one.ask(make(1), LIMIT)
    await two.one.release()
    assert [reload.id for reload in (await two.other.news()).taken] == [1]


async def test_one_that_stalled_reads_again_before_it_does_anything(two: Two) -> None:
    await two.one.ask(make(1, model="a"), LIMIT)
    await two.one.ask(make(2, model="b"), LIMIT)
    die(two.one)
    await asyncio.sleep(LEASE_TIMEOUT + 0.5)
    await two.one.hold(1)  # it wakes up in time: a new lease, which has what the old one had
    assert (await two.other.news()).taken == []
    die(two.one)
    await taken(two.other)
    for doing in (two.one.hold(1), two.one.step(2, {State.ASKED}, State.CALLING)):
        with pytest.raises(Taken):
            await doing
    assert (await two.one.news()).lost == {1, 2}


async def test_one_whose_machine_slept_knows_that_its_lease_is_over(postgres_url: str) -> None:
    """Linux's CLOCK_MONOTONIC stands still in a suspend: by that, the lease is good for 3 s more."""
    clock, others = Clock(), Clock()
    async with replica(postgres_url, clock) as one, replica(postgres_url, others) as other:
        await one.set_key(100, KeyRow("sealed", 7, "mod", 1.0))
        await one.ask(make(1), LIMIT)
        die(one)
        clock.ahead = others.ahead = 60.0
        admin = await asyncpg.connect(postgres_url)
        await admin.execute("UPDATE replicas SET since = since - interval '1 minute'")
        await admin.execute(
            "UPDATE replicas SET lease_until = now() - interval '1 s' WHERE id = $1", one._lease.id
        )
        await admin.close()
        assert [reload.id for reload in await taken(other)] == [1]
        with pytest.raises(Taken):
            await one.hold(1)


async def test_a_step_of_old_against_a_take_over_has_one_winner(two: Two) -> None:
    """Of those that nobody calls any more, none is called by both."""
    for number in range(1, 41):
        await two.one.ask(make(number, model=f"m{number}", user=number, server=100 + number % 3), LIMIT)
    die(two.one)
    await asyncio.sleep(LEASE_TIMEOUT + 0.2)

    async def call(number: int) -> bool:
        try:
            return await two.one.step(number, {State.ASKED}, State.CALLING, called_at=1.0) is not None
        except Taken:
            return False

    async def take() -> list[Reload]:
        return (await two.other.news()).taken

    first = [call(number) for number in range(1, 20)]
    results = await asyncio.gather(*first, take(), *(call(number) for number in range(20, 41)))
    called = {number for number, done in zip(range(1, 20), results[:19], strict=True) if done}
    called |= {number for number, done in zip(range(20, 41), results[20:], strict=True) if done}
    other = results[19]
    assert isinstance(other, list)
    assert {reload.id for reload in other if reload.state is State.ASKED} & called == set()


async def test_a_join_by_way_of_another_replica_is_told_to_who_looks_after_it(two: Two) -> None:
    await two.one.ask(make(1, user=7), LIMIT)
    joined = await two.other.ask(make(2, user=8), LIMIT)
    assert joined is not None
    assert (joined.id, two.other.holds(1)) == (1, False)
    [changed] = (await two.one.news()).changed
    assert [asker.user for asker in changed.askers] == [7, 8]
    await two.other.notify(1, Asker(9, 11, "token-9"), wanted=True)
    stepped = await two.one.step(1, {State.ASKED}, State.CALLING, message=5)  # before it has heard about it
    assert stepped is not None
    assert [asker.user for asker in stepped.askers] == [7, 8, 9]


async def test_news_that_came_too_late_for_an_ending_are_none_of_a_test_image(two: Two) -> None:
    await two.one.ask(make(1), LIMIT)
    await two.one.step(1, {State.ASKED}, State.CALLING)
    await two.one.step(1, {State.CALLING}, State.COUNTING, deadline=2000.0)
    await two.other.notify(1, Asker(9, 11, "token-9"), wanted=True)
    await two.one.step(1, {State.COUNTING}, State.ANNOUNCING, outcome=Outcome.ACCEPTED, ended_at=2000.0)
    await two.one.step(1, {State.ANNOUNCING}, State.ENDED)
    test = ImageTest(Asker(8, 11, "token-8"), 2100.0, spoiler=True)
    assert await two.one.step(1, {State.ENDED}, State.ENDED, test=test) is not None
    assert (await two.one.news()).changed == []


async def test_asks_at_two_replicas_in_the_same_instant_make_one_reload(two: Two) -> None:
    asks = [(two.one, two.other)[n % 2].ask(make(n, user=n), LIMIT) for n in range(1, 31)]
    stored = await asyncio.gather(*asks)
    assert len({reload.id for reload in stored if reload}) == 1
    [known] = await two.one.open()
    assert len(known.askers) == 30
    assert [two.one.holds(known.id), two.other.holds(known.id)].count(True) == 1


async def test_limits_hold_across_replicas(two: Two) -> None:
    asks = [(two.one, two.other)[n % 2].ask(make(n, user=7, model=f"m{n}"), LIMIT) for n in range(1, 21)]
    results = await asyncio.gather(*asks, return_exceptions=True)
    assert sum(isinstance(result, Reload) for result in results) == 5
    assert sum(isinstance(result, TooManyOpen) for result in results) == 15


async def test_a_test_image_of_what_has_ended_belongs_to_who_begins_it(two: Two) -> None:
    await two.one.ask(make(1), LIMIT)
    await two.one.step(1, {State.ASKED}, State.CALLING)
    await two.one.step(1, {State.CALLING}, State.COUNTING, deadline=2000.0)
    await two.one.step(1, {State.COUNTING}, State.ANNOUNCING, outcome=Outcome.ACCEPTED, ended_at=2000.0)
    await two.one.step(1, {State.ANNOUNCING}, State.ENDED)
    assert not two.one.holds(1)
    test = ImageTest(Asker(8, 11, "t"), 2100.0, spoiler=True)
    begun = await two.other.step(1, {State.ENDED}, State.ENDED, test=test)
    assert begun is not None
    assert two.other.holds(1)
    with pytest.raises(Taken):
        await two.one.step(1, {State.ENDED}, State.ENDED, test=test)
    die(two.other)
    assert await taken(two.one) == [begun]


async def sql(two: Two, statement: str, *values: object) -> list[asyncpg.Record]:
    admin = await asyncpg.connect(two.url)
    try:
        return await admin.fetch(statement, *values)
    finally:
        await admin.close()


async def test_what_is_ours_without_our_knowledge_is_found(two: Two) -> None:
    """The answer to an ask or to a claim was lost."""
    await two.one.ask(make(1), LIMIT)
    two.one._lease.held.clear()
    assert [reload.id for reload in await taken(two.one)] == [1]


async def test_what_is_not_ours_any_more_is_lost(two: Two) -> None:
    await two.one.ask(make(1), LIMIT)
    await two.other.forget(100)
    async with asyncio.timeout(SOON):
        while not (await two.one.news()).lost:
            await asyncio.sleep(0.1)
    with pytest.raises(Taken):
        await two.one.hold(1)


async def test_a_claim_whose_answer_comes_late_is_not_forgotten(two: Two) -> None:
    await two.one.ask(make(1), LIMIT)
    await two.one.release()
    locked = await asyncpg.connect(two.url)
    async with locked.transaction():
        await locked.execute("LOCK TABLE replicas IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreTrouble):
            await two.other._database.do(0.2, lambda _: two.other._claims._claim())
        await asyncio.sleep(0.2)
    await locked.close()
    assert [reload.id for reload in await taken(two.other)] == [1]


async def test_a_row_of_a_lease_that_nobody_knows_is_claimed(two: Two) -> None:
    """Written by one that was stopping, after it had set free what it knew of."""
    await two.one.ask(make(1), LIMIT)
    await sql(two, "UPDATE reloads SET owner = gen_random_uuid()")
    assert [reload.id for reload in await taken(two.other, 1)] == [1]


async def test_a_lease_is_over_for_good_before_anything_of_it_is_claimed(two: Two) -> None:
    """A renewal that began before the lease ran out may be written after it."""
    await two.one.ask(make(1), LIMIT)
    die(two.one)
    old = two.one._lease.id
    renewing = await asyncpg.connect(two.url)
    async with renewing.transaction():
        await renewing.execute("UPDATE replicas SET lease_until = now() + interval '9 s' WHERE id = $1", old)
        await asyncio.sleep(LEASE_TIMEOUT + 0.5)
        assert (await two.other.news()).taken == []
    await renewing.close()
    assert (await two.other.news()).taken == []
    await sql(two, "UPDATE replicas SET lease_until = now() - interval '1 s' WHERE id = $1", old)
    assert [reload.id for reload in await taken(two.other)] == [1]
    await two.one._lease.renew()
    assert two.one._lease.id != old


async def test_a_row_that_cannot_be_read_stops_nobody(two: Two) -> None:
    for number in (1, 2, 3):
        await two.one.ask(make(number, model=f"m{number}"), LIMIT)
    await sql(two, """UPDATE reloads SET body = '{"state": "newer"}' WHERE id = 2""")
    die(two.one)
    assert [reload.id for reload in await taken(two.other)] == [1, 3]
    assert (await two.other.news()).taken == []
    assert await two.other.ask(make(4, model="m4"), LIMIT)
    assert [reload.id for reload in await two.other.history(100)] == [4, 3, 1]
    await two.other.step(3, {State.ASKED}, State.ANNOUNCING, outcome=Outcome.NOT_SENT, ended_at=2000.0)
    await sql(two, "UPDATE reloads SET state = 'ended', last_at = 2000 WHERE id = 2")
    assert await two.other.expire(1000.0, 3000.0) == 1, "the one that can be read"


async def test_a_servers_row_that_cannot_be_read_stops_no_other_server(two: Two) -> None:
    """Jobs walk through all keys and watches, and a server that is back through what is open."""
    for server in (100, 102):
        await two.one.set_key(server, KeyRow("sealed", 7, "mod", 1.0))
        await two.one.set_watch(Watch(server, "m", 7, 11), new=True)
        await two.one.ask(make(server, server=server), LIMIT)
    await sql(two, "UPDATE rows SET value = '[]' WHERE server = 100 AND kind IN ('key', 'watch')")
    await sql(two, "UPDATE reloads SET body = '[]' WHERE server = 100")
    assert [server async for server, _ in two.one.all_keys() if server != 101] == [102]
    assert [watch.server async for watch in two.one.all_watches()] == [102]
    assert [reload.server for reload in await two.one.open()] == [102]


async def test_a_server_that_is_forgotten_again_while_it_is_swept_stays_hidden(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 5):
        await two.one.ask(make(number, model=f"m{number}"), LIMIT)
        await two.one.step(
            number, {State.ASKED}, State.ANNOUNCING, outcome=Outcome.NOT_SENT, ended_at=2000.0 + number
        )
        await two.one.step(number, {State.ANNOUNCING}, State.ENDED)
    await sql(two, "INSERT INTO rows VALUES ('forgotten', 100, '', '1')")
    await sql(two, "DELETE FROM reloads WHERE id = 1")
    # It has read the first mark and finds nothing left below it; then the server is forgotten again.
    monkeypatch.setattr(
        statements,
        "FORGET_REST",
        "WITH again AS (UPDATE rows SET value = '4' WHERE kind = 'forgotten' RETURNING 1) "
        "SELECT server AS id FROM reloads, again WHERE server = $1 AND id <= $2 LIMIT least($3, 0)",
    )
    assert await two.other.sweep() == 0
    monkeypatch.undo()
    assert await two.other.history(100) == []
    while await two.other.sweep():
        pass
    assert await two.one.find(100, 4) is None


async def test_one_that_stalls_in_a_transaction_blocks_its_server_for_seconds_only(two: Two) -> None:
    await two.one.ask(make(1), LIMIT)
    stalled = await two.one._database.connect()
    transaction = stalled.transaction()
    await transaction.start()
    await stalled.execute("SELECT pg_advisory_xact_lock(100)")
    await stalled.execute("SELECT FROM reloads FOR UPDATE")
    die(two.one)
    with pytest.raises(StoreTrouble):
        await two.other.ask(make(2, model="another"), 1.0)
    assert [reload.id for reload in await taken(two.other, SOON + 2)] == [1]
    assert await two.other.ask(make(3, model="another"), LIMIT)
    stalled.terminate()


async def test_a_join_that_failed_does_not_take_another_ones_place(two: Two) -> None:
    await two.one.ask(make(1, user=7), LIMIT)
    version = two.one._lease.held[1].version
    admin = await asyncpg.connect(two.url)
    await admin.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
        "CREATE CONSTRAINT TRIGGER t AFTER UPDATE ON reloads DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    with pytest.raises(StoreTrouble):
        await two.one.ask(make(2, user=8), LIMIT)
    await admin.execute("DROP TRIGGER t ON reloads")
    await admin.close()
    assert two.one._lease.held[1].version == version
    await two.other.ask(make(3, user=9), LIMIT)
    stepped = await two.one.step(1, {State.ASKED}, State.CALLING, message=5)
    assert stepped is not None
    assert [asker.user for asker in stepped.askers] == [7, 9]


async def test_a_step_that_landed_although_its_answer_was_lost_is_not_taken_twice(two: Two) -> None:
    await two.one.ask(make(1), LIMIT)
    before = two.one._lease.held[1]
    await two.one.step(1, {State.ASKED}, State.CALLING, message=5, called_at=1.0)
    two.one._lease.held[1] = before
    again = await two.one.step(1, {State.ASKED}, State.CALLING, message=5, called_at=1.0)
    assert again is not None
    assert again.state is State.CALLING
    assert await two.one.step(1, {State.CALLING}, State.COUNTING, deadline=2000.0)


@pytest.fixture
def server(postgres_to_stop: postgres.Server) -> postgres.Server:
    return postgres_to_stop


@asynccontextmanager
async def on_a(server: postgres.Server) -> AsyncIterator[PostgresStore]:
    """A replica on a server that may be stopped, with one reload that counts."""
    async with replica(server.url()) as store:
        await store.set_key(100, KeyRow("sealed", 7, "mod", 1.0))
        await store.ask(make(1), LIMIT)
        yield store


async def test_while_the_database_serves_nobody_its_holders_go_on(server: postgres.Server) -> None:
    async with on_a(server) as store:
        server.stop()
        await asyncio.sleep(LEASE_TIMEOUT + 1)
        await asyncio.wait_for(store.hold(1), 3)
        with pytest.raises(StoreTrouble):
            await store.step(1, {State.ASKED}, State.CALLING)
        with pytest.raises(StoreTrouble):
            await store.settings(100)
        server.start()
        async with asyncio.timeout(10):
            while not store._lease.is_good:
                await asyncio.sleep(0.1)
        await store.hold(1)
        assert await store.step(1, {State.ASKED}, State.CALLING) is not None


async def test_after_an_outage_the_holders_come_before_those_who_claim(server: postgres.Server) -> None:
    async with on_a(server) as store, replica(server.url()) as other:
        server.stop()
        await asyncio.sleep(LEASE_TIMEOUT + 1)
        server.start()
        async with asyncio.timeout(10):  # the other one is quicker
            while True:
                await other._lease.renew()
                if other._lease.is_good:
                    break
        assert (await other.news()).taken == []
        async with asyncio.timeout(10):
            while not store._lease.is_good:
                await asyncio.sleep(0.1)
        await store.hold(1)


async def test_who_outlived_an_outage_expires_nobody_about_to_renew(server: postgres.Server) -> None:
    """Two or three seconds: one lease has just run out, another has not."""
    async with on_a(server) as store, replica(server.url()) as other:
        die(store)
        await asyncio.sleep(LEASE_TIMEOUT + 0.5)
        await store._lease.renew()
        server.stop()
        await other._lease.renew()
        server.start()
        await other._lease.renew()
        assert other._lease.is_good
        admin = await asyncpg.connect(server.url())
        await admin.execute(
            "UPDATE replicas SET lease_until = now() + interval '9 s' WHERE id = $1", other._lease.id
        )
        await admin.execute(
            "UPDATE replicas SET lease_until = now() - interval '1 s' WHERE id = $1", store._lease.id
        )
        await admin.close()
        assert (await other.news()).taken == []
        await store._lease.renew()
        assert (await other.news()).taken == []
        await store.hold(1)
        die(store)
        assert [reload.id for reload in await taken(other, 3 * LEASE_TIMEOUT)] == [1], (
            "a dead one's are taken"
        )


async def test_a_server_that_is_gone_with_its_socket_refuses_whatever_the_url_says_of_tls(
    server: postgres.Server,
) -> None:
    async with on_a(server) as store:
        store._database._url += "&sslmode=prefer"
        server.stop()
        await asyncio.sleep(LEASE_TIMEOUT + 0.5)
        await asyncio.wait_for(store.hold(1, renew=True), 3)


async def test_an_ending_that_is_stored_slowly_is_told_as_soon_as_it_is(two: Two) -> None:
    """Each commit takes longer than a renewal may, so no lease is renewed in the meantime."""
    row = await two.one.ask(make(1), LIMIT)
    assert row is not None
    life = Life(two.one, row)
    admin = await asyncpg.connect(two.url)
    await admin.execute(
        "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(1.3); RETURN NULL; END $$"
    )
    for table in ("reloads", "replicas"):
        await admin.execute(
            f"CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION slowly()"
        )
    began = time.monotonic()
    await life.step_to_show(State.ANNOUNCING, outcome=Outcome.NOT_SENT, ended_at=3.0)
    assert 1.0 < time.monotonic() - began < 2.3
    [stored] = await two.other.history(100)
    assert stored.state is State.ANNOUNCING
    for table in ("reloads", "replicas"):
        await admin.execute(f"DROP TRIGGER slow ON {table}")
    await admin.close()


async def test_a_certificate_that_is_missing_says_nothing_of_the_database(server: postgres.Server) -> None:
    """A renewal may have succeeded just as the connection broke: others may have taken over since."""
    async with on_a(server) as store:
        nowhere = server.folder / "root.crt"
        store._database._url = f"postgresql://localhost/postgres?sslmode=verify-full&sslrootcert={nowhere}"
        store._lease._disconnect()
        await asyncio.sleep(LEASE_TIMEOUT + 0.5)
        holding = asyncio.create_task(store.hold(1))
        done, _ = await asyncio.wait([holding], timeout=2.5)
        assert not done
        holding.cancel()


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (ssl.SSLCertVerificationError(1, "self-signed"), "check sslmode and sslrootcert"),
        (asyncpg.DuplicatePreparedStatementError("it exists"), "pool_mode=session"),
        (ValueError("port"), "@ as %40"),
    ],
)
def test_what_is_wrong_with_a_database_is_said_with_what_to_do(error: Exception, hint: str) -> None:
    assert hint in str(_unusable(error))


async def test_with_the_databases_clock_set_back_the_dead_are_replaced_all_the_same(two: Two) -> None:
    await two.one.ask(make(1), LIMIT)
    admin = await asyncpg.connect(two.url)
    await admin.execute("UPDATE replicas SET since = since + interval '1 hour'")
    await admin.close()
    die(two.one)
    assert [reload.id for reload in await taken(two.other, 3 * LEASE_TIMEOUT)] == [1]


async def test_while_the_database_shuts_down_others_may_still_be_served(server: postgres.Server) -> None:
    """It refuses new connections until the last one has gone, which says nothing about the others."""
    async with on_a(server) as store:
        staying = await asyncpg.connect(server.url())
        server.signal_main(signal.SIGTERM)
        await staying.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        )
        await asyncio.sleep(LEASE_TIMEOUT + 0.5)
        holding = asyncio.create_task(store.hold(1))
        done, _ = await asyncio.wait([holding], timeout=2.5)
        assert not done
        holding.cancel()
        staying.terminate()


async def test_while_the_database_is_silent_nothing_is_shown(server: postgres.Server) -> None:
    async with on_a(server) as store:
        server.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(LEASE_TIMEOUT + 0.5)
            holding = asyncio.create_task(store.hold(1))
            done, _ = await asyncio.wait([holding], timeout=2.5)
            assert not done
            with pytest.raises(StoreTrouble):
                await store.settings(100)
        finally:
            server.signal(signal.SIGCONT)
        await asyncio.wait_for(holding, 10)


async def test_migrations_run_once_whoever_comes_first(postgres_url: str) -> None:
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(stack.enter_async_context(replica(postgres_url)) for _ in range(4)))
    admin = await asyncpg.connect(postgres_url)
    assert await admin.fetchval("SELECT count(*) FROM migrations") == len(MIGRATIONS)
    await admin.close()


async def test_news_that_are_looked_at_late_take_no_step_back(two: Two) -> None:
    """Older rows, read before a step and looked at after it."""
    await two.one.ask(make(1), LIMIT)
    await two.other.notify(1, Asker(9, 11, "t9"), wanted=True)
    news = await two.one._fetch(statements.NEWS, two.one._lease.id)
    await two.one.step(1, {State.ASKED}, State.CALLING, called_at=1.0)
    [(record, reload)] = statements.readable(news)
    assert two.one._claims.take(record, reload).state is State.CALLING
    assert await two.one.step(1, {State.CALLING}, State.COUNTING, deadline=2.0) is not None


async def test_a_row_that_is_further_than_was_known_is_read_again(two: Two) -> None:
    await two.one.ask(make(1), LIMIT)
    known = two.one._lease.held[1].row
    await two.one.step(1, {State.ASKED}, State.CALLING, called_at=1.0)
    two.one._lease.held[1].row = known
    assert await two.one.step(1, {State.CALLING}, State.COUNTING, deadline=2.0) is not None


async def test_a_write_that_fails_while_rows_are_compared_stops_no_comparing(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was in progress when the comparison began, and is no longer ours afterwards."""
    monkeypatch.setattr(claims, "STEP_TIMEOUT", 10.0)  # that it is quick is not asked here
    admin, waiting = await asyncpg.connect(two.url), "FROM pg_locks WHERE NOT granted"
    async with admin.transaction():
        await admin.execute(statements.SERVERS_TURN, 100)
        asking = asyncio.create_task(two.one.ask(make(1), LIMIT))
        async with asyncio.timeout(LIMIT):
            while not two.one._claims.under_way:
                await asyncio.sleep(0.01)
        await admin.execute("LOCK TABLE reloads")
        comparing = asyncio.create_task(two.one._claims._compare())
        async with asyncio.timeout(LIMIT):
            while not await admin.fetchval(f"SELECT count(*) {waiting} AND locktype = 'relation'"):
                await asyncio.sleep(0.01)
        await admin.execute(f"SELECT pg_terminate_backend(pid) {waiting} AND locktype = 'advisory'")
        with pytest.raises(StoreTrouble):
            await asking
        assert not two.one._claims.under_way
    await comparing
    await admin.close()
    assert two.one._lease.lost == set()


async def test_a_lease_that_began_without_an_answer_is_inherited_from(two: Two) -> None:
    """Commits take longer than anybody waits, for a while, after a lease has run out."""
    die(two.other)
    await two.one.ask(make(1), LIMIT)
    admin = await asyncpg.connect(two.url)
    await admin.execute(
        "CREATE FUNCTION slow() RETURNS trigger AS 'BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END' "
        "LANGUAGE plpgsql"
    )
    await admin.execute(
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON replicas DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    before = two.one._lease.id
    await admin.execute("UPDATE replicas SET lease_until = now() - interval '1 s' WHERE id = $1", before)
    async with asyncio.timeout(15):
        while await admin.fetchval("SELECT owner FROM reloads") == before:
            await asyncio.sleep(0.05)
        for _ in range(3):  # it goes on comparing what it knows with what is stored
            two.one._claims._compared_at = 0.0
            assert (await two.one.news()).lost == frozenset()
        await admin.execute("DROP TRIGGER slow ON replicas")
        while await admin.fetchval("SELECT owner FROM reloads") != two.one._lease.id:
            await asyncio.sleep(0.05)
    assert two.one.holds(1)
    assert two.one._lease.lost == set()
    assert await two.one.step(1, {State.ASKED}, State.CALLING, called_at=1.0) is not None
    await admin.close()


async def test_without_a_lease_nothing_is_taken_on(two: Two) -> None:
    die(two.one)
    admin = await asyncpg.connect(two.url)
    await admin.execute("ALTER TABLE replicas RENAME TO gone")
    two.one._lease._good_until = 0.0
    with pytest.raises(StoreTrouble):
        await two.one.ask(make(1), LIMIT)
    assert await admin.fetchval("SELECT count(*) FROM reloads") == 0
    await admin.execute("ALTER TABLE gone RENAME TO replicas")
    await admin.close()


async def test_a_newer_versions_database_is_refused(postgres_url: str) -> None:
    async with replica(postgres_url):
        pass
    admin = await asyncpg.connect(postgres_url)
    await admin.execute("INSERT INTO migrations VALUES (1000)")
    with pytest.raises(DatabaseUnusable, match="newer version"):
        await PostgresStore.connect(postgres_url)
    await admin.close()


@pytest.mark.parametrize(
    "url", ["postgresql://rewarm:canary@127.0.0.1:1/db", "postgresql://:canary@", "postgresql://h:x:canary/y"]
)
async def test_one_that_cannot_be_reached_is_said_without_its_password(url: str) -> None:
    with pytest.raises(DatabaseUnusable) as caught:
        await PostgresStore.connect(url)
    assert "canary" not in f"{caught.value} {caught.value.__cause__}"


async def a_newer_version_comes(url: str) -> None:
    """A newer version updates the tables, and does nothing more here."""
    db = await asyncpg.connect(url)
    await db.execute("INSERT INTO migrations (number) VALUES ($1)", len(MIGRATIONS) + 1)
    await db.close()


async def test_a_replica_that_sees_a_newer_version_takes_nothing_on_and_releases(two: Two) -> None:
    await two.one.ask(make(1), LIMIT)
    await a_newer_version_comes(two.url)
    async with asyncio.timeout(SOON):
        while not (two.one.is_outdated and two.other.is_outdated):
            await asyncio.sleep(0.1)

    assert (await two.one.news()).lost == {1}
    with pytest.raises(Taken):
        await two.one.hold(1)
    assert await two.other.news() == ([], [], frozenset()), "that is left to the newer one"
    db = await asyncpg.connect(two.url)
    assert await db.fetchval("SELECT owner FROM reloads WHERE id = 1") is None
    assert await db.fetchval("SELECT count(*) FROM replicas WHERE lease_until > now()") == 0
    await db.close()

    with pytest.raises(StoreTrouble):
        await two.one.ask(make(2), LIMIT)
    with pytest.raises(StoreTrouble):
        await two.one.set_key(100, KeyRow("sealed again", 7, "mod", 2.0))
    assert (await two.one.key(100)) == KeyRow("sealed", 7, "mod", 1.0), "it can still be read"
