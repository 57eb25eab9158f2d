"""Runs what the command line asks for: a command of `admin`, the sandbox, or the bot until it is stopped."""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote, urlsplit

import discord
import structlog

from bot import logs, watchdog
from bot.app import Rewarm, build, settle_garbage_collector
from bot.clock import SuspendProofLoop
from bot.domain.errors import (
    DatabaseUnusable,
    DiscordRefuses,
    SealBroken,
    SettingsError,
    StoreAway,
    StoreTrouble,
)
from bot.memory import share_one_arena
from bot.model_api.places import concurrent_calls, raise_file_limit
from bot.settings import Settings, load_settings
from bot.vault import new_encryption_key

if TYPE_CHECKING:
    from bot.health import Health

STOP_TIMEOUT = 10.0
EXIT_FAILED = 1
EXIT_SETTINGS = 2
_LOGIN_REFUSED = "DISCORD_TOKEN: Discord rejects this token. Copy it again from the developer portal."
_OLD_KEY = (
    "Put the old key back; if it is lost, start with another database or an empty DATA_DIR and set the "
    "API keys again."
)
EXIT_HUNG = 70
EXIT_INTERRUPTED = 130

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def do(arguments: argparse.Namespace) -> int:
    """Run what the command line asks for; return the exit status."""
    try:
        return _do(arguments)
    except SettingsError as error:
        return _refuse(error.lines)
    except (KeyboardInterrupt, EOFError):
        return EXIT_INTERRUPTED
    except SealBroken:
        return _refuse([f"KEY_ENCRYPTION_KEYS: none of these keys decrypts this store. {_OLD_KEY}"])
    except StoreTrouble as error:
        return _refuse([f"{_where(error)}: {error}."])
    except discord.LoginFailure:
        return _refuse([_LOGIN_REFUSED])


def _do(arguments: argparse.Namespace) -> int:
    if arguments.command == "new-key":
        print(new_encryption_key())  # noqa: T201  # what was asked for
        return 0
    if arguments.command == "sandbox":
        from bot.sandbox import page, script  # noqa: PLC0415  # their library is an extra

        signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after Ctrl-C
        if arguments.script:
            return asyncio.run(script.play(arguments.seconds))
        port = page.PORT if arguments.port is None else arguments.port
        return asyncio.run(page.serve(arguments.seconds, port))
    if arguments.command in (None, "run"):
        share_one_arena()
        with asyncio.Runner(loop_factory=SuspendProofLoop) as runner:
            return runner.run(run(load_settings()))
    from bot.admin.commands import DO  # noqa: PLC0415  # a running bot does without them

    logs.set_up("CRITICAL", "console", [])  # these commands report what they find
    return DO[arguments.command](arguments)


def _where(error: StoreTrouble) -> str:
    """Return the name of the setting that leads to the store."""
    return "STORE_URL" if isinstance(error, DatabaseUnusable) else "DATA_DIR"


def _refuse(lines: list[str]) -> int:
    print(*lines, sep="\n", file=sys.stderr)  # noqa: T201  # before there is a log
    return EXIT_SETTINGS


async def run(settings: Settings) -> NoReturn:
    """Run the bot until SIGINT or SIGTERM stops it, or Discord refuses the token."""
    feeding = asyncio.create_task(watchdog.feed(), name="watchdog")
    feeding.add_done_callback(logs.log_failure)
    secrets = [settings.discord_token.get_secret_value()]
    secrets += settings.key_encryption_keys.get_secret_value().split(",")
    url = settings.store_url.get_secret_value()
    password = urlsplit(url).password or ""
    secrets += [url, password, unquote(password)]
    logs.set_up(settings.log_level, settings.log_format, secrets)
    try:
        bot = await build(settings, calls=concurrent_calls(raise_file_limit()))
    except StoreTrouble as error:
        refused = _refuse([f"{_where(error)}: {error}."])
        _leave(EXIT_FAILED if isinstance(error, StoreAway) else refused)
    except asyncio.CancelledError:  # Ctrl-C; a hanging disk must not delay it
        _leave(EXIT_INTERRUPTED)
    settle_garbage_collector()
    health = None
    if settings.health_port:
        from bot import health as served  # noqa: PLC0415  # a server of HTTP is 3 MB that few ask for

        host, port = str(settings.health_host), settings.health_port
        health = served.Health(host, port, bot.metrics, bot.store, bot.gateway_state)
        try:
            await health.start()
        except OSError as error:
            _leave(_refuse([f"HEALTH_PORT: {port} can't be used on {host} ({error.strerror})."]))
    running = asyncio.create_task(bot.serve(settings.discord_token.get_secret_value()), name="discord")
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    # Don't cancel it: a discord.py shard that is connecting would handle that itself.
    waiting = asyncio.create_task(told.wait(), name="signals")
    await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
    status = 0
    if told.is_set():
        log.info("bot.stopping")
    else:
        status = _what_ended(running)
    _leave(await _stop(bot, health) or status)


def _what_ended(running: asyncio.Task[None]) -> int:
    error = running.exception()
    if isinstance(error, discord.LoginFailure):
        return _refuse([_LOGIN_REFUSED])
    if isinstance(error, DiscordRefuses):
        return _refuse([f"{error}."])
    log.error("bot.failed", exc_info=error)
    return EXIT_FAILED


async def _stop(bot: Rewarm, health: "Health | None") -> int:
    """Close everything within STOP_TIMEOUT; return 0, or the exit status for the part that hung."""
    until = time.monotonic() + STOP_TIMEOUT - 1
    await _close("bot", bot.close(), until)
    if health is not None:
        await _close("health", health.stop(), until)
    status = await _close("store", asyncio.to_thread(bot.store.close), until)
    log.info("bot.stopped")
    return status


async def _close(what: str, closing: Coroutine[Any, Any, None], until: float) -> int:
    """Close one part; whatever happens, the rest must be closed as well."""
    task = asyncio.create_task(closing, name=f"close-{what}")
    await asyncio.wait({task}, timeout=max(0.5, until - time.monotonic()))
    if not task.done():
        log.error("stop.timed_out", what=what)
        return EXIT_HUNG
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("stop.failed", what=what, exc_info=error)
        return EXIT_FAILED
    return 0


def _leave(status: int) -> NoReturn:
    """End the process now: a normal exit waits for every thread, even one stuck on a disk or in DNS."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
