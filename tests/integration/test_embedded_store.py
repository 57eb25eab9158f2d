"""The embedded store on a real disk: atomic verbs, nothing lost to kill -9, and damage that is reported."""

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from bot.domain.errors import NoKey, StoreSlow, StoreTrouble, StoreUnusable
from bot.domain.reload import Asker, Outcome, Reload, State
from bot.domain.rows import KeyRow
from bot.store import embedded, turns
from bot.store.blocklist import Blocklist
from bot.store.embedded import EmbeddedStore
from bot.store.file import FORMAT
from bot.store.file import NAME as FILE_NAME
from bot.store.rows import pack
from tests import NOT_TESTED, processes

LIMIT = 5.0


def make(id_: int = 1, user: int = 7, model: str = "sdxl-turbo", server: int = 100) -> Reload:
    return Reload(
        id_, server, model, (Asker(user, 11, f"token-{id_}"),), asked_at=1000.0 + id_, seconds=120.0
    )


async def opened(folder: Path) -> EmbeddedStore:
    """A store whose servers 100 and 101 have a key."""
    store = EmbeddedStore(folder)
    for server in (100, 101):
        await store.set_key(server, KeyRow("sealed", 7, "mod", 1.0))
    return store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    store = await opened(tmp_path)
    yield store
    store.close()


async def on_disk(folder: Path, name: str) -> bytes:
    with sqlite3.connect(folder / FILE_NAME) as db:
        [(value,)] = db.execute("SELECT value FROM kv WHERE key = ?", (name,)).fetchall()
    db.close()
    return bytes(value)


async def test_a_row_of_the_version_before_is_read(tmp_path: Path) -> None:
    """It knows neither who is muted nor a test image."""
    store = await opened(tmp_path)
    await store.ask(make(1), LIMIT)
    store.close()
    row = orjson.loads(await on_disk(tmp_path, "reload:1"))
    del row["muted"], row["test"]
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("UPDATE kv SET value = ? WHERE key = 'reload:1'", (orjson.dumps(row),))
    db.close()
    again = EmbeddedStore(tmp_path)
    assert await again.open() == [make(1)]
    again.close()


async def test_forget_leaves_no_bytes_and_spares_others(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path)
    await store.set_key(100, KeyRow("sealed-canary-of-100", 7, "mod", 1.0))
    await store.set_key(101, KeyRow("sealed-canary-of-101", 7, "mod", 1.0))
    await store.ask(make(1, model="model-canary-of-100"), LIMIT)
    await store.ask(make(2, server=101), LIMIT)
    await store.forget(100)
    on_disk = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"canary-of-100" not in on_disk
    assert b"canary-of-101" in on_disk
    assert await store.history(100) == []
    assert len(await store.history(101)) == 1
    store.close()


@pytest.mark.parametrize("end", ["remove", "replace"])
async def test_key_bytes_are_gone_when_the_call_returns(tmp_path: Path, end: str) -> None:
    store = EmbeddedStore(tmp_path)
    await store.set_key(100, KeyRow("sealed-canary", 7, "mod", 1.0))
    if end == "remove":
        assert await store.remove_key(100)
    else:
        await store.set_key(100, KeyRow("another", 7, "mod", 2.0))
    assert b"sealed-canary" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    store.close()


async def test_key_bytes_that_a_reader_held_go_with_the_next_write(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path)
    await store.set_key(100, KeyRow("sealed-canary", 7, "mod", 1.0))
    store._pragma("busy_timeout=10")
    reader = sqlite3.connect(tmp_path / FILE_NAME)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM kv").fetchone()
    await store.remove_key(100)
    reader.close()
    await store.set_value("any", 1)
    await store.set_value("any", 2)
    assert b"sealed-canary" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    store.close()


async def test_writes_are_synced_to_disk(store: EmbeddedStore) -> None:
    """Sqlitedict sets `synchronous=OFF` when it opens; 2 is FULL."""
    assert store._pragma("synchronous") == (2,)


async def test_files_are_private(tmp_path: Path) -> None:
    store = await opened(tmp_path / "data")
    await store.ask(make(1), LIMIT)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "data").iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    store.close()


async def test_files_of_a_restored_backup_are_made_private(tmp_path: Path) -> None:
    (await opened(tmp_path)).close()
    (tmp_path / FILE_NAME).chmod(0o644)
    EmbeddedStore(tmp_path).close()
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


async def test_what_root_makes_belongs_to_the_folders_owner(tmp_path: Path) -> None:
    """After a restore `forget` made a lock of root's, and the service could not start."""
    if os.geteuid() != 0:
        pytest.skip(f"{NOT_TESTED}files that root makes in the service's folder, for want of root.")
    (await opened(tmp_path)).close()
    (tmp_path / f"{FILE_NAME}.lock").unlink()
    for path in (tmp_path, tmp_path / FILE_NAME):
        os.chown(path, 10001, 10002)
    store = EmbeddedStore(tmp_path)
    await store.ask(make(1), LIMIT)
    Blocklist(tmp_path).add(123456789012345678)
    owners = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in tmp_path.iterdir()}
    store.close()
    assert {FILE_NAME, f"{FILE_NAME}.lock", f"{FILE_NAME}-wal", "blocked"} <= set(owners)
    assert set(owners.values()) == {(10001, 10002)}, owners


async def test_a_file_that_is_there_keeps_its_owner(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip(f"{NOT_TESTED}files that root makes in the service's folder, for want of root.")
    (await opened(tmp_path)).close()
    os.chown(tmp_path, 10001, 10002)
    EmbeddedStore(tmp_path).close()
    assert {path.stat().st_uid for path in tmp_path.iterdir()} == {0}


async def test_a_link_leads_nobody_out_of_the_folder(tmp_path: Path) -> None:
    """Otherwise the service's user could have root make files, or change modes, anywhere."""
    folder, outside = tmp_path / "data", tmp_path / "outside"
    folder.mkdir()
    lock = folder / f"{FILE_NAME}.lock"
    lock.symlink_to(outside)
    with pytest.raises(StoreUnusable, match="can't be opened"):
        EmbeddedStore(folder)
    assert not outside.exists()
    outside.touch(0o644)
    EmbeddedStore(folder).close()
    assert outside.stat().st_mode & 0o777 == 0o644
    part = folder / f"blocked.{os.getpid()}"
    part.symlink_to(outside)
    Blocklist(folder).add(123456789012345678)
    assert outside.read_text() == ""


async def test_second_bot_on_the_same_folder_is_refused(store: EmbeddedStore, tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="in use by another bot"):
        EmbeddedStore(tmp_path)


def spoil_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(4096))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "junk": lambda path: path.write_bytes(b"this is no database" * 500),
    "a page": spoil_page,
    "cut off": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
}


@pytest.mark.parametrize("how", DAMAGE)
async def test_damaged_file_is_refused_and_left_alone(tmp_path: Path, how: str) -> None:
    store = EmbeddedStore(tmp_path)
    for number in range(200):
        await store.set_value(f"name-{number}", "x" * 200)
    store.close()
    path = tmp_path / FILE_NAME
    DAMAGE[how](path)
    before = path.read_bytes()
    with pytest.raises(StoreUnusable, match="damaged"):
        EmbeddedStore(tmp_path)
    assert path.read_bytes() == before


NEWER_STATE = b"""{"id":1,"server":5,"model":"m","askers":[{"user":1,"channel":2,"token":"t"}],"asked_at":1.0,
"seconds":120.0,"state":"confirming"}"""


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (b"\x80\x04pickle", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b"{}", "this version can't read"),
        (b"[1]", "this version can't read"),
        (b'{"id": "x"}', "this version can't read"),
        (NEWER_STATE, "this version can't read"),
    ],
)
async def test_row_that_is_not_ours_is_refused_not_run(tmp_path: Path, row: bytes, why: str) -> None:
    EmbeddedStore(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("INSERT INTO kv VALUES ('reload:1', ?)", (row,))
    db.close()
    with pytest.raises(StoreUnusable, match=why):
        EmbeddedStore(tmp_path)


async def test_locked_file_is_not_called_damaged(tmp_path: Path) -> None:
    """Somebody who follows advice to move a sound file away would lose it."""
    EmbeddedStore(tmp_path).close()
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None, timeout=0)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnusable, match="locked"):
        EmbeddedStore(tmp_path)
    other.close()


async def test_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path)
    await store.set_value("format", FORMAT + 1)
    store.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("INSERT INTO kv VALUES ('reload:1', ?)", (b"\x01of another making",))
    db.close()
    with pytest.raises(StoreUnusable, match="newer version"):
        EmbeddedStore(tmp_path)


async def test_new_store_says_its_format(tmp_path: Path) -> None:
    EmbeddedStore(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        assert db.execute("SELECT value FROM kv WHERE key='value:format'").fetchone() == (b"%d" % FORMAT,)
    db.close()


@pytest.fixture
async def locked(store: EmbeddedStore, tmp_path: Path) -> AsyncIterator[sqlite3.Connection]:
    """Another process holds the file."""
    store._pragma("busy_timeout=100")
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


async def test_locked_file_is_trouble_and_memory_keeps_what_the_disk_has(
    store: EmbeddedStore, locked: sqlite3.Connection
) -> None:
    with pytest.raises(StoreTrouble, match="locked"):
        await store.ask(make(1), LIMIT)
    assert await store.open() == []
    locked.rollback()
    assert await store.ask(make(1), LIMIT) == make(1)


async def test_slow_write_is_said_in_time_and_may_still_land(
    store: EmbeddedStore, locked: sqlite3.Connection
) -> None:
    store._pragma("busy_timeout=5000")
    with pytest.raises(StoreSlow) as slow:
        await store.ask(make(1), 0.05)
    locked.rollback()
    assert await slow.value.landing == make(1)
    assert await store.open() == [make(1)]


async def test_ask_in_the_instant_of_forget_leaves_nothing(store: EmbeddedStore) -> None:
    forgetting = asyncio.create_task(store.forget(100))
    await asyncio.sleep(0)
    with pytest.raises(NoKey):
        await store.ask(make(1), LIMIT)
    await forgetting
    assert await store.history(100) == []


async def test_writes_that_fail_together_leave_nothing_behind(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    """One wants to put, one to delete; the disk takes the one and not the other."""
    await store.ask(make(1), LIMIT)
    pages = store._pragma("page_count")[0]
    store._pragma(f"max_page_count={pages}")  # SQLite's own "database or disk is full"
    results = await asyncio.gather(
        store.set_value("first", 1),  # while it is written, the others wait, and are written together
        store.set_key(102, KeyRow("sealed-canary" * 1000, 7, "mod", 1.0)),
        store.step(1, {State.ASKED}, State.REMOVED),
        return_exceptions=True,
    )
    assert [type(result) for result in results[1:]] == [StoreTrouble, StoreTrouble]
    assert "full" in str(results[1])
    store._pragma("max_page_count=1000000")
    store.close()
    again = EmbeddedStore(tmp_path)
    assert await again.open() == [make(1)]
    assert await again.key(102) is None
    again.close()


async def test_deletion_that_fails_is_none_and_says_so(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.set_key(102, KeyRow("sealed-canary", 7, "mod", 1.0))
    store._db.conn.select_one("CREATE TRIGGER t BEFORE DELETE ON kv BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(StoreTrouble, match="full"):
        await store.remove_key(102)
    store.close()
    again = EmbeddedStore(tmp_path)
    assert await again.key(102) is not None
    again.close()


async def test_what_cannot_be_written_fails_for_all_it_was_to_be_written_with(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    results = await asyncio.gather(
        store.set_value("first", 1),
        store.set_value("no JSON", {1, 2}),
        store.ask(make(2), LIMIT),
        return_exceptions=True,
    )
    assert isinstance(results[2], StoreTrouble)
    store.close()
    again = EmbeddedStore(tmp_path)
    assert await again.open() == []
    again.close()


def fill(folder: Path, rows: int, state: State = State.ENDED) -> None:
    """Store many reloads of server 100, as if somebody else had written them."""
    ended = replace(make(7_654_321), state=state, outcome=Outcome.NOT_SENT, ended_at=2000.0)
    row = pack(ended) or b""  # packed once: a hundred thousand times would cost seconds
    with sqlite3.connect(folder / FILE_NAME) as db:
        values = ((f"reload:{n}", row.replace(b"7654321", b"%d" % n)) for n in range(1, rows + 1))
        db.executemany("INSERT INTO kv VALUES (?,?)", values)
    db.close()


async def test_server_with_a_long_history_is_hidden_by_one_write_and_goes_in_pages(tmp_path: Path) -> None:
    (await opened(tmp_path)).close()
    fill(tmp_path, 3000)
    store = EmbeddedStore(tmp_path)
    assert len(store._memory.reloads) == 0, "what has ended stays on disk"
    assert 0 < await store.forget(100) < 3000
    assert (await store.history(100), await store.recent(100, 9), await store.models(100, 0, 9)) == (
        [],
        [],
        (0, []),
    )
    assert await store.find(100, 5) is None
    await store.set_key(100, KeyRow("sealed", 7, "mod", 1.0))  # invited again
    new = make(9000)
    assert await store.ask(new, LIMIT) == new
    store.close()  # and killed in the middle
    again = EmbeddedStore(tmp_path)
    assert await again.history(100) == [new]
    while await again.sweep():
        pass
    assert await again.history(100) == [new]
    assert again._select("SELECT json_array(count(*)) FROM kv WHERE key LIKE 'reload:%'") == [1]
    assert again._select("SELECT json_array(count(*)) FROM kv WHERE key LIKE 'forgotten:%'") == [0]
    again.close()


async def test_key_that_is_removed_late_is_wiped_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opened(tmp_path)
    await store.set_key(100, KeyRow("sealed-canary", 7, "mod", 1.0))
    monkeypatch.setattr(embedded, "WRITE_TIMEOUT", 0.2)
    store._thread.submit(time.sleep, 0.5)  # the disk is busy for longer than that
    with pytest.raises(StoreSlow):
        await store.remove_key(100)
    await asyncio.wrap_future(store._thread.submit(int))  # whatever was queued has run
    assert b"sealed-canary" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    store.close()


async def test_reader_in_the_way_of_wiping_a_key_delays_nobody_else(
    store: EmbeddedStore, tmp_path: Path
) -> None:
    reader = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM kv").fetchone()
    order: list[str] = []

    async def noting(name: str, call: Awaitable[object]) -> None:
        await call
        order.append(name)

    await asyncio.gather(
        noting("key", store.set_key(102, KeyRow("sealed", 7, "mod", 1.0))),
        noting("key", store.set_key(103, KeyRow("sealed", 7, "mod", 1.0))),
        noting("ask", store.ask(make(1), LIMIT)),
    )
    assert order[0] == "ask"
    reader.close()


async def test_disk_that_cannot_be_written_is_refused_at_start(tmp_path: Path) -> None:
    """Otherwise each start would announce the same endings again, and take on reloads that it can't keep."""
    (await opened(tmp_path)).close()
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnusable, match="locked"):
        EmbeddedStore(tmp_path)
    other.close()


async def test_a_loop_that_was_held_up_is_no_trouble_of_the_disk(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "STEP_TIMEOUT", 0.1)
    looking = asyncio.create_task(store.history(1))
    await asyncio.sleep(0)
    time.sleep(0.3)  # the thread is done by then
    assert await looking == []


async def test_dead_storage_thread_is_trouble_not_a_hang(store: EmbeddedStore) -> None:
    store._db.conn.close(force=True)  # stands for a worker that met a row it cannot decode
    store._db.conn.join(5)
    with pytest.raises(StoreTrouble, match="thread has died"):
        await store.ask(make(1), LIMIT)
    with pytest.raises(StoreTrouble, match="thread has died"):
        await store.set_key(100, KeyRow("sealed", 7, "mod", 1.0))


WRITER = """
import asyncio, sys
from pathlib import Path
from bot.domain.reload import Asker, Reload, State
from bot.domain.rows import KeyRow
from bot.store.blocklist import Blocklist
from bot.store.embedded import EmbeddedStore

async def main() -> None:
    store = EmbeddedStore(Path(sys.argv[1]))
    print("open", flush=True)
    for number in range(1, 100_000):
        await store.set_key(number, KeyRow("sealed", 7, "mod", 1.0))
        asker = Asker(number, 11, f"token-{number}")
        row = Reload(number, number, f"m-{number}", (asker,), asked_at=1000.0 + number, seconds=120.0)
        await store.ask(row, 5)
        await store.step(number, {State.ASKED}, State.CALLING, message=1, called_at=1.0)
        print(number, flush=True)

asyncio.run(main())
"""


async def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    for writes in (1, 40, 150):
        folder, output = tmp_path / str(writes), tmp_path / f"output-{writes}"
        with output.open("wb") as out:
            writing = processes.process(
                *("-c", WRITER, str(folder)), cwd=tmp_path, env={}, stdout=out, stderr=out
            )
            async with asyncio.timeout(60), writing as writer:
                while len(output.read_bytes().splitlines()) <= writes:  # the first one says that it is open
                    await asyncio.sleep(0.01)
                writer.kill()
                await writer.wait()
        acknowledged = int(output.read_bytes().splitlines()[-1])
        store = EmbeddedStore(folder)
        kept = await store.open()
        store.close()
        assert {reload.id for reload in kept if reload.state is State.CALLING} >= set(
            range(1, acknowledged + 1)
        )
        assert len(kept) <= acknowledged + 1
