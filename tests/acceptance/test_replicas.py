"""Two bots as processes, each with a shard, on one PostgreSQL: killed, stopped, stalled, cut off."""

import asyncio
import contextlib
import itertools
import os
import re
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from aiohttp import web

from bot.store.lease import LEASE_TIMEOUT
from bot.store.schema import transaction
from tests import postgres
from tests.processes import Started
from tests.stand_ins.discord import DiscordServer, Guild, Interaction, Message
from tests.stand_ins.model_api import ACCEPTED, Answer, ModelApiServer
from tests.wire import Wire
from tests.world import CANARY

TAKEN_OVER_SECONDS = 5.0
COUNTDOWN_SECONDS = 8
"""Seconds that leave time for another replica to take over halfway."""
AWAY_SECONDS = float(os.environ.get("AWAY", "9"))
"""Seconds for which the database is away at least; `make crowd` uses a minute."""


class Line:
    """One replica's way to the database. When it is cut, nothing gets through and nothing is refused."""

    _SOCKET = ".s.PGSQL.5432"

    def __init__(self, server: postgres.Server, delay: float = 0.0) -> None:
        self._delay = delay
        self._socket = server.folder / self._SOCKET
        self._writers: set[asyncio.StreamWriter] = set()
        self._database = server.database
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    async def listen(self) -> asyncio.Server:
        listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"postgresql://rewarm@127.0.0.1:{listener.sockets[0].getsockname()[1]}/{self._database}"
        return listener

    def cut(self) -> None:
        self._open.clear()

    def restore(self) -> None:
        self._open.set()

    def lead_to(self, server: postgres.Server) -> None:
        """Break connections; new ones lead to another server."""
        self._socket = server.folder / self._SOCKET
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        there, back = await asyncio.open_unix_connection(self._socket)
        self._writers |= {writer, back}
        await asyncio.gather(self._pass(reader, back), self._pass(there, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._open.wait()
                await asyncio.sleep(self._delay)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # the other side has hung up
        finally:
            writer.close()


@pytest.fixture
def database(postgres_to_stop: postgres.Server) -> postgres.Server:
    return postgres_to_stop


@pytest.fixture
async def wire(api: ModelApiServer, tmp_path: Path, database: postgres.Server) -> AsyncIterator[Wire]:
    """Two shards and two servers: the usual one, and `other` on the other shard."""
    async with DiscordServer(shards=2) as server:
        wire = Wire(server, api, tmp_path)
        wire.environment |= {"STORE_URL": database.url(), "SHARD_COUNT": "2"}
        wire.environment["RELOAD_SECONDS"] = str(COUNTDOWN_SECONDS)
        yield wire


def shard_of(guild: Guild) -> int:
    return (guild.id >> 22) % 2


@asynccontextmanager
async def both(wire: Wire, **of_first: str) -> AsyncIterator[tuple[Started, Started]]:
    """Return the replica that has the server's shard, and the other one."""
    mine = shard_of(wire.guild)
    async with AsyncExitStack() as stack:
        folders = {"first": str(wire.folder / "first"), "other": str(wire.folder / "other")}
        other = await stack.enter_async_context(
            wire.process(SHARD_IDS=str(1 - mine), DATA_DIR=folders["other"])
        )
        # One after another: a lease must begin within 2.5 s, even over a slow line on a busy machine.
        await wire.server.wait_for(lambda: len(wire.server.identifies) == 1, 30)
        first = await stack.enter_async_context(
            wire.process(SHARD_IDS=str(mine), DATA_DIR=folders["first"], **of_first)
        )
        await wire.server.wait_for(lambda: len(wire.server.identifies) == 2, 30)
        await wire.set_key()
        yield first, other


async def counting(wire: Wire, model: str = "sdxl-turbo") -> Interaction:
    asked = await wire.reload(model=model)
    await wire.server.wait_for(lambda: "left" in wire.reply(asked).text, 10)
    return asked


def edits(wire: Wire, asked: Interaction) -> list[float]:
    """Return when the reply changed."""
    return [at for at, _ in wire.reply(asked).history]


async def rows(database: postgres.Server, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(database.url())
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()


async def no_more(database: postgres.Server, query: str) -> None:
    """Wait until a query finds nothing."""
    connection = await asyncpg.connect(database.url())
    try:
        async with asyncio.timeout(15):
            while await connection.fetch(query):
                await asyncio.sleep(0.1)
    finally:
        await connection.close()


async def settled(wire: Wire, database: postgres.Server, count: int = 1) -> None:
    """Everything has ended and been pinged once, and nothing Discord would refuse was sent."""
    await wire.server.wait_for(lambda: len(wire.pings()) >= count, 20)
    await no_more(database, "SELECT id FROM reloads WHERE is_open")
    assert len(wire.pings()) == count
    assert wire.server.violations == []


async def learnt(wire: Wire) -> None:
    """Wait until the replica that was cut off knows that the reload is another's: by a look, or by a step."""
    either = re.compile(r"lost=1|reload\.taken")
    await wire.server.wait_for(lambda: either.search(wire.output.read_text()), 30, "lost, in the log")


async def test_a_killed_replicas_countdown_goes_on_and_ends_in_time(
    wire: Wire, database: postgres.Server
) -> None:
    async with both(wire) as (first, _):
        asked = await counting(wire)
        due = wire.api.calls[0].at + COUNTDOWN_SECONDS
        first.kill()
        killed = time.monotonic()
        await wire.logged("reloads.shared")
        assert time.monotonic() - killed < TAKEN_OVER_SECONDS
        await settled(wire, database)
    assert wire.reply(asked).text.startswith("**Ready**")
    assert edits(wire, asked)[-1] - due < 1
    assert len(wire.api.calls) == 1
    assert [r.route for r in wire.server.requests].count("/applications/{app}/commands") <= 2


async def test_a_replica_that_stops_hands_over_at_once(wire: Wire, database: postgres.Server) -> None:
    wire.forked = False
    async with both(wire) as (first, _):
        asked = await counting(wire)
        first.terminate()
        stopped = time.monotonic()
        await first.wait()
        await wire.logged("reloads.shared")
        assert time.monotonic() - stopped < LEASE_TIMEOUT
        await settled(wire, database)
    assert wire.reply(asked).text.startswith("**Ready**")
    assert len(wire.api.calls) == 1


async def rendering(wire: Wire, database: postgres.Server) -> Message:
    """A reply that is Ready, and whose test image has been requested."""
    asked = await wire.reload()
    await settled(wire, database)
    message = wire.reply(asked)
    form = await wire.server.press(wire.ben, message, "Test image")
    await wire.server.submit_modal(form, {"prompt": "a harbour"})
    await wire.server.wait_for(lambda: wire.api.render_calls, 10)
    return message


async def test_a_test_image_that_a_killed_replica_was_making_is_ended_by_another(
    wire: Wire, database: postgres.Server
) -> None:
    wire.environment["RELOAD_SECONDS"] = "1"
    wire.api.renders = [Answer(handler=late)]
    async with both(wire) as (first, _):
        message = await rendering(wire, database)
        first.kill()
        await wire.server.wait_for(lambda: "the bot was interrupted" in message.text, 15)
    assert message.text.startswith("**Ready**")
    assert len(wire.api.render_calls) == 1


async def soon(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(2)
    return web.json_response(ACCEPTED)


async def late(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(20)
    return web.json_response({"status": "success"})


async def test_what_was_in_mid_call_ends_as_unknown_and_is_not_called_again(
    wire: Wire, database: postgres.Server
) -> None:
    wire.api.reloads = [Answer(handler=late)]
    async with both(wire) as (first, _):
        asked = await wire.reload()
        await wire.server.wait_for(lambda: wire.api.calls, 10)
        first.kill()
        await wire.server.wait_for(lambda: "Unclear" in wire.reply(asked).text, 15)
    assert len(wire.api.calls) == 1


async def test_one_that_stalled_shows_nothing_when_it_wakes_up(wire: Wire, database: postgres.Server) -> None:
    wire.environment["RELOAD_SECONDS"] = "12"  # some edits are left once it wakes up
    async with both(wire) as (first, _):
        asked = await counting(wire)
        first.send_signal(signal.SIGSTOP)
        await wire.logged("reloads.shared")
        first.send_signal(signal.SIGCONT)
        await wire.logged("lost=1")
        await settled(wire, database)
        assert first.returncode is None
    times = edits(wire, asked)
    assert min(b - a for a, b in itertools.pairwise(times[3:])) > 1, "one shows it, not two"
    assert wire.reply(asked).text.startswith("**Ready**")


async def test_with_the_database_away_countdowns_end_in_time_and_nothing_is_lost(
    wire: Wire, database: postgres.Server
) -> None:
    wire.environment["RELOAD_SECONDS"] = str(AWAY_SECONDS)
    async with both(wire):
        asked = await counting(wire)
        due = wire.api.calls[0].at + AWAY_SECONDS
        database.stop()
        refused = await wire.reload(wire.ben, "another")
        await wire.server.wait_for(lambda: refused.message_id is not None, 3)
        assert "storage" in wire.reply(refused).text.lower()
        await wire.server.wait_for(wire.pings, AWAY_SECONDS + 3)
        assert wire.reply(asked).text.startswith("**Ready**")
        assert edits(wire, asked)[-1] - due < 1
        assert [len(edits(wire, asked)) > 2, len(wire.api.calls)] == [True, 1]
        await asyncio.sleep(LEASE_TIMEOUT)
        database.start()
        await settled(wire, database)
        await counting(wire, "third")
    [row] = await rows(database, "SELECT state FROM reloads WHERE model = 'sdxl-turbo'")
    assert row["state"] == "ended"


async def test_a_replica_that_is_cut_off_alone_stops_and_another_goes_on(
    wire: Wire, database: postgres.Server
) -> None:
    line = Line(database)
    async with await line.listen(), both(wire, STORE_URL=line.url):
        asked = await counting(wire)
        line.cut()
        await wire.logged("reloads.shared")
        taken = time.monotonic()
        await settled(wire, database)
        times = [at for at in edits(wire, asked) if at > taken + 0.5]
        assert all(b - a > 1 for a, b in itertools.pairwise(times)), "one shows it, not two"
        line.restore()
        await learnt(wire)
    assert len(wire.api.calls) == 1


async def test_a_replica_that_is_led_to_a_standby_stops_and_another_goes_on(
    wire: Wire, database: postgres.Server, standby: postgres.Server
) -> None:
    line = Line(database)
    async with await line.listen(), both(wire, STORE_URL=line.url):
        asked = await counting(wire)
        line.lead_to(standby)
        await wire.logged("reloads.shared")
        taken = time.monotonic()
        await settled(wire, database)
        times = [at for at in edits(wire, asked) if at > taken + 0.5]
        assert all(b - a > 1 for a, b in itertools.pairwise(times)), "one shows it, not two"
        assert wire.reply(asked).text.startswith("**Ready**")
        line.lead_to(database)
        await learnt(wire)
    assert len(wire.api.calls) == 1


async def test_a_fail_over_in_mid_countdown_ends_it_once_and_the_next_reload_goes_on(
    wire: Wire, database: postgres.Server, standby: postgres.Server
) -> None:
    hosts = f"{database.folder},{standby.folder}"
    wire.environment["STORE_URL"] = f"postgresql://rewarm@/{database.database}?host={hosts}"
    async with both(wire):
        asked = await counting(wire)
        await asyncio.sleep(1)  # the standby has it by then
        database.stop()
        await asyncio.sleep(1)
        admin = await asyncpg.connect(standby.url())
        await admin.execute("SELECT pg_promote()")
        await admin.close()
        await settled(wire, standby)
        times = edits(wire, asked)
        assert all(b - a > 1 for a, b in itertools.pairwise(times[1:])), "one shows it, not two"
        assert wire.reply(asked).text.startswith("**Ready**")
        await counting(wire, "another")
    assert len(wire.api.calls) == 2


async def test_an_ending_that_a_replica_cut_off_alone_could_not_store_is_not_told(
    wire: Wire, database: postgres.Server
) -> None:
    """Its lease is good for 3 s, and its step is given up after 1 s; another process then takes over."""
    wire.environment["RELOAD_SECONDS"] = "5"
    wait = Answer({"status": "error", "message": "Rate limit exceeded"}, 429, {"Retry-After": "3"})
    wire.api.reloads = [wait, Answer(ACCEPTED)]
    line = Line(database)
    async with await line.listen(), both(wire, STORE_URL=line.url):
        asked = await wire.reload()
        await wire.server.wait_for(lambda: wire.api.calls, 5)
        await asyncio.sleep(2.7)  # it is about to call again
        line.cut()
        await settled(wire, database)
        line.restore()
        await learnt(wire)
        shown = [str(components) for _, components in wire.reply(asked).history]
    assert len(wire.api.calls) == 2
    assert not any("**Failed**" in text for text in shown), "not reloaded, they read, and then it was"
    assert "**Ready**" in shown[-1]


async def test_an_ending_that_waits_is_told_where_another_replica_hears_that_its_place_is_open(
    wire: Wire, database: postgres.Server
) -> None:
    wire.environment["RELOAD_SECONDS"] = "1"
    async with both(wire) as (first, _):
        wire.general.archived = wire.general.locked = True
        asked = await wire.reload()
        await wire.logged("reload.not_told")
        first.terminate()
        await wire.logged("reloads.shared")
        mine = {"SHARD_IDS": str(shard_of(wire.guild)), "DATA_DIR": str(wire.folder / "again")}
        async with wire.process(**mine):
            await wire.server.wait_for(lambda: len(wire.server.identifies) == 3, 30)
            await wire.server.wait_for(lambda: wire.server.connected.is_set(), 30)
            wire.general.archived = wire.general.locked = False
            opened = time.monotonic()
            await asyncio.sleep(1)  # GUILD_CREATE is being read
            wire.server.channel_changed(wire.general)
            await settled(wire, database)
            [ping] = wire.pings()
            print(f"MEASURED {ping.history[0][0] - opened:.1f} s over two replicas")  # noqa: T201
            assert 1 < ping.history[0][0] - opened < 5
    assert wire.reply(asked).text.startswith("**Ready**")


async def test_a_database_in_another_town_is_near_enough(wire: Wire, database: postgres.Server) -> None:
    """Each round trip takes 80 ms."""
    line = Line(database, delay=0.04)
    async with await line.listen(), both(wire, STORE_URL=line.url):
        for number in range(5):  # on a busy machine, one may take longer than the second
            with contextlib.suppress(TimeoutError, AssertionError):
                await counting(wire, f"model-{number}")
                break
        else:
            pytest.fail("no command was served in time")
        await settled(wire, database)


async def test_nothing_is_called_for_what_another_has_taken_over(
    wire: Wire, database: postgres.Server
) -> None:
    """A replica stalls between two tries to connect to the API; another ends its reload in the meantime."""
    with socket.socket() as refused:
        refused.bind(("127.0.0.1", 0))
        port = refused.getsockname()[1]
        async with both(wire, MODEL_API_URL=f"http://127.0.0.1:{port}") as (first, _):
            asked = await wire.reload()
            await wire.logged("model_api.not_connected")
            first.send_signal(signal.SIGSTOP)
            await wire.server.wait_for(lambda: "Unclear" in wire.reply(asked).text, 15)
            calls = []
            refused.listen()
            refused.setblocking(False)
            async with await asyncio.start_server(lambda _, there: calls.append(there), sock=refused.dup()):
                first.send_signal(signal.SIGCONT)
                await wire.logged("lost=1")
                await asyncio.sleep(3)  # longer than its pause between two tries
            assert calls == []


async def test_what_a_database_missed_is_written_long_before_the_ending(
    wire: Wire, database: postgres.Server
) -> None:
    """It is away while the API answers; a restart in mid-countdown must find a countdown."""
    wire.environment["RELOAD_SECONDS"] = "30"
    wire.api.reloads = [Answer(handler=soon)]
    async with both(wire) as (first, _):
        asked = await wire.reload()
        await wire.server.wait_for(lambda: wire.api.calls, 10)
        database.stop()
        await wire.server.wait_for(lambda: "left" in wire.reply(asked).text, 10)
        database.start()
        await no_more(database, "SELECT id FROM reloads WHERE state <> 'counting'")
        first.terminate()
        await wire.logged("reloads.shared")
        await asyncio.sleep(1)
        assert "left" in wire.reply(asked).text


async def test_who_joins_while_the_told_ending_is_unwritten_is_pinged_too(
    wire: Wire, database: postgres.Server
) -> None:
    wire.environment["RELOAD_SECONDS"] = "10"
    async with both(wire) as (first, _):
        asked = await counting(wire)
        first.kill()
        await wire.logged("reloads.shared")
        mine = {"SHARD_IDS": str(shard_of(wire.guild)), "DATA_DIR": str(wire.folder / "again")}
        async with wire.process(**mine):
            await wire.server.wait_for(lambda: len(wire.server.identifies) == 3, 30)
            database.stop()
            await wire.server.wait_for(wire.pings, 15)
            assert wire.reply(asked).text.startswith("**Ready**")
            await asyncio.sleep(LEASE_TIMEOUT)
            database.start()
            async with asyncio.timeout(30):
                while True:
                    joined = await wire.reload(wire.ben)
                    await wire.server.wait_for(lambda: joined.message_id and wire.reply(joined).text, 5)  # noqa: B023
                    if "torage" not in wire.reply(joined).text:
                        break
                    await asyncio.sleep(0.2)
            assert "pinged too" in wire.reply(joined).text
            await wire.server.wait_for(lambda: any(wire.ben.id in p.mentions for p in wire.pings()), 20)
            assert [ping.mentions for ping in wire.pings()] == [{wire.ana.id}, {wire.ben.id}]


async def test_a_transaction_with_who_has_gone_silent_is_given_up(
    wire: Wire, database: postgres.Server
) -> None:
    """Otherwise the connection, and the lease or a place in the pool, would be gone for good."""
    line = Line(database)
    async with await line.listen():
        connection = await asyncpg.connect(line.url)

        async def look() -> None:
            async with asyncio.timeout(0.2), transaction(connection):
                line.cut()
                await connection.execute("SELECT 1")

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(look(), 5)
        assert connection.is_closed()
        line.restore()


async def test_a_test_image_waits_for_a_database_that_is_away(wire: Wire, database: postgres.Server) -> None:
    wire.environment["RELOAD_SECONDS"] = "1"
    wire.api.renders = [Answer(wire.api.rendering(eta=3))]
    async with both(wire):
        message = await rendering(wire, database)
        database.stop()
        await wire.logged("image_test.no_key")
        database.start()
        await wire.server.wait_for(lambda: "**Confirmed**" in message.text, 20)


async def test_both_serve_their_own_servers_at_once(wire: Wire, database: postgres.Server) -> None:
    wire.environment["RELOAD_SECONDS"] = "2"
    other = wire.guild
    while shard_of(other) == shard_of(wire.guild):
        other = wire.server.add_guild("Another server")
    channel = wire.server.add_channel(other, "general")
    mod = wire.server.add_member(other, "mod", manage_guild=True)
    async with both(wire):
        modal = await wire.server.slash(mod, channel, "key set")
        form = await wire.server.submit_modal(modal, {0: "another-key-0123456789"})
        await wire.server.wait_for(lambda: "been stored" in wire.reply(form).text)
        await wire.reload()
        await wire.server.slash(mod, channel, "reload", {"model_id": "sdxl-turbo"})
        await settled(wire, database, 2)
        owners = await rows(database, "SELECT count(*) AS n FROM replicas WHERE lease_until > now()")
    assert owners[0]["n"] == 2
    assert {call.body["key"] for call in wire.api.calls} == {CANARY, "another-key-0123456789"}


async def test_a_key_in_the_url_of_the_database_is_in_no_log(wire: Wire, database: postgres.Server) -> None:
    wire.environment["STORE_URL"] = database.url().replace("rewarm@", "rewarm:canary-passw0rd@")
    async with both(wire):
        database.stop()
        await wire.logged("lease.not_renewed")
        database.start()
    assert "canary" not in wire.output.read_text()
