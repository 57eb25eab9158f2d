"""What the tests share: a stand-in model API on loopback, settings for a folder of their own, the bot."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import discord
import pytest
import simcord

from bot.app import Rewarm, build
from bot.settings import Settings, load_settings
from bot.vault import new_encryption_key
from tests.stand_ins.model_api import ModelApiServer

CANARY = "canary-K3y-0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the environment nor a `.env` of the developer reaches a test."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


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
        shard_count=1,
    )


BuildBot = Callable[[], Awaitable[Rewarm]]


@pytest.fixture
def build_bot(settings: Settings) -> BuildBot:
    """Build the bot on the test's store, with simcord's clock."""

    async def make() -> Rewarm:
        return await build(settings, now=lambda: discord.utils.utcnow().timestamp())

    return make


@pytest.fixture
async def env(build_bot: BuildBot) -> AsyncIterator[simcord.Env]:
    """The real bot in an in-process Discord whose time is virtual."""
    env = simcord.Env(await build_bot(), settle_timeout=1.0)
    await env.start()
    yield env
    await close(env)
    await env.shutdown()
    env.raise_errors()


async def close(env: simcord.Env) -> None:
    """Stop the bot as the command line does."""
    bot = env.bot
    assert isinstance(bot, Rewarm)
    await bot.close()
    bot.store.close()
