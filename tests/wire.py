"""A server on the loopback stand-in for Discord, and what a person does and sees there."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import discord.gateway
import discord.http
import pytest
from looptime import LoopTimeEventLoop

from bot.app import Rewarm, build
from bot.model_api.places import MAX_CONCURRENT_CALLS
from bot.settings import Settings, load_settings
from bot.vault import new_encryption_key
from tests import ROOT, processes
from tests.stand_ins.discord import DiscordServer, Interaction, Member, Message
from tests.stand_ins.model_api import ModelApiServer
from tests.world import CANARY

START_SECONDS = 20.0
EPOCH = time.time() - time.monotonic()
"""Seconds that turn a loop's time, virtual or not, into the time of day."""
NOOP_CYCLES = 16
"""Quiet cycles of the loop before time jumps: by then everything has settled; looptime's 42 cost twice the
CPU."""


class Wire:
    """One server, `#general` and `#art`, a moderator, two members; and the bot, in process or as its own."""

    def __init__(self, server: DiscordServer, api: ModelApiServer, folder: Path) -> None:
        self.server = server
        self.api = api
        self.folder = folder
        self.guild = server.add_guild("A server")
        self.general = server.add_channel(self.guild, "general")
        self.art = server.add_channel(self.guild, "art")
        self.mod = server.add_member(self.guild, "mod", manage_guild=True)
        self.ana = server.add_member(self.guild, "ana")
        self.ben = server.add_member(self.guild, "ben")
        self.output = folder / "output"
        self.forked = True  # else processes start from nothing
        self.environment = {
            "PYTHONPATH": str(ROOT),
            "DISCORD_TOKEN": server.token,
            "KEY_ENCRYPTION_KEYS": new_encryption_key(),
            "DISCORD_API_URL": server.url,
            "MODEL_API_URL": api.url,
            "MODEL_API_VERSION": "v4",
            "RELOAD_SECONDS": "3",
            "LOG_LEVEL": "DEBUG",
        }

    def settings(self, **changed: Any) -> Settings:
        """The settings of the process, for a bot in this one."""
        given = {name.lower(): value for name, value in self.environment.items() if name != "PYTHONPATH"}
        return load_settings(None, **{**given, "data_dir": self.folder / "data", "shard_count": 1, **changed})

    @asynccontextmanager
    async def process(self, *how: str, **changed: str) -> AsyncIterator[processes.Started]:
        """Run `python -m bot`, or Python in another way; one that still runs at the end is killed.

        `changed`: settings that differ from `environment`.
        """
        with self.output.open("ab") as output:
            running = processes.process(
                *(how or ("-m", "bot")),
                cwd=self.folder,
                env={**self.environment, **changed},
                stdout=output,
                stderr=output,
                forked=self.forked,
            )
            async with running as process:
                yield process

    async def ready(self) -> None:
        """Wait until a bot is connected and its commands are there."""
        await self.server.wait_for(
            lambda: self.server.connected.is_set() and self.server.commands, START_SECONDS
        )

    async def set_key(self, key: str = CANARY) -> None:
        """Do what a moderator does once: set the key."""
        await self.ready()
        modal = await self.server.slash(self.mod, self.general, "key set")
        form = await self.server.submit_modal(modal, {0: key})
        await self.server.wait_for(lambda: "been stored" in self.reply(form).text)

    async def remove_key(self) -> None:
        """Request it, and press the button of the question."""
        question = await self.server.slash(self.mod, self.general, "key remove")
        await self.server.press(self.mod, self.reply(question), "Delete the key")
        await self.server.wait_for(lambda: "been deleted" in self.reply(question).text)

    async def reload(self, who: Member | None = None, model: str = "sdxl-turbo") -> Interaction:
        """Type /reload."""
        return await self.server.slash(who or self.ana, self.general, "reload", {"model_id": model})

    async def logged(self, text: str) -> None:
        """Wait until the log of the process has it."""
        await self.server.wait_for(lambda: text in self.output.read_text(), 30, f"{text!r} in the log")

    def reply(self, interaction: Interaction) -> Message:
        """The message that answers an interaction."""
        assert interaction.message_id is not None
        return self.server.messages[interaction.message_id]

    def pings(self) -> list[Message]:
        """The messages that really notified somebody."""
        return [message for message in self.server.messages.values() if message.mentions]


async def all_ended(bot: Rewarm, seconds: float) -> None:
    """Wait until nothing is open, for at most this many seconds."""
    async with asyncio.timeout(seconds):
        while await bot.store.open():
            await asyncio.sleep(0.1)


async def ended(wire: Wire, bot: Rewarm, asked: Interaction, seconds: float = 15.0) -> str:
    """Wait until nothing is open; return the reply's text, without markup."""
    await all_ended(bot, seconds)
    return wire.reply(asked).text.replace("**", "").replace("`", "")


async def reload_works(wire: Wire) -> None:
    """Store the key, and see a reload to its ping."""
    await wire.set_key()
    asked = await wire.reload()
    await wire.server.wait_for(wire.pings, 60)
    assert wire.reply(asked).text.startswith("**Ready**")


def sleep_through(seconds: float) -> None:
    """Do what a suspend does to a loop whose clock counts it: nothing ran, and it is this much later."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, LoopTimeEventLoop)
    loop.setup_looptime(start=loop.time() + seconds, noop_cycles=NOOP_CYCLES)


@asynccontextmanager
async def running(
    settings: Settings,
    patch: pytest.MonkeyPatch,
    ahead: Callable[[], float] | float = 0.0,
    calls: int = MAX_CONCURRENT_CALLS,
    api_hosts: Mapping[str, str] | None = None,
) -> AsyncIterator[Rewarm]:
    """Run the real bot in this process; restore discord.py's addresses afterwards.

    `ahead`: of the time of day, in seconds, also as it changes. `calls`: to the model API at once.
    `api_hosts`: by version.
    """
    patch.setattr(discord.http.Route, "BASE", discord.http.Route.BASE)
    patch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", None)
    loop = asyncio.get_running_loop()
    ahead_now = ahead if callable(ahead) else lambda: ahead
    bot = await build(
        settings, now=lambda: EPOCH + ahead_now() + loop.time(), calls=calls, api_hosts=api_hosts
    )
    task = asyncio.create_task(bot.serve(settings.discord_token.get_secret_value()))
    try:
        yield bot
    finally:
        await bot.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        bot.store.close()
