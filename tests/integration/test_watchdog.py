"""systemd's watchdog hears on a datagram socket that the event loop is running, and nothing once it hangs."""

import asyncio
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bot.store.embedded import EmbeddedStore
from bot.store.file import NAME
from tests.wire import Wire

EVERY = 0.05
HANGS = """
import asyncio, signal, time
from bot import process
from bot.settings import load_settings

async def run():
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, time.sleep, 60)
    await process.run(load_settings())

asyncio.run(run())
"""


@pytest.fixture(params=["by its path", "abstract"])
def systemd(wire: Wire, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    """A socket for the bot's reports, twice in 0.1 s."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        is_abstract = request.param == "abstract"
        listening.bind(f"\0{path}" if is_abstract else path)
        listening.setblocking(False)
        wire.environment["NOTIFY_SOCKET"] = f"@{path}" if is_abstract else path
        wire.environment["WATCHDOG_USEC"] = str(int(EVERY * 2e6))
        yield listening


async def fed(systemd: socket.socket, within: float = 20.0) -> None:
    """Wait for one datagram. Raises TimeoutError."""
    async with asyncio.timeout(within):
        assert await asyncio.get_running_loop().sock_recv(systemd, 100) == b"WATCHDOG=1"


async def test_a_bot_that_runs_feeds_it_until_its_loop_hangs(wire: Wire, systemd: socket.socket) -> None:
    async with wire.process("-c", HANGS) as process:
        await wire.ready()
        for _ in range(10):
            await fed(systemd)
        process.send_signal(signal.SIGUSR1)
        heard = 0
        with suppress(TimeoutError):
            while heard < 100:
                await fed(systemd, within=20 * EVERY)
                heard += 1
        assert heard < 100
        assert process.returncode is None, "it is there, and silent"


async def test_a_bot_that_waits_for_its_file_feeds_it(wire: Wire, systemd: socket.socket) -> None:
    EmbeddedStore(wire.folder / "data").close()
    other = sqlite3.connect(wire.folder / "data" / NAME, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    async with wire.process():
        for _ in range(10):
            await fed(systemd)
        assert not wire.server.connected.is_set(), "the file is locked"
        other.close()
        await wire.ready()
        for _ in range(10):
            await fed(systemd)


async def test_a_bot_that_waits_for_its_database_feeds_it(wire: Wire, systemd: socket.socket) -> None:
    """One that takes connections and says nothing, for a second."""
    with socket.create_server(("127.0.0.1", 0)) as database:
        port = database.getsockname()[1]
        async with wire.process(STORE_URL=f"postgresql://rewarm:x@127.0.0.1:{port}/x") as process:
            for _ in range(10):
                await fed(systemd)
            assert process.returncode is None
            assert await process.wait() == 1


@pytest.mark.parametrize("changed", [{"NOTIFY_SOCKET": "/no/such/socket"}, {"WATCHDOG_USEC": "soon"}])
async def test_a_supervisor_that_is_not_there_stops_nothing(wire: Wire, changed: dict[str, str]) -> None:
    environment = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1000000", **changed}
    async with wire.process(**environment) as process:
        await wire.ready()
        assert process.returncode is None
    assert ("watchdog.not_fed" in wire.output.read_text()) == ("NOTIFY_SOCKET" in changed)
