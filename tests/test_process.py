"""The bot as a process of its own, against stand-ins for Discord and the model API over real sockets."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.vault import new_encryption_key
from tests.stand_ins.discord_api import MANAGE_GUILD, DiscordApi
from tests.stand_ins.model_api import ModelApiServer
from tests.world import CANARY

ROOT = Path(__file__).parents[1]
MOD, ANA = 501, 502
SECONDS = 4.0


class Bot:
    """`python -m bot` with a folder of its own; what it prints goes to `output`."""

    def __init__(self, folder: Path, discord: DiscordApi, api: ModelApiServer) -> None:
        self.output = folder / "output"
        self._folder = folder
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DISCORD_TOKEN": discord.token,
            "KEY_ENCRYPTION_KEYS": new_encryption_key(),
            "DISCORD_API_URL": discord.url,
            "MODEL_API_URL": api.url,
            "RELOAD_SECONDS": str(SECONDS),
            "LOG_LEVEL": "DEBUG",
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run it; a process that still runs at the end is killed."""
        with self.output.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "bot"),
                cwd=self._folder,
                env=self._environment,
                stdout=output,
                stderr=output,
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.fixture
async def discord() -> AsyncIterator[DiscordApi]:
    async with DiscordApi() as server:
        yield server


@pytest.fixture
def bot(tmp_path: Path, discord: DiscordApi, api: ModelApiServer) -> Bot:
    return Bot(tmp_path, discord, api)


async def set_key(discord: DiscordApi) -> None:
    modal = await discord.slash(MOD, "key set", permissions=MANAGE_GUILD)
    await discord.until(lambda: modal.kind == 9)
    form = await discord.submit_modal(modal, MOD, CANARY)
    await discord.until(lambda: form.reply is not None and "is stored" in form.reply.text)


def files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_from_key_to_ping(bot: Bot, discord: DiscordApi, api: ModelApiServer, tmp_path: Path) -> None:
    async with bot.running() as process:
        await set_key(discord)
        asked = await discord.slash(ANA, "reload", model_id="sdxl-turbo")
        await discord.until(lambda: len(discord.pings) == 1)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0

    [call] = api.calls
    assert call.body == {"key": CANARY, "model_id": "sdxl-turbo"}
    assert asked.reply is not None
    ready_at, text = asked.reply.history[-1]
    assert text.startswith("**Ready** `sdxl-turbo`")
    assert SECONDS <= ready_at - call.at <= SECONDS + 1
    [ping] = discord.pings
    assert ping.pinged == (ANA,)
    assert ping.reference is not None
    assert int(ping.reference["message_id"]) == asked.reply.id
    assert discord.violations == []
    assert [r for r in discord.requests if r.status == 429] == []
    assert len(discord.calls("PUT", "/applications/.*")) == 1
    assert CANARY.encode() not in files(tmp_path), "the key is in no log and in no file"
    assert b"-secret" not in files(tmp_path / "output"), "nor are Discord's tokens in the log"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_stopped_in_mid_countdown_it_goes_on(
    bot: Bot, discord: DiscordApi, api: ModelApiServer, how: signal.Signals
) -> None:
    async with bot.running() as process:
        await set_key(discord)
        asked = await discord.slash(ANA, "reload", model_id="sdxl-turbo")
        await discord.until(lambda: asked.reply is not None and "left" in asked.reply.text)
        process.send_signal(how)
        assert await asyncio.wait_for(process.wait(), 10) == (-how if how is signal.SIGKILL else 0)
    async with bot.running():
        await discord.until(lambda: len(discord.pings) == 1)
    assert asked.reply is not None
    assert asked.reply.text.startswith("**Ready** `sdxl-turbo`")
    assert len(api.calls) == 1
    assert len(discord.calls("PUT", "/applications/.*")) == 1, "unchanged commands are not sent again"
    assert discord.violations == []


async def test_refused_token_is_one_line(bot: Bot, discord: DiscordApi) -> None:
    discord.token = "another"
    async with bot.running() as process:
        assert await asyncio.wait_for(process.wait(), 20) == 2
    said = bot.output.read_text()
    assert "DISCORD_TOKEN: Discord refuses this token." in said
    assert "Traceback" not in said
