"""A bot and its Discord, started for a measurement."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bot.settings import load_settings
from bot.store.file import NAME
from bot.vault import Vault, new_encryption_key
from tests import ROOT
from tests.benchmarks import seed
from tests.benchmarks.control import Child, child

HEAD_SECONDS = 12.0
"""Seconds from the start of a bot to the first deadline: by then it has resumed everything."""


class Stage(NamedTuple):
    """A bot on a Discord of its own."""

    discord: Child
    bot: Child
    deadlines: dict[int, float]
    seconds: float
    started: float
    """Seconds from the start of the bot's process until it is connected."""


@asynccontextmanager
async def stage(
    which: str, servers: int, live: int = 0, seconds: float = seed.SECONDS, store: Path | None = None
) -> AsyncIterator[Stage]:
    """Start Discord and a bot; ours finds keys and countdowns in its store, on the disk of this clone.

    `store`: a file with more content, which is copied.
    """
    with TemporaryDirectory(prefix=".bench-", dir=ROOT) as made:
        folder = Path(made)
        async with child(folder, "tests.benchmarks.discord", str(servers)) as discord:
            environment = {
                "DISCORD_TOKEN": "made-up",
                "KEY_ENCRYPTION_KEYS": new_encryption_key(),
                "DATA_DIR": str(folder / "data"),
                "RELOAD_SECONDS": str(seconds),
                **await discord.ask("where"),
            }
            reloads = []
            if which == "rewarm":
                known = {name.lower(): value for name, value in environment.items()}
                reloads = list(seed.counting(live, time.time() + HEAD_SECONDS))
                if store is not None:
                    (folder / "data").mkdir()
                    await asyncio.to_thread(shutil.copy, store, folder / "data" / NAME)
                vault = Vault(load_settings(None, **known).encryption_keys)
                await asyncio.to_thread(seed.fill, folder / "data", vault, servers, reloads)
            began = time.monotonic()
            async with child(folder, "tests.benchmarks.process", which, **environment) as bot:
                deadlines = {reload.message or 0: reload.deadline or 0.0 for reload in reloads}
                await discord.ask("ready")
                yield Stage(discord, bot, deadlines, seconds, time.monotonic() - began)
