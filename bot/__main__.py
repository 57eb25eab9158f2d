"""The command line: `python -m bot` runs the bot; see --help for the rest."""

import argparse
import asyncio
import os
import signal
import sys
import time

import discord
import structlog

from bot import logs
from bot.app import Rewarm, build
from bot.errors import SealBroken, SettingsError, StoreUnusable
from bot.settings import Settings, load_settings
from bot.vault import new_encryption_key

STOP_SECONDS = 10.0
EXIT_SETTINGS = 2
_OLD_KEY = "Put the old key back; if it is lost, move DATA_DIR away and have the API keys set again."
EXIT_HUNG = 70
EXIT_INTERRUPTED = 130

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def main() -> int:
    """Parse the command line and do what it says; answers the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bot", description="Rewarm: wakes up idle Stable Diffusion models from Discord."
    )
    what = parser.add_subparsers(dest="command", metavar="command")
    what.add_parser("run", help="run the bot (what happens without a command)")
    what.add_parser("new-key", help="print a fresh key for KEY_ENCRYPTION_KEYS")
    sandbox = what.add_parser("sandbox", help="try the bot without a Discord account")
    sandbox.add_argument("--script", action="store_true", help="play a conversation and exit")
    sandbox.add_argument("--seconds", type=_seconds, default=30, help="how long a reload takes (default 30)")
    arguments = parser.parse_args()
    try:
        if arguments.command == "new-key":
            print(new_encryption_key())  # noqa: T201  # what was asked for
            return 0
        if arguments.command == "sandbox":
            from bot.sandbox import script  # noqa: PLC0415  # its library is an extra

            return asyncio.run(script.play(arguments.seconds))
        return asyncio.run(run(load_settings()))
    except SettingsError as error:
        return _refuse(error.lines)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except StoreUnusable as error:
        return _refuse([f"DATA_DIR: {error}."])
    except SealBroken:
        return _refuse([f"KEY_ENCRYPTION_KEYS: none of these keys opens this store. {_OLD_KEY}"])


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds <= 3600:
        raise ValueError
    return seconds


def _refuse(lines: list[str]) -> int:
    print(*lines, sep="\n", file=sys.stderr)  # noqa: T201  # before there is a log
    return EXIT_SETTINGS


async def run(settings: Settings) -> int:
    """Run the bot until it is told to stop by SIGINT or SIGTERM, or Discord refuses the token."""
    secrets = [settings.discord_token.get_secret_value()]
    secrets += settings.key_encryption_keys.get_secret_value().split(",")
    logs.set_up(settings.log_level, settings.log_format, secrets)
    bot = await build(settings)
    running = asyncio.create_task(bot.serve(settings.discord_token.get_secret_value()), name="discord")
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    status = 0
    try:
        await running
    except asyncio.CancelledError:
        log.info("bot.stopping")
    except discord.LoginFailure:
        status = _refuse(
            ["DISCORD_TOKEN: Discord refuses this token. Copy it again from the developer portal."]
        )
    finally:
        await _stop(bot)
    return status


async def _stop(bot: Rewarm) -> None:
    """Close everything within STOP_SECONDS; a hung disk would block a normal exit for ever."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(STOP_SECONDS - 1):
            await bot.close()
    except TimeoutError:
        log.error("bot.close_timed_out")  # noqa: TRY400
    closing = asyncio.get_running_loop().run_in_executor(None, bot.store.close)
    try:
        async with asyncio.timeout(max(1.0, STOP_SECONDS - (time.monotonic() - began))):
            await asyncio.shield(closing)
    except TimeoutError:
        log.error("store.close_timed_out")  # noqa: TRY400
        os._exit(EXIT_HUNG)
    log.info("bot.stopped")


if __name__ == "__main__":
    sys.exit(main())
