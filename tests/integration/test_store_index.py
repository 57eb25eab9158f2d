"""Ended reloads are found on disk by an index that says what the rows say; an old file is upgraded."""

import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import asyncpg
import orjson
import pytest
from hypothesis import HealthCheck, given, settings

from bot.domain.errors import StoreUnusable
from bot.domain.reload import OF_TESTS, Asker, ImageTest, Outcome, Reload, State
from bot.domain.rows import KeyRow
from bot.domain.server_models import models_of
from bot.store import file, index
from bot.store import statements as sql
from bot.store.embedded import EmbeddedStore
from bot.store.file import NAME
from bot.store.postgres import PostgresStore
from bot.store.rows import RELOAD, pack
from tests.benchmarks import history
from tests.integration.test_store import AnyStore, OpenStore, make, open_store, store, url
from tests.unit.test_words import reloads

__all__ = ["open_store", "store", "url"]
LIMIT = 5.0


@pytest.fixture(scope="module")
def db() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB)")
    for statement in index.SCHEMA:
        db.execute(statement)
    return db


def as_it_may_be(row: Reload) -> Reload:
    """An ended reload has an outcome and a time, and only a Ready has a test image."""
    row = replace(row, id=row.id % 2**62, server=row.server % 2**62)
    if row.state not in (State.ANNOUNCING, State.ENDED):
        return replace(row, outcome=None, ended_at=None, confirmed_at=None, test=None)
    outcome = Outcome.ACCEPTED if row.outcome in (None, *OF_TESTS) else row.outcome
    is_ready = row.state is State.ENDED and outcome is Outcome.ACCEPTED
    ended_at, test = row.ended_at or row.asked_at, row.test if is_ready else None
    confirmed_at = row.confirmed_at if is_ready else None
    return replace(row, outcome=outcome, ended_at=ended_at, test=test, confirmed_at=confirmed_at)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=reloads.map(as_it_may_be))
def test_the_index_says_what_a_row_says(db: sqlite3.Connection, row: Reload) -> None:
    db.execute("REPLACE INTO kv VALUES (?, ?)", (RELOAD.address(row.id), pack(row)))
    [line] = db.execute("SELECT * FROM reloads WHERE id = ?", (row.id,)).fetchall()
    id_, server, model, asked_at, outcome, used_at, last_at, is_open, may_fade = line
    assert (id_, server, model, outcome) == (row.id, row.server, row.model, row.outcome)
    assert (asked_at, used_at, last_at) == pytest.approx((row.asked_at, row.used_at, row.last_at))
    assert (is_open, may_fade) == (row.is_open, row.has_tokens and not row.is_testing)


async def end(store: AnyStore, id_: int, model: str, at: float, outcome: Outcome = Outcome.ACCEPTED) -> None:
    """Return a reload that ended at a time."""
    await store.ask(make(id_, model=model), LIMIT)
    await store.step(id_, {State.ASKED}, State.CALLING, message=5)
    if outcome is Outcome.ACCEPTED:
        await store.step(id_, {State.CALLING}, State.COUNTING, deadline=at)
    now = State.COUNTING if outcome is Outcome.ACCEPTED else State.CALLING
    await store.step(id_, {now}, State.ANNOUNCING, outcome=outcome, ended_at=at)
    await store.step(id_, {State.ANNOUNCING}, State.ENDED)


def ids(reloads: Iterable[Reload]) -> list[str]:
    return [model.id for model in models_of(reloads, 0.0)]


async def test_models_are_listed_by_pages(store: AnyStore) -> None:
    for number in range(1, 8):
        await end(store, number, f"m{number % 4}", 2000.0 + number)
    await end(store, 8, "failed", 3000.0, Outcome.NO_CREDITS)
    await end(store, 9, "no-such", 3000.0, Outcome.UNKNOWN_MODEL)
    await store.ask(make(10, model="m0"), LIMIT)
    await store.ask(make(11, model="new"), LIMIT)
    pages = [await store.models(100, first, 2) for first in (0, 2, 4, 6)]
    assert [count for count, _ in pages] == [6] * 4
    assert [ids(reloads) for _, reloads in pages] == [["new", "m0"], ["m3", "m2"], ["m1", "failed"], []]
    assert await store.models(101, 0, 10) == (0, [])


async def test_a_model_that_the_api_knows_no_more_is_not_listed(store: AnyStore) -> None:
    """Until the API accepts it again; what else it has refused meanwhile says nothing about that."""
    await end(store, 1, "m", 2000.0)
    await end(store, 2, "other", 2001.0)
    for number, outcome, listed in (
        (3, Outcome.UNKNOWN_MODEL, ["other"]),
        (4, Outcome.NO_CREDITS, ["other"]),
        (5, Outcome.ACCEPTED, ["m", "other"]),
    ):
        await end(store, number, "m", 3000.0 + number, outcome)
        count, reloads = await store.models(100, 0, 10)
        assert (count, ids(reloads)) == (len(listed), listed)
        assert (ids(await store.about(100, "m", 9)) == ["m"]) == ("m" in listed)


async def test_a_models_page_has_its_last_use_however_long_ago(store: AnyStore) -> None:
    await end(store, 1, "m", 2000.0)
    for number in range(2, 9):
        await end(store, number, "m", 2000.0 + number, Outcome.NO_CREDITS)
    assert [row.id for row in await store.about(100, "m", 3)] == [8, 7, 6, 1]
    count, listed = await store.models(100, 0, 10)
    assert (count, sorted(row.id for row in listed)) == (1, [1, 8])
    assert await store.about(100, "other", 3) == []


async def test_a_model_goes_from_the_list_with_its_last_reload(store: AnyStore) -> None:
    await end(store, 1, "a", 2000.0)
    await end(store, 2, "a", 3000.0)
    await end(store, 3, "b", 4000.0)
    for before, models, rows in ((2500.0, 2, 2), (3500.0, 1, 1), (4500.0, 0, 0)):
        while await store.expire(before, before):
            pass
        assert ((await store.models(100, 0, 10))[0], len(await store.history(100))) == (models, rows)


async def test_a_model_that_the_api_no_longer_knows_goes_with_the_last_reload_that_it_knew(
    store: AnyStore,
) -> None:
    await end(store, 1, "a", 2000.0)
    await end(store, 2, "a", 3000.0, Outcome.UNKNOWN_MODEL)
    assert {model for model, _ in await store.recent(100, 10)} == {"a"}
    while await store.expire(2500.0, 2500.0):
        pass
    assert ((await store.models(100, 0, 10))[0], await store.recent(100, 10)) == (0, [])


async def test_suggestions_are_of_what_the_api_knows(store: AnyStore) -> None:
    await end(store, 1, "a", 2000.0)
    await end(store, 2, "no-such", 2000.0, Outcome.UNKNOWN_MODEL)
    await store.ask(make(3, model="b"), LIMIT)
    assert await store.recent(100, 10) == [("b", 1003.0), ("a", 1001.0)]
    assert await store.recent(100, 1) == [("b", 1003.0)]


async def test_a_crowded_server_is_trimmed_but_for_what_is_needed(store: AnyStore) -> None:
    await end(store, 1, "warm", 9000.0)
    for number in range(2, 12):
        await end(store, number, "m", 2000.0 + number, Outcome.NO_CREDITS)
    await store.ask(make(12, model="open"), LIMIT)
    assert await store.crowded(12) == []
    assert await store.crowded(4) == [100]
    while await store.trim(100, 4, 1e12, 8000.0):
        pass
    assert [row.id for row in await store.history(100)] == [12, 11, 10, 9, 1]
    assert await store.trim(100, 1, 1011.0, 8000.0) == 2, "what is younger stays"
    assert [row.id for row in await store.history(100)] == [12, 11, 1]


async def test_a_test_image_on_what_ended_long_ago_is_open_then_at_rest_again(open_store: OpenStore) -> None:
    store = await open_store()
    await end(store, 1, "m", 2000.0)
    test = ImageTest(Asker(7, 11, "t"), 5000.0, spoiler=True)
    begun = await store.step(1, {State.ENDED}, State.ENDED, test=test)
    again = await open_store()
    assert await again.open() == [begun]
    shown = replace(test, outcome=Outcome.RENDERED, shown=True)
    done = await again.step(1, {State.ENDED}, State.ENDED, test=shown)
    assert (await again.open(), await again.find(100, 1)) == ([], done)


async def test_a_join_that_is_delivered_again_after_the_end_is_none(open_store: OpenStore) -> None:
    store = await open_store()
    await store.ask(make(1), LIMIT)
    await store.ask(make(2, user=8), LIMIT)
    await store.step(1, {State.ASKED}, State.ANNOUNCING, outcome=Outcome.NOT_SENT, ended_at=1100.0)
    await store.step(1, {State.ANNOUNCING}, State.ENDED)
    assert await store.ask(make(2, user=8), LIMIT) is None
    again = await open_store()
    assert await again.ask(make(2, user=8), LIMIT) is None
    assert await again.ask(make(1), LIMIT) is None, "nor the one that asked first"


def written_by_format_1(folder: Path, rows: Iterable[Reload]) -> None:
    folder.mkdir(exist_ok=True)
    with sqlite3.connect(folder / NAME) as db:
        db.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB)")
        values = [(RELOAD.address(row.id), pack(row)) for row in rows]
        values += [("key:100", pack(KeyRow("sealed", 7, "mod", 1.0))), ("value:format", b"1")]
        values.append(("reload:99999", None))  # deleted, and not swept away
        db.executemany("INSERT INTO kv VALUES (?, ?)", values)
    db.close()


def old(id_: int, **facts: object) -> Reload:
    ended = replace(
        make(id_, model=f"m{id_ % 7}"),
        state=State.ENDED,
        outcome=Outcome.ACCEPTED,
        deadline=2000.0 + id_,
        ended_at=2000.0 + id_,
    )
    return replace(ended, **facts)  # type: ignore[arg-type]


def found(store: EmbeddedStore) -> int:
    """Return how many reloads of the server the index knows."""
    [count] = store._select("SELECT json_array(count(*)) FROM reloads WHERE server = 100")
    return int(count)


async def test_an_old_file_is_upgraded_in_pages_from_where_it_was_killed(tmp_path: Path) -> None:
    rows = [old(n) for n in range(10_000, 13_000)]
    rows[5] = replace(rows[5], state=State.COUNTING, outcome=None, ended_at=None)
    test = ImageTest(Asker(7, 11, "t"), 5000.0, spoiler=True)
    rows[7] = replace(rows[7], test=test)
    written_by_format_1(tmp_path, rows)
    store = EmbeddedStore(tmp_path)
    assert {row.id for row in await store.open()} == {10_005, 10_007}
    assert [row.id for row in await store.history(100, most=2)] == [12_999, 12_998]
    assert await store.find(100, 10_001) == rows[1]
    assert await store.inspect() is not None
    store.close()  # killed: nothing of it is only in memory
    again = EmbeddedStore(tmp_path)
    assert 500 < found(again) < 3000
    await again.forget(101)
    assert await again.ask(make(20_000), LIMIT) is not None
    while await again.inspect() is not None:
        pass
    assert not again._is_upgrading
    assert found(again) == 3001
    assert (await again.models(100, 0, 99))[0] == 8
    assert again.fault == ""
    again.close()


async def test_an_older_version_says_that_the_file_is_newer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_by_format_1(tmp_path, [old(n) for n in range(10_000, 11_000)])
    EmbeddedStore(tmp_path).close()
    monkeypatch.setattr(file, "FORMAT", 1)
    with pytest.raises(StoreUnusable, match="newer version"):
        EmbeddedStore(tmp_path)


async def test_damage_that_a_start_did_not_see_is_found_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "CHECKED_AS_A_WHOLE", 0)
    monkeypatch.setattr(file, "NEWEST_ROWS", 5)
    written_by_format_1(tmp_path, [old(n) for n in range(10_000, 10_100)])
    store = EmbeddedStore(tmp_path)
    while await store.inspect() is not None:
        pass
    assert store.fault == ""
    store.close()
    with sqlite3.connect(tmp_path / NAME) as db:
        broken = orjson.dumps({"id": 10_002, "state": "ended"})
        db.execute("UPDATE kv SET value = ? WHERE key = 'reload:10002'", (broken,))
    db.close()
    again = EmbeddedStore(tmp_path)
    while await again.inspect() is not None:
        pass
    assert "a record that this version can't read" in again.fault
    assert len(await again.history(100)) == 99, "the others are found"
    again.close()


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda row: row[:40],
    "empty": lambda _: b"",
    "not UTF-8": lambda row: row.replace(b'"model":"m', b'"model":"\xff'),
    "zeros": lambda row: row[:40] + bytes(len(row) - 40),
    "another form": lambda _: b"}\n[1]\n{",
}


@pytest.mark.parametrize("how", DAMAGED)
async def test_bytes_that_the_disk_spoiled_hide_no_other_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The index still says what the row said: nothing was written."""
    monkeypatch.setattr(file, "NEWEST_ROWS", 5)
    written_by_format_1(tmp_path, [old(n) for n in range(10_000, 10_100)])
    before = EmbeddedStore(tmp_path)
    while await before.inspect() is not None:
        pass
    before.close()
    with sqlite3.connect(tmp_path / NAME) as db:
        [(trigger,)] = db.execute("SELECT sql FROM sqlite_master WHERE name = 'row_changed'").fetchall()
        [(row,)] = db.execute("SELECT value FROM kv WHERE key = 'reload:10002'").fetchall()
        db.execute("DROP TRIGGER row_changed")
        db.execute("UPDATE kv SET value = ? WHERE key = 'reload:10002'", (DAMAGED[how](row),))
        db.execute(trigger)
    db.close()
    store = EmbeddedStore(tmp_path)
    while await store.inspect() is not None:
        pass
    assert store.fault != ""
    assert len(await store.history(100)) == 99
    assert len(await store.about(100, orjson.loads(row)["model"], 100)) == 13
    assert await store.find(100, 10_002) is None
    faded = 0
    while done := await store.expire(0.0, 9e9):
        faded += done
    assert faded == 99, "what all servers need goes on"
    store.close()


PLANS = {
    "a page of models": (sql.MODELS, (100, ["m"], 10, 0)),
    "how many models": (sql.COUNT_MODELS, (100, ["m"])),
    "one model": (sql.ABOUT, (100, 5, "model-1")),
    "history": (sql.HISTORY, (100, 100)),
    "history of a model": (sql.HISTORY_OF_MODEL, (100, 20, "model-1")),
    "suggestions": (sql.RECENT, (100, 300)),
    "a button": (sql.FIND_OF_SERVER, (100, 5)),
    "about to ask": (sql.ABOUT_TO_ASK, (100, 9e9)),
    "claims": (sql.UNOWNED, (uuid.uuid4(), [], 5000)),
    "news": (sql.NEWS, (uuid.uuid4(),)),
    "ours": (sql.MINE, (uuid.uuid4(),)),
    "what is due": (sql.EXPIRE, (1.0, 500)),
    "what fades": (sql.FADING, (1.0, 2.0, 500)),
    "what is open": (sql.OPEN, ()),
    "what is running": (sql.RUNNING, (100,)),
    "to lock": (sql.LOCK, (uuid.uuid4(), [1, 2])),
    "to claim": (sql.CLAIM, (uuid.uuid4(), [1, 2])),
    "another try": (sql.TRY_AGAIN, (uuid.uuid4(), [100], ["5"])),
    "to hide": (sql.HIDE, (100,)),
    "forgotten": (sql.FORGET_FIRST, (100, 500)),
    "the rest": (sql.FORGET_REST, (100, 10**18, 500)),
    "surplus": (sql.SURPLUS, (100, 1000, 9e9, 9e9, 500)),
    "servers": (sql.SERVERS, (0, 5000)),
    "crowded": (sql.CROWDED, (0, 200, 1000)),
    "an upgrade": (sql.TO_SEE, (10**18, 500)),
}


def test_a_page_of_models_reads_few_rows_of_each(tmp_path: Path) -> None:
    """SQLite's own choice would read all rows of the server for each of its models: minutes."""
    EmbeddedStore(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / NAME)) as opened:
        plan = opened.execute(f"EXPLAIN QUERY PLAN {index.MODELS}", (1, 0, "[]", 10, 0)).fetchall()
    steps = [step for *_, step in plan if step.startswith("SEARCH r ")]
    assert [step.partition("USING ")[2] for step in steps] == [
        "INDEX reloads_of_model (server=? AND model=? AND asked_at>?)"
    ] * 2


OLD, RECENT = 1000.0, 5000.0
QUERIES: dict[str, tuple[str, tuple[object, ...]]] = {
    "some": (index.THESE, ('["reload:10001", "reload:10002"]',)),
    "a page of the file": (index.PAGE, (index.LAST, 20)),
    "the open ones": (index.OPEN, ()),
    "a server's history": (index.HISTORY, (100, 0, 10)),
    "a model's history": (index.HISTORY_OF_MODEL, (100, 0, "model-0", 10)),
    "a model": (index.ABOUT, (100, 0, "model-0", 5)),
    "suggestions": (index.RECENT, (100, 0, 30)),
    "/models": (index.MODELS, (100, 0, "[]", 10, 0)),
    "servers": (index.SERVERS, (0, 50)),
    "due": (index.DUE, (RECENT, 20)),
    "fading": (index.FADING, (OLD, RECENT, 20)),
    "forgotten": (index.NEWEST, (100, 10**9, 20)),
    "the highest": (index.HIGHEST, ()),
    "crowded": (index.CROWDED, (0, 50, 40)),
    "surplus": (index.SURPLUS, (100, 40, RECENT, RECENT, 20)),
    "entered again": (index.ENTER_RANGE, ("reload:10001", "reload:10020")),
}


def filled(rows: int) -> sqlite3.Connection:
    """A store of ten servers with this many reloads each, of one model once; two are open."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB)")
    for statement in index.SCHEMA:
        db.execute(statement)
    for number in range(10 * rows):
        row = make(10_000 + number, model=f"model-{min(number // 10, 1)}", server=100 + number % 10)
        state = State.ANNOUNCING if number < 2 else State.ENDED
        ended = replace(
            row, state=state, outcome=Outcome.ACCEPTED, deadline=OLD + number, ended_at=OLD + number
        )
        db.execute("INSERT INTO kv VALUES (?, ?)", (RELOAD.address(row.id), pack(ended)))
    return db


def steps(db: sqlite3.Connection, query: str, args: tuple[object, ...]) -> int:
    """Return how many instructions of SQLite's machine a query takes."""
    taken = 0

    def step() -> int:
        nonlocal taken
        taken += 1
        return 0

    db.set_progress_handler(step, 1)
    db.execute(query, args).fetchall()
    db.set_progress_handler(None, 1)
    return taken


def test_no_query_takes_longer_for_ten_times_the_rows() -> None:
    small, large = filled(60), filled(600)
    for what, (query, args) in QUERIES.items():
        before, after = steps(small, query, args), steps(large, query, args)
        assert 10 < after <= 1.2 * before, (what, before, after)


async def test_plans_use_an_index_of_their_own(postgres_url: str) -> None:
    """With enough rows that PostgreSQL would read them all only where it must."""
    await (await PostgresStore.connect(postgres_url)).release()
    servers = {100: 6000, **{200 + n: 600 for n in range(20)}}
    await history.fill_database(postgres_url, servers, time.time())
    connection = await asyncpg.connect(postgres_url)
    for what, (query, args) in PLANS.items():
        lines = [line for (line,) in await connection.fetch(f"EXPLAIN {query}", *args)]
        plan = "\n".join(lines)
        assert "Seq Scan on reloads" not in plan, (what, plan)
        assert "Seq Scan on models" not in plan, (what, plan)
    await connection.close()
