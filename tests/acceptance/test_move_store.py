"""move-store, check and forget on PostgreSQL, as processes, as a self-hoster who grows runs them."""

import asyncio
import signal
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from bot.domain.reload import Outcome, State
from bot.domain.rows import Event, KeyRow, PaidCall, Watch
from bot.store.embedded import EmbeddedStore
from bot.store.postgres import PostgresStore
from tests.acceptance.test_admin import run
from tests.integration.test_store import LIMIT, make
from tests.wire import Wire

MANY = 1200


async def filled(folder: Path) -> EmbeddedStore:
    """A store with rows of each kind, and more reloads than are copied in one page."""
    store = EmbeddedStore(folder)
    await store.set_key(100, KeyRow("sealed", 7, "a ‘moderator’", 1.0))
    await store.change_settings(100, quiet=True, language="pt-BR")
    await store.set_watch(Watch(100, "a:b/c", 7, 11, used_at=5.0), new=True)
    await store.set_watch(Watch(100, "a:b/c", 8, 12), new=True)
    await store.reserve_call(100, "a call", PaidCall(7, 1.0), None)
    await store.add_event(100, Event("setting", 1.0, 7, "a ‘moderator’", "ping"))
    await store.set_value("commands:1:2", {"digest": "x", "ids": {"reload": 5}})
    await store.ask(make(MANY, model="last"), LIMIT)
    told = {"outcome": Outcome.REFUSED, "ended_at": 1.0, "said": "ü \x00"}
    await store.step(MANY, {State.ASKED}, State.ANNOUNCING, **told)  # type: ignore[arg-type]  # a plain dict
    store._memory.begin()
    for number in range(1, MANY):
        store._memory.change(f"reload:{number}", make(number, model=f"m{number}"))
    store._write()
    return store


@pytest.fixture
async def moving(wire: Wire, postgres_url: str) -> Wire:
    wire.environment["STORE_URL"] = postgres_url
    (await filled(wire.folder / "data")).close()
    return wire


async def test_everything_arrives_and_open_ones_go_on(moving: Wire, postgres_url: str) -> None:
    said = await run(moving, "move-store")
    assert (said.status, said.err) == (0, ""), said.err
    assert f"{MANY + 6} rows" in said.out
    before = EmbeddedStore(moving.folder / "data")
    after = await PostgresStore.connect(postgres_url)
    assert {key async for key in after.all_keys()} == {key async for key in before.all_keys()}
    assert {watch async for watch in after.all_watches()} == {watch async for watch in before.all_watches()}
    assert await after.servers() == await before.servers()
    assert await after.settings(100) == await before.settings(100)
    assert await after.paid_calls(100) == await before.paid_calls(100) == [PaidCall(7, 1.0)]
    [event] = await before.events(100)
    assert await after.events(100) == [event]
    assert await after.value("commands:1:2") == await before.value("commands:1:2")
    assert await after.value("format") is None, "of the file alone"
    assert await after.history(100) == await before.history(100)
    assert len((await after.news()).taken) == MANY
    await after.release()
    before.close()


async def test_again_is_the_same_and_after_a_kill_it_goes_on(moving: Wire, postgres_url: str) -> None:
    async with moving.process("-m", "bot", "move-store") as process:
        watcher = await asyncpg.connect(postgres_url)
        async with asyncio.timeout(30):
            while process.returncode is None:
                try:
                    if await watcher.fetchval("SELECT count(*) FROM reloads"):
                        process.send_signal(signal.SIGKILL)
                        await process.wait()
                except asyncpg.UndefinedTableError:
                    pass
    for _ in range(2):
        said = await run(moving, "move-store")
        assert said.status == 0, said.err
    assert await watcher.fetchval("SELECT count(*) FROM reloads") == MANY
    await watcher.close()


async def test_ctrl_c_says_that_it_can_be_begun_again(moving: Wire, postgres_url: str) -> None:
    holder = await asyncpg.connect(postgres_url)
    lock = holder.transaction()
    await lock.start()
    await holder.execute("CREATE TABLE replicas ()")  # its migration waits for this
    watcher = await asyncpg.connect(postgres_url)
    moving.forked = False
    async with asyncio.timeout(30), moving.process("-m", "bot", "move-store") as process:
        while not await watcher.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
    assert moving.output.read_text() == "Stopped. Run it again to continue.\n"
    moving.forked = True
    await lock.rollback()
    for connection in holder, watcher:
        await connection.close()
    assert (await run(moving, "move-store")).status == 0


async def test_a_database_that_holds_something_else_is_left_alone(moving: Wire, postgres_url: str) -> None:
    store = await PostgresStore.connect(postgres_url)
    await store.set_key(100, KeyRow("another", 7, "mod", 1.0))
    await store.release()
    said = await run(moving, "move-store")
    assert said.status != 0
    assert "STORE_URL: the database's key:100" in said.err
    store = await PostgresStore.connect(postgres_url)
    assert await store.key(100) == KeyRow("another", 7, "mod", 1.0)
    assert await store.servers() == {100}
    assert await store.history(100) == [], "nothing was copied before it was refused"
    await store.release()


@pytest.mark.parametrize("which", ["file", "database"])
async def test_with_a_bot_running_nothing_is_moved(moving: Wire, postgres_url: str, which: str) -> None:
    store = (
        EmbeddedStore(moving.folder / "data")
        if which == "file"
        else await PostgresStore.connect(postgres_url)
    )
    said = await run(moving, "move-store")
    assert said.status != 0
    assert ("in use by another bot" if which == "file" else "a bot is using the database") in said.err
    await store.release()
    store.close()


async def test_without_a_place_to_go_or_anything_to_move(wire: Wire, postgres_url: str) -> None:
    assert "STORE_URL is empty" in (await run(wire, "move-store")).err
    assert "doesn't exist" in (await run(wire, "move-store", STORE_URL=postgres_url)).err


async def test_a_bot_goes_on_where_the_file_left_off(wire: Wire, postgres_url: str) -> None:
    wire.environment["RELOAD_SECONDS"] = "8"
    async with wire.process():
        await wire.set_key()
        asked = await wire.reload()
        await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
    wire.environment["STORE_URL"] = postgres_url
    assert (await run(wire, "move-store")).status == 0
    said = await run(wire, "check")
    assert "1 reloads, 1 keys" in said.line("store"), said.out
    async with wire.process():
        await wire.server.wait_for(wire.pings, 30)
        assert wire.reply(asked).text.startswith("**Ready**")
        assert len(wire.api.calls) == 1
        said = await run(wire, "servers")
        assert f"{wire.guild.id}" in said.out
        assert "key  A server" in said.out
    assert "pg_dump" in (await run(wire, "backup", "copy")).err
    said = await run(wire, "forget", str(wire.guild.id))
    assert "1 reloads, a key" in said.out, said.err
    assert "0 reloads, 0 keys" in (await run(wire, "check")).line("store")


async def test_check_says_what_is_wrong_with_a_database(wire: Wire, postgres_url: str) -> None:
    said = await run(wire, "check", STORE_URL=postgres_url)
    assert "the first start creates them" in said.line("store")
    said = await run(wire, "check", STORE_URL="postgresql://rewarm:canary@127.0.0.1:1/x")
    assert said.line("store").startswith("✗ store: the database can't be used")
    assert "canary" not in said.out + said.err
    said = await run(wire, STORE_URL="postgresql://rewarm:canary@127.0.0.1:1/x")
    assert said.err.startswith("STORE_URL: the database can't be used")
    assert "nothing is listening there" in said.err
    assert said.status == 1, "it may come back: a supervisor tries again"
    absent = urlsplit(postgres_url)._replace(path="/absent").geturl()
    said = await run(wire, STORE_URL=absent)
    assert "there is no database of this name" in said.err
    assert said.status == 2, "a person is needed"


@pytest.mark.parametrize("password", ["can℀ary", "can[ary", "can#ary", "can/ary", "can@ary"])
async def test_a_password_that_must_be_written_otherwise_is_not_shown(wire: Wire, password: str) -> None:
    for command in ((), ("check",), ("move-store",)):
        said = await run(wire, *command, STORE_URL=f"postgresql://rewarm:{password}@127.0.0.1:1/x")
        assert "STORE_URL isn't a URL" in said.out + said.err
        assert "percent-encoded" in said.out + said.err
        assert "ary" not in said.out + said.err
        assert "Traceback" not in said.err


async def test_a_file_that_was_not_moved_is_spoken_of(moving: Wire) -> None:
    said = await run(moving, "check")
    assert "To keep using data's rows, run move-store" in said.line("store")
    async with moving.process():
        await moving.logged("store.begun_anew")


async def test_names_that_a_database_cannot_hold_are_found_out_at_start(
    wire: Wire, postgres_server: str
) -> None:
    admin = await asyncpg.connect(postgres_server)
    await admin.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    try:
        said = await run(wire, STORE_URL=urlsplit(postgres_server)._replace(path="/latin").geturl())
        assert "ENCODING 'UTF8'" in said.err
        assert said.status == 2
    finally:
        await admin.execute("DROP DATABASE latin WITH (FORCE)")
        await admin.close()


async def test_check_finds_what_a_start_would_be_refused(wire: Wire, postgres_url: str) -> None:
    name = urlsplit(postgres_url).path.lstrip("/")
    admin = await asyncpg.connect(postgres_url)
    await admin.execute("CREATE ROLE guest LOGIN")
    try:
        place = urlsplit(postgres_url)
        guest = place._replace(netloc=f"guest@{place.netloc.rpartition('@')[2]}").geturl()
        for command in ((), ("check",)):
            said = await run(wire, *command, STORE_URL=guest)
            assert "this user can't create tables there" in said.out + said.err
        await admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        for command in ((), ("check",)):
            said = await run(wire, *command, STORE_URL=postgres_url)
            assert "it is read-only" in said.out + said.err
        assert await admin.fetch("SELECT FROM pg_tables WHERE schemaname = 'public'") == []
    finally:
        await admin.execute("DROP ROLE guest")
        await admin.close()
