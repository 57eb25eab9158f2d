"""Builds the pieces, starts and stops them; nothing else."""

import asyncio
import functools
import gc
import hashlib
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import aiohttp
import discord
import orjson
import structlog
import yarl
from discord import app_commands
from discord.ext import commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot.blocked import Blocked
from bot.cadence import start_pause
from bot.delivery import Delivery
from bot.errors import StoreTrouble, StoreUnusable
from bot.gateway import be_patient
from bot.keys import ENCRYPTION_CHECK, Keys, unlock
from bot.languages import CommandTranslator, Languages
from bot.ledger import Ledger
from bot.listing import Listing
from bot.metrics import Metrics
from bot.model_api import ModelApi, open_session
from bot.pace import Pace
from bot.retention import Retention
from bot.rhythm import Rhythm
from bot.rights import Rights
from bot.runner import Runner
from bot.settings import Settings
from bot.store import file
from bot.store.base import Store
from bot.store.embedded import EmbeddedStore
from bot.store.postgres import PostgresStore
from bot.story import Storyteller
from bot.trace import NETWORK, TROUBLE, named_wait, trace
from bot.vault import Vault

COGS = (
    "cogs.error_handler",
    "cogs.guilds",
    "cogs.key",
    "cogs.reload",
    "cogs.buttons",
    "cogs.models",
    "cogs.settings",
    "cogs.help",
)
SYNC_SECONDS = 60.0
GUILD_SECONDS = 1.0
"""So long nothing more must come of our servers before the bot counts as up; commands work earlier."""
LOGIN_SECONDS = 60.0
COLLECT_AFTER = 10_000
"""Python's own is 700. A burst of edits on their way is 5,000 objects; with 20,000 a look takes 40 ms."""
COLLECT_OLDER_AFTER = 100
"""So many of these looks. Python's own is 10; hardly any garbage is that old, but for calls that hung."""
OPEN_SECONDS = 30.0
"""A store of 42 MB was opened in half a second; a disk that hangs never answers."""
_TOKEN_REFUSED = 4004

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Rewarm(commands.AutoShardedBot):
    """The bot: what is shared between the cogs is built here once."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        vault: Vault,
        session: aiohttp.ClientSession,
        metrics: Metrics,
        now: Callable[[], float],
    ) -> None:
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False  # we do not speak
        pace = Pace(settings.share)
        super().__init__(
            command_prefix=commands.when_mentioned,
            help_command=None,
            intents=discord.Intents(guilds=True),
            allowed_mentions=discord.AllowedMentions.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,
            guild_ready_timeout=GUILD_SECONDS,
            http_trace=trace(pace),
            shard_count=settings.shard_count,
            shard_ids=settings.shard_ids,  # type: ignore[arg-type]  # None is its default
        )
        api = ModelApi(session, settings.model_api_host, settings.model_api_version, metrics)
        self.languages = Languages(self.command_mention)
        delivery = Delivery(self, self.languages, now, pace, metrics, store.hold)
        self.now = now
        self.store = store
        self.blocked = Blocked(settings.data_dir)
        self.rights = Rights(self, self.command_id)
        self.keys = Keys(store, vault, api, now)
        self.delivery = delivery
        self.metrics = metrics
        self.support_url = settings.support_url
        self.ledger = Ledger(self, store, self.languages, pace, metrics, now)
        metrics.servers.set_function(lambda: len(self.guilds))
        metrics.tasks.set_function(lambda: len(asyncio.all_tasks()))
        forms = self._connection._view_store._modals  # noqa: SLF001  # nothing else knows how many there are
        metrics.forms.set_function(lambda: len(forms))
        rhythm = Rhythm(time.process_time)
        metrics.edit_interval.set_function(lambda: rhythm.every)
        teller = Storyteller(store, self.keys, api, delivery, metrics, rhythm, now)
        self.runner = Runner(teller, settings.reload_seconds)
        self._session = session
        self._own_discord = bool(settings.discord_api_url)
        self._command_ids: dict[str, int] = {}
        self._launching: set[int] = set()
        self.listing = Listing(settings.data_dir, store, self.keys, api, now, random.choice)
        self._retention = Retention(store, now, settings.history_days)
        self._tasks: list[asyncio.Task[None]] = []

    async def serve(self, token: str) -> None:
        """Log in and stay connected until `close`.

        Trouble while starting is waited out with growing pauses. Raises discord.LoginFailure where Discord
        refuses the token.
        """
        be_patient()
        await _patiently(functools.partial(self._login, token))
        try:
            await _patiently(self.connect, given_up=self.is_closed)
        except discord.ConnectionClosed as error:
            if error.code != _TOKEN_REFUSED:
                raise
            raise discord.LoginFailure("the token has been reset") from None

    async def _login(self, token: str) -> None:
        try:
            async with asyncio.timeout(LOGIN_SECONDS):
                await self.login(token)
        except TROUBLE:
            await self.http.close()  # the next login makes a session and a connector of its own
            self.http.connector = discord.utils.MISSING
            raise

    async def launch_shard(self, gateway: yarl.URL, shard_id: int, *, initial: bool = False) -> None:
        """Connect a shard, with growing pauses.

        discord.py calls this again from within itself after each failure, every 5 s, until Python's stack is
        full: here that call only unwinds.
        """
        if shard_id in self._launching:
            raise _NotLaunchedError
        for attempt in itertools.count():
            self._launching.add(shard_id)
            try:
                await super().launch_shard(gateway, shard_id, initial=initial)
            except _NotLaunchedError:
                await asyncio.sleep(start_pause(attempt))
            else:
                return
            finally:
                self._launching.discard(shard_id)

    async def setup_hook(self) -> None:
        """Run after the login, before the gateway: load what people can do, and go on with what is open."""
        if self._own_discord:
            # A fresh gateway login goes to discord.py's default gateway, so that must be the proxy's.
            _, gateway, _ = await self.http.get_bot_gateway()
            DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)
        try:
            await self.tree.set_translator(translator := CommandTranslator(self.languages))
            for cog in COGS:
                await self.load_extension(cog)
            resumed = await self.runner.resume()
        except Exception as error:  # a defect of ours: a second try would fail on the first one's leavings
            raise RuntimeError("the bot cannot be put together") from error
        for name, work in (
            ("sync-commands", self._sync(translator)),
            ("retention", self._retention.run()),
            ("list-models", self.listing.run()),
            ("ledger", self.ledger.run()),
            ("share-reloads", self.runner.share()),
        ):
            self._tasks.append(task := asyncio.create_task(work, name=name))
            task.add_done_callback(_log_failure)
        log.info("bot.ready_to_run", resumed=resumed)

    async def on_ready(self) -> None:
        """Called by discord.py once all shards are connected, and again after a new login."""
        log.info("bot.up", servers=len(self.guilds))

    def is_connected(self) -> bool:
        """Whether every shard of this process hears from Discord."""
        shards = self.shards.values()
        return self.is_ready() and bool(shards) and not any(shard.is_closed() for shard in shards)

    def command_mention(self, name: str) -> str:
        """A command as tappable text; plain until Discord has told its id."""
        known = self.command_id(name)
        return f"</{name}:{known}>" if known is not None else f"`/{name}`"

    def command_id(self, name: str) -> int | None:
        """A command's id; None until Discord has told it."""
        return self._command_ids.get(name.partition(" ")[0])

    async def _sync(self, translator: app_commands.Translator) -> None:
        """Send the commands to Discord if they changed since the last time; try until it works."""
        payload: list[Any] = [
            await command.get_translated_payload(self.tree, translator)
            for command in self.tree.get_commands()
        ]
        digest = hashlib.sha256(orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)).hexdigest()
        name = f"commands:{self.application_id}"
        known: dict[str, Any] = {}
        with suppress(StoreTrouble):  # then they are sent once more
            known = await self.store.value(name) or {}
        if known.get("digest") == digest:
            self._command_ids = known["ids"]
            return
        for attempt in itertools.count():
            try:
                async with asyncio.timeout(SYNC_SECONDS):
                    synced = await self.tree.sync()
                break
            except TROUBLE as error:
                why = str(error) if isinstance(error, app_commands.CommandSyncFailure) else None
                log.warning("commands.not_synced", error=type(error).__name__, why=why)
                await asyncio.sleep(max(start_pause(attempt), named_wait(error)))
        self._command_ids = {command.name: command.id for command in synced}
        log.info("commands.synced", count=len(synced))
        try:
            await self.store.set_value(name, {"digest": digest, "ids": self._command_ids})
        except StoreTrouble as error:  # the next start sends them once more
            log.warning("commands.not_noted", error=str(error))

    async def close(self) -> None:
        """Stop in order: reloads, Discord, the model API. The store is closed by who opened it."""
        for task in self._tasks:
            task.cancel()
        await self.runner.stop()
        await self.store.release()
        await super().close()
        await self._session.close()


class _NotLaunchedError(Exception):
    """A shard could not be connected."""


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("task.failed", task=task.get_name(), exc_info=error)


async def _patiently(
    start: Callable[[], Awaitable[None]], given_up: Callable[[], bool] = lambda: False
) -> None:
    """Start again after trouble, with growing pauses; a refused token, and `given_up`, end it."""
    for attempt in itertools.count():
        try:
            await start()
        except discord.LoginFailure:
            raise
        except TROUBLE as error:
            if given_up():
                raise
            pause, status = start_pause(attempt), getattr(error, "status", None)
            seen: dict[str, Any] = {"to": Route.BASE, "error": type(error).__name__, "status": status}
            # An odd answer and a defect of ours look alike: where it is not the network's, show all of it.
            odd = None if isinstance(error, NETWORK) else error
            log.warning("bot.not_connected", **seen, again_in=pause, exc_info=odd)
            await asyncio.sleep(pause)
        else:
            return


async def _open(settings: Settings, metrics: Metrics) -> Store:
    if url := settings.store_url.get_secret_value():
        store, left = await PostgresStore.connect(url, metrics), settings.data_dir / file.NAME
        if left.exists() and await store.value(ENCRYPTION_CHECK) is None:
            log.warning("store.begun_anew", not_moved=str(left), by="move-store")
        return store
    folder = settings.data_dir
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            return await asyncio.to_thread(EmbeddedStore, folder, metrics)
    except TimeoutError:
        raise StoreUnusable(f"{folder} does not answer: look after its disk") from None


def settle_garbage_collector() -> None:
    """Keep Python's collector from stopping a process, all the bot's and just built, again and again.

    With 5,000 countdowns it looked through all that there is every 3 s, for 0.2 s each time (measured). What
    is there now stays; of what comes, nearly all is gone before 10,000 new objects are looked through.
    """
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, COLLECT_OLDER_AFTER)


async def build(settings: Settings, now: Callable[[], float] = time.time) -> Rewarm:
    """Open the store and make the bot, before anything goes to Discord.

    Raises StoreUnusable, and SealBroken when KEY_ENCRYPTION_KEYS are not those of the store.
    """
    if settings.discord_api_url:
        Route.BASE = settings.discord_api_url
    metrics = Metrics()
    store = await _open(settings, metrics)
    vault = Vault(settings.encryption_keys)
    try:
        await unlock(store, vault)
    except StoreTrouble:
        raise  # closing would wait for what hangs
    except Exception:
        await store.release()
        store.close()
        raise
    return Rewarm(settings, store, vault, open_session(), metrics, now)
