"""The store's file is deleted, moved, replaced or cut off while a bot has it open."""

import asyncio
import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.errors import StoreTrouble, StoreUnusable
from bot.domain.reload import State
from bot.domain.rows import KeyRow
from bot.store import turns
from bot.store.embedded import EmbeddedStore
from bot.store.file import NAME
from tests.integration.test_embedded_store import LIMIT, make, opened

NEW = KeyRow("sealed again", 7, "mod", 2.0)


def delete_all(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


GONE: dict[str, Callable[[Path], object]] = {
    "deleted": lambda folder: (folder / NAME).unlink(),
    "moved": lambda folder: (folder / NAME).rename(folder / "elsewhere"),
    "all of it": delete_all,
    "with its folder": shutil.rmtree,
}


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def store(folder: Path) -> EmbeddedStore:
    """Each test closes it."""
    store = await opened(folder)
    await store.ask(make(1), LIMIT)
    return store


@pytest.mark.parametrize("how", GONE)
async def test_file_that_is_gone_is_put_back_before_anything_is_confirmed(
    store: EmbeddedStore, folder: Path, how: str
) -> None:
    GONE[how](folder)
    await store.set_key(102, NEW)
    assert "a copy was put back" in store.fault
    assert await store.step(1, {State.ASKED}, State.CALLING, message=5) is not None
    assert (folder / NAME).stat().st_mode & 0o777 == 0o600
    store.close()
    again = EmbeddedStore(folder)
    assert ([row.state for row in await again.open()], await again.key(102)) == ([State.CALLING], NEW)
    again.close()


async def test_it_is_noticed_while_nothing_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "GUARD_INTERVAL", 0.05)
    store = await opened(folder)
    (folder / NAME).unlink()
    async with asyncio.timeout(10):
        while not (folder / NAME).exists() or not store.fault:
            await asyncio.sleep(0.01)
    store.close()
    again = EmbeddedStore(folder)
    assert await again.key(101) is not None
    again.close()


def copy_over(folder: Path, backup: Path) -> None:
    """Copy as `cp` does: the same file with other bytes."""
    (folder / NAME).write_bytes(backup.read_bytes())


def rename_over(folder: Path, backup: Path) -> None:
    shutil.copy(backup, folder / "new")
    (folder / "new").replace(folder / NAME)


REPLACED: dict[str, Callable[[Path, Path], object]] = {"renamed over": rename_over, "copied over": copy_over}
LOOK = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
[(state,)] = db.execute("PRAGMA quick_check").fetchall()
[(count,)] = db.execute("SELECT count(*) FROM kv WHERE key = 'key:200'").fetchall()
print(state, count)
"""
"""In a process of its own, as a restart is: in this one SQLite still shares what it knew of that file."""


@pytest.fixture
async def backup(folder: Path, tmp_path: Path) -> Path:
    """Of a store that had another key; larger than the one that runs."""
    store = await opened(tmp_path / "before")
    await store.set_key(200, NEW)
    for number in range(50):
        await store.set_value(f"name-{number}", "x" * 1000)
    store.close()
    return tmp_path / "before" / NAME


@pytest.mark.parametrize("how", REPLACED)
async def test_file_that_was_replaced_is_left_as_it_is(
    store: EmbeddedStore, folder: Path, backup: Path, how: str
) -> None:
    REPLACED[how](folder, backup)
    for _ in range(2):
        with pytest.raises(StoreTrouble, match="replaced or cut off"):
            await store.set_key(102, NEW)
        with pytest.raises(StoreTrouble, match="replaced or cut off"):
            await store.history(100)
    assert "stop the bot" in store.fault
    assert [row.id for row in await store.open()] == [1], "what runs is known, to be shown"
    assert await store.key(102) is None
    store.close()
    assert (folder / NAME).read_bytes() == backup.read_bytes()
    looking = subprocess.run([sys.executable, "-c", LOOK, folder / NAME], stdout=subprocess.PIPE, check=True)
    assert looking.stdout == b"ok 1\n"


async def test_file_that_was_cut_off_gets_nothing_more(store: EmbeddedStore, folder: Path) -> None:
    await store.ask(make(2, model="other"), LIMIT)
    (folder / NAME).write_bytes(b"")
    with pytest.raises(StoreTrouble, match="cut off"):
        await store.set_key(102, NEW)
    store.close()
    assert (folder / NAME).read_bytes() == b""


async def test_a_file_that_is_tidied_or_opened_next_to_a_reader_is_ours(
    store: EmbeddedStore, folder: Path
) -> None:
    for number in range(300):
        await store.set_value(f"name-{number}", "x" * 1000)
    for number in range(300):
        await store.set_value(f"name-{number}", "")
    reader = sqlite3.connect(folder / NAME, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM kv").fetchone()
    store.close()
    again = EmbeddedStore(folder)
    await again.set_key(102, NEW)
    reader.execute("COMMIT")
    size = (folder / NAME).stat().st_size
    reader.execute("VACUUM")
    reader.close()
    for number in range(3):
        await again.set_key(102, replace(NEW, at=float(number)))
    assert (folder / NAME).stat().st_size < size
    assert again.fault == ""
    again.close()


def behind_a_link(folder: Path) -> None:
    (folder / NAME).rename(folder / "elsewhere")
    (folder / NAME).symlink_to(folder / "elsewhere")


def helpers_deleted(*suffixes: str) -> Callable[[Path], None]:
    def delete(folder: Path) -> None:
        for suffix in suffixes:
            (folder / f"{NAME}{suffix}").unlink()

    return delete


def wal_made_again(folder: Path) -> None:
    """As SQLite's shell does once it is gone."""
    helpers_deleted("-wal")(folder)
    (folder / f"{NAME}-wal").touch()


APART: dict[str, Callable[[Path], object]] = {
    "no log": helpers_deleted("-wal"),
    "no index of it": helpers_deleted("-shm"),
    "neither": helpers_deleted("-wal", "-shm"),
    "another log": wal_made_again,
    "behind a link": behind_a_link,
}


async def found_after_kill(folder: Path, elsewhere: Path, *names: str) -> list[object]:
    """Return values that a restart would find if the bot were killed now."""
    elsewhere.mkdir()
    real = (folder / NAME).resolve()
    for suffix in ("", "-wal"):
        if (found := real.with_name(real.name + suffix)).exists():
            shutil.copy(found, elsewhere / f"{NAME}{suffix}")
    again = EmbeddedStore(elsewhere)
    values = [await again.value(name) for name in names]
    again.close()
    return values


@pytest.mark.parametrize("how", APART)
async def test_what_is_confirmed_is_where_a_restart_looks_for_it(
    store: EmbeddedStore, folder: Path, tmp_path: Path, how: str
) -> None:
    await store.set_value("before", 1)
    APART[how](folder)
    await store.set_value("after", 2)
    assert "see who does that" in store.fault
    assert await found_after_kill(folder, tmp_path / "first", "before", "after") == [1, 2]
    await store.set_value("later", 3)
    assert await found_after_kill(folder, tmp_path / "second", "before", "after", "later") == [1, 2, 3]
    store.close()
    assert await found_after_kill(folder, tmp_path / "third", "before", "after", "later") == [1, 2, 3]


async def test_a_log_that_somebody_put_there_is_left_alone(store: EmbeddedStore, folder: Path) -> None:
    """A backup is restored, file by file."""
    log = folder / f"{NAME}-wal"
    log.unlink()
    log.write_bytes(b"of a backup")
    with pytest.raises(StoreTrouble, match="replaced"):
        await store.set_value("after", 2)
    store.close()
    assert log.read_bytes() == b"of a backup"


@pytest.mark.parametrize("left", [0, 100, -1])
async def test_where_the_log_was_cut_off_nothing_more_is_confirmed(
    store: EmbeddedStore, folder: Path, left: int
) -> None:
    """A restart reads it up to there, and nothing that comes after."""
    await store.set_value("before", 1)
    log = folder / f"{NAME}-wal"
    os.truncate(log, left % log.stat().st_size)
    for _ in range(2):
        with pytest.raises(StoreTrouble, match="-wal was replaced or cut off"):
            await store.set_value("after", 2)
    store.close()
    assert log.exists()


async def test_a_log_that_sqlite_has_emptied_or_begun_again_is_whole(
    store: EmbeddedStore, folder: Path
) -> None:
    for number in range(600):  # pages, so that it is written to the file, and begun again, by itself
        await store.set_value("name", f"{number}" * 2000)
        if number % 200 == 0:
            with sqlite3.connect(folder / NAME) as db:
                assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
            db.close()
    assert store.fault == ""
    store.close()


async def test_a_lock_that_was_deleted_is_made_again(store: EmbeddedStore, folder: Path) -> None:
    (folder / f"{NAME}.lock").unlink()
    await store.set_value("after", 2)
    with pytest.raises(StoreUnusable, match="in use by another bot"):
        EmbeddedStore(folder)
    store.close()
    EmbeddedStore(folder).close()


async def test_where_a_deleted_lock_has_let_a_second_bot_in_the_first_steps_back(
    store: EmbeddedStore, folder: Path
) -> None:
    (folder / f"{NAME}.lock").unlink()
    second = EmbeddedStore(folder)
    with pytest.raises(StoreTrouble, match="another bot"):
        await store.set_value("first", 1)
    assert "stop one of them" in store.fault
    await second.set_value("second", 2)
    assert (second.fault, await second.value("first")) == ("", None)
    store.close()
    second.close()


def link_to_nowhere(folder: Path) -> None:
    (folder / NAME).unlink()
    (folder / NAME).symlink_to(folder / "unmounted")


@pytest.mark.parametrize("how", ["a disk that fails", "a link to nowhere"])
async def test_a_copy_that_cannot_get_its_name_is_kept_and_named(
    store: EmbeddedStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It is all that is left."""
    await store.set_value("before", 1)
    if how == "a link to nowhere":
        link_to_nowhere(folder)
    else:
        (folder / NAME).unlink()
        monkeypatch.setattr(Path, "replace", failing)
    for _ in range(3):
        with pytest.raises(StoreTrouble, match="its copy"):
            await store.set_value("after", 2)
    monkeypatch.undo()
    assert f"{NAME}.copy" in store.fault
    store.close()
    (tmp_path / "again").mkdir()
    (folder / f"{NAME}.copy").rename(tmp_path / "again" / NAME)
    again = EmbeddedStore(tmp_path / "again")
    assert (await again.value("before"), await again.value("after")) == (1, None)
    again.close()


def failing(*_: object) -> None:
    raise OSError(errno.EIO, "Input/output error")


async def test_a_folder_that_cannot_take_the_copy_is_said_and_tried_again(
    store: EmbeddedStore, folder: Path
) -> None:
    folder.rename(folder.with_name("moved"))
    folder.touch()
    with pytest.raises(StoreTrouble):
        await store.set_value("after", 2)
    assert "can't be put back: [Errno 20] Not a directory" in store.fault
    folder.unlink()
    await store.set_value("after", 3)
    assert "a copy was put back" in store.fault
    store.close()
    again = EmbeddedStore(folder)
    assert await again.value("after") == 3
    again.close()


async def test_where_another_bot_has_begun_nothing_is_put_back(store: EmbeddedStore, folder: Path) -> None:
    delete_all(folder)
    other = EmbeddedStore(folder)
    await other.set_key(200, NEW)
    with pytest.raises(StoreTrouble):
        await store.set_key(102, NEW)
    await other.set_key(201, NEW)
    store.close()
    other.close()
    db = sqlite3.connect(folder / NAME)
    found = {key for (key,) in db.execute("SELECT key FROM kv WHERE key LIKE 'key:%'")}
    db.close()
    assert found == {"key:200", "key:201"}
