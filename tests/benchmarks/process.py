"""One of the bots as its own process: `python -m tests.benchmarks.process rewarm`, or the name of another."""

import asyncio
import importlib
import os
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn

sys.modules["rich"] = None  # type: ignore[assignment]  # of the development's tools; a bot that is installed has none

import discord  # noqa: E402
import yarl  # noqa: E402
from discord.gateway import DiscordWebSocket  # noqa: E402
from discord.http import Route  # noqa: E402

from tests.benchmarks.control import obey  # noqa: E402


async def rewarm() -> None:
    """The real bot, put together and served as the command line does it."""
    from bot import logs  # noqa: PLC0415  # a peer's memory has none of ours
    from bot.app import build, settle_garbage_collector  # noqa: PLC0415
    from bot.memory import share_one_arena  # noqa: PLC0415
    from bot.settings import load_settings  # noqa: PLC0415

    share_one_arena()
    settings = load_settings(None)
    token = settings.discord_token.get_secret_value()
    logs.set_up(settings.log_level, settings.log_format, [token])
    bot = await build(settings)
    settle_garbage_collector()
    await _while_it_runs(bot.serve(token))


async def peer(name: str) -> None:
    """A bot of `tests.benchmarks.bots`, on the Discord of the environment."""
    Route.BASE = os.environ["DISCORD_API_URL"]
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(os.environ["GATEWAY_URL"])
    discord.utils.setup_logging()
    bot: discord.Client = importlib.import_module(f"tests.benchmarks.bots.{name}").make()
    await _while_it_runs(bot.start(os.environ["DISCORD_TOKEN"]))


async def _while_it_runs(running: Coroutine[Any, Any, None]) -> NoReturn:
    """Obey until the benchmark is gone; then exit immediately, as nothing here is worth a tidy stop."""
    bot = asyncio.create_task(running, name="bot")
    told = asyncio.create_task(obey({}), name="obey")
    await asyncio.wait((bot, told), return_when=asyncio.FIRST_COMPLETED)
    if bot.done():
        bot.result()
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(rewarm() if sys.argv[1] == "rewarm" else peer(sys.argv[1]))
