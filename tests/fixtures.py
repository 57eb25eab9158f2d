"""Fixtures that need more than a pure module: a model API, a store, Discord, PostgreSQL, the bot.

The conftest.py of the folders loads them; tests/unit does not, which saves the time of the imports.
"""

import asyncio
import functools
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import discord
import discord.shard
import discord.state
import pytest
import simcord
from looptime import LoopTimeEventLoop

from bot import languages
from bot.app import Rewarm, build
from bot.domain.errors import Refusal
from bot.settings import Settings, load_settings
from bot.vault import new_encryption_key
from tests import NOT_TESTED, postgres
from tests.sandbox import CHROMIUM
from tests.stand_ins.discord import DiscordServer
from tests.stand_ins.model_api import ModelApiServer
from tests.wire import NOOP_CYCLES, Wire, running
from tests.world import World

# A process reads its languages once, when its bot is built. This one builds hundreds of bots.
languages.translations = functools.cache(languages.translations)


@pytest.fixture(autouse=True)
def _discord_py_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo the bot's changes to discord.py after each test."""
    changed = (
        (discord.shard, "DiscordWebSocket"),
        (discord.shard, "ExponentialBackoff"),
        (discord.http, "Ratelimit"),
        (discord.webhook.async_, "AsyncDeferredLock"),
    )
    for module, name in changed:
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(discord.state, "Interaction", discord.Interaction)


@pytest.fixture
async def api() -> AsyncIterator[ModelApiServer]:
    async with ModelApiServer() as server:
        yield server


@pytest.fixture
def settings(api: ModelApiServer, tmp_path: Path) -> Settings:
    return load_settings(
        discord_token="made-up",
        key_encryption_keys=new_encryption_key(),
        data_dir=tmp_path / "data",
        model_api_url=api.url,
        model_api_version="v4",
        shard_count=1,
    )


def _miss(not_tested: str) -> NoReturn:
    """Skip a test because a program is missing; if CI=true, fail."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{NOT_TESTED}{not_tested}.")


@pytest.fixture(scope="session")
def has_chromium() -> None:
    """A test in a real browser."""
    if CHROMIUM is None:
        _miss("the sandbox's page, for want of Chromium (Debian: apt-get install chromium)")


@pytest.fixture
def systemd_analyze() -> str:
    """A test of the unit by systemd's own program."""
    program = shutil.which("systemd-analyze")
    if program is None:
        _miss("the systemd unit, for want of systemd-analyze (Debian: apt-get install systemd)")
    return program


@pytest.fixture(scope="session")
def own_postgres() -> Iterator[postgres.Server]:
    """A real PostgreSQL of this worker."""
    if postgres.programs() is None:
        _miss("PostgreSQL and replicas, for want of a server (Debian: apt-get install postgresql)")
    with postgres.server() as server:
        yield server


@pytest.fixture(scope="session")
def has_pgbouncer() -> None:
    """A test with a real PgBouncer."""
    if postgres.pgbouncer() is None:
        _miss("PostgreSQL behind a pooler, for want of PgBouncer (Debian: apt-get install pgbouncer)")


@pytest.fixture
async def postgres_to_stop(own_postgres: postgres.Server) -> AsyncIterator[postgres.Server]:
    """That one with an empty database, for a test that stops, starts or stalls it."""
    async with postgres.to_stop(own_postgres) as server:
        yield server


@pytest.fixture
def standby(postgres_to_stop: postgres.Server) -> Iterator[postgres.Server]:
    """One that streams from that one."""
    if not (postgres_to_stop.programs / "pg_basebackup").exists():
        _miss("a standby, for want of pg_basebackup (Debian: apt-get install postgresql-client)")
    with postgres.standby(postgres_to_stop) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> str:
    """The URL of a real PostgreSQL."""
    given = os.environ.get("TEST_POSTGRES_URL")
    return given or request.getfixturevalue("own_postgres").url()


@pytest.fixture
async def postgres_url(postgres_server: str) -> AsyncIterator[str]:
    """An empty database of it."""
    async with postgres.database(postgres_server) as url:
        yield url


BuildBot = Callable[[], Awaitable[Rewarm]]


@pytest.fixture
def build_bot(settings: Settings) -> BuildBot:
    """Build the bot on the test's store, with simcord's clock."""

    async def make() -> Rewarm:
        return await build(settings, now=lambda: discord.utils.utcnow().timestamp())

    return make


PATIENCE = 60.0  # seconds for the bot to come to rest on a busy machine


class _Env(simcord.Env):
    """Looks every 3 ms whether the bot has come to rest; simcord's own 50 were most of a test's time.

    simcord uses `settle_timeout` for two things: which timers count as waiting, and how long a whole advance
    may take. So it stays short here, and a machine that stands still for a moment gets another try.
    """

    async def _settle_internal(self, *, _deadline: float | None = None, **how: Any) -> None:
        patience = asyncio.get_running_loop().time() + PATIENCE
        while True:
            try:
                return await super()._settle_internal(**{"idle": 0.003, **how})
            except TimeoutError:
                if asyncio.get_running_loop().time() > patience:
                    raise

    async def _advance_to(self, target: float, deadline: float) -> None:
        await super()._advance_to(target, deadline + PATIENCE)


@pytest.fixture
async def env(build_bot: BuildBot) -> AsyncIterator[simcord.Env]:
    """The real bot in an in-process Discord with virtual time."""
    env = _Env(await build_bot(), settle_timeout=2.0)
    await env.start()
    yield env
    await close(env)
    await env.shutdown()
    # simcord also records refusals of modals, which the bot has answered; anything else is a defect.
    if defects := [error for error in env.errors if not isinstance(error, Refusal)]:
        raise ExceptionGroup("the bot failed", [e for e in defects if isinstance(e, Exception)])


async def close(env: simcord.Env) -> None:
    """Stop the bot as the command line does."""
    bot = env.bot
    assert isinstance(bot, Rewarm)
    await bot.close()
    bot.store.close()


@pytest.fixture
async def world(env: simcord.Env) -> World:
    """A server whose moderator has stored the key."""
    world = World(env)
    await world.set_key()
    return world


@pytest.fixture
async def restart(env: simcord.Env, build_bot: BuildBot) -> Callable[[], Awaitable[None]]:
    """Stop the bot and start it again on the same store and the same Discord."""

    async def again() -> None:
        await close(env)
        await env.restart_bot(await build_bot())

    return again


@pytest.fixture
async def virtual() -> AsyncIterator[None]:
    """Virtual time in this process: sleeps are skipped; sockets and threads are waited for."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, LoopTimeEventLoop)
    loop.setup_looptime(start=loop.time(), noop_cycles=NOOP_CYCLES)
    with loop.looptime_enabled():
        yield


@pytest.fixture
async def wire(api: ModelApiServer, tmp_path: Path) -> AsyncIterator[Wire]:
    """A server on a loopback Discord, for a bot over real sockets."""
    async with DiscordServer("made.up.token") as server:
        yield Wire(server, api, tmp_path)


@pytest.fixture
async def bot(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rewarm]:
    """The bot on that Discord, in this process, with the server's key stored."""
    async with running(wire.settings(), monkeypatch) as bot:
        await wire.set_key()
        yield bot
