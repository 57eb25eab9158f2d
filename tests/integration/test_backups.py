"""Backups by date: the new one is good before an old one goes, and nobody else's file is touched."""

import shutil
import sqlite3
import stat
import threading
import time
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import pytest

from bot.admin.backups import back_up
from bot.admin.store import backup
from bot.domain.errors import StoreUnusable
from bot.domain.rows import KeyRow
from bot.store.embedded import EmbeddedStore
from bot.store.file import NAME
from tests import ROOT
from tests.benchmarks import history, places

DAY = date(2026, 11, 29)
SERVER = 123456789012345678


def days(folder: Path) -> list[str]:
    return sorted(path.stem[-5:] for path in folder.iterdir() if path.suffix == ".db")


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder


async def made(folder: Path) -> Path:
    """A store with a key in it, closed."""
    store = EmbeddedStore(folder)
    await store.set_key(SERVER, KeyRow("sealed", 1, "mod", 0.0))
    store.close()
    return folder


async def test_the_newest_of_this_store_are_kept(tmp_path: Path, into: Path) -> None:
    data, other = await made(tmp_path / "data"), await made(tmp_path / "other")
    back_up(other, into, 1, DAY - timedelta(days=50))
    [of_other] = into.iterdir()
    ours = back_up(data, into, 3, DAY).path
    first = f"{ours.name[:-5]}01"
    nearly = (f"my-{first}.db", f"{first}.db.old", f"{first}-db", f"{first}.db.0123abcd.parts")
    words = (f"{ours.name[:15]}-latest.db", f"{ours.name[:20]}-first.db")
    strangers = ("rewarm.db", *words, *nearly)
    for name in strangers:
        (into / name).write_text("mine")
    linked = into / ours.name.replace("2026", "2020")
    linked.symlink_to(into / "rewarm.db")
    for day in (1, 2, 2, 3, 4):
        last = back_up(data, into, 3, DAY + timedelta(days=day))
    assert last.removed == 1
    kept = {f"{ours.name[:-13]}2026-12-0{day}.db" for day in (1, 2, 3)}
    assert {path.name for path in into.iterdir()} == {of_other.name, linked.name, *strangers, *kept}
    assert {stat.S_IMODE((into / name).stat().st_mode) for name in kept} == {0o600}


async def test_a_clock_that_went_back_does_not_cost_the_new_copy(tmp_path: Path, into: Path) -> None:
    data = await made(tmp_path / "data")
    for day in range(3):
        back_up(data, into, 3, DAY + timedelta(days=day))
    assert back_up(data, into, 3, date(1970, 1, 1)).path.exists()
    assert days(into) == ["01-01", "11-30", "12-01"]


@pytest.mark.parametrize("how", ["damaged", "of an older version", "gone"])
async def test_where_the_copy_fails_nothing_is_removed(tmp_path: Path, into: Path, how: str) -> None:
    data = await made(tmp_path / "data")
    for day in range(3):
        back_up(data, into, 3, DAY + timedelta(days=day))
    if how == "damaged":
        content = bytearray((data / NAME).read_bytes())
        content[4096:] = bytes(len(content) - 4096)
        (data / NAME).write_bytes(content)
    elif how == "gone":
        (data / NAME).unlink()
    else:
        shutil.copy(ROOT / "tests" / "written_by_0_1_0" / "rewarm.db", data / NAME)
    with pytest.raises(StoreUnusable):
        back_up(data, into, 1, DAY + timedelta(days=3))
    assert days(into) == ["11-29", "11-30", "12-01"]
    assert len(list(into.iterdir())) == 3


async def test_what_a_killed_backup_left_goes_on_another_day(tmp_path: Path, into: Path) -> None:
    data = await made(tmp_path / "data")
    name = back_up(data, into, 3, DAY).path.name
    for left in (f"{name}.0123abcd.part", f"{name}.0123abcd.part-journal"):
        (into / left).write_text("half")
    back_up(data, into, 3, DAY)
    assert len(list(into.iterdir())) == 3, "today's may be of one that runs"
    assert back_up(data, into, 3, DAY + timedelta(days=1)).removed == 0
    assert len(list(into.iterdir())) == 2


async def test_a_store_keeps_its_id_also_when_it_is_restored(tmp_path: Path, into: Path) -> None:
    data = await made(tmp_path / "data")
    first = back_up(data, into, 7, DAY).path
    (data / NAME).write_bytes(first.read_bytes())
    await made(data)
    assert back_up(data, into, 7, DAY + timedelta(days=1)).path.name[:-13] == first.name[:-13]
    with closing(sqlite3.connect(first)) as copy:
        assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_backup_is_of_one_moment_however_much_the_bot_writes(tmp_path: Path) -> None:
    """It consists of many parts, and something is written between each two."""
    server, written = places.server(1), 0
    history.fill_file(tmp_path, {server: 10_000}, time.time())
    with closing(sqlite3.connect(tmp_path / NAME, isolation_level=None)) as bot:
        bot.execute("PRAGMA journal_mode=WAL")
        stop, until = threading.Event(), time.monotonic() + 10

        def keep_writing() -> None:
            nonlocal written
            with closing(sqlite3.connect(tmp_path / NAME, isolation_level=None)) as writer:
                while not stop.wait(0.001) and time.monotonic() < until:
                    for name in ("one", "other"):
                        writer.execute("REPLACE INTO kv VALUES (?, ?)", (f"value:{name}", b"%d" % written))
                    written += 1

        writing = threading.Thread(target=keep_writing)
        writing.start()
        try:
            while not written:
                time.sleep(0.001)
            before = written
            backup(tmp_path, tmp_path / "copy")
            assert written > before + 3, "it was written in the meantime"
        finally:
            stop.set()
            writing.join()
    with closing(sqlite3.connect(tmp_path / "copy")) as copy:
        found = [int(row[0]) for row in copy.execute("SELECT value FROM kv WHERE key LIKE 'value:o%'")]
    assert max(found) <= before + 1, "as it was when the backup began"
    assert max(found) - min(found) <= 1
