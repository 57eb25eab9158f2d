"""Builds the pieces, starts and stops them; nothing else."""

import asyncio
import gc
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import discord
import structlog
import yarl
from discord import app_commands
from discord.ext import commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot.discord_api.client import PatientBot
from bot.discord_api.commands import Commands, CommandTranslator
from bot.discord_api.http_trace import trace
from bot.discord_api.limiter import Limiter
from bot.discord_api.logins import Logins
from bot.discord_api.permissions import CommandPermissions
from bot.discord_api.reply import Replies
from bot.discord_api.responses import Responses
from bot.domain.errors import SealBroken
from bot.domain.member_calls import MemberCalls
from bot.jobs.catalogue_refresh import CatalogueRefresh
from bot.jobs.moderators import Moderators
from bot.jobs.retention import Retention
from bot.jobs.servers import Servers
from bot.jobs.upkeep import look_through
from bot.jobs.watches import Watches
from bot.keys import Keys, unlock
from bot.languages import Languages
from bot.logs import log_failure
from bot.metrics import Metrics
from bot.model_api.client import open_session
from bot.model_api.hosts import Hosts
from bot.model_api.places import MAX_CONCURRENT_CALLS
from bot.reloads.countdown import Countdowns
from bot.reloads.runner import Runner
from bot.reloads.services import Services
from bot.settings import Settings
from bot.store.base import Store
from bot.store.blocklist import Blocklist
from bot.store.opening import open_store
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
GUILD_DELAY = 1.0
"""Seconds without a new GUILD_CREATE after which the bot counts as ready; commands work earlier."""
COLLECT_AFTER = 10_000
"""Objects after which generation 0 is collected. With 20,000 a collection takes 40 ms; Python's default is
700."""
COLLECT_OLDER_AFTER = 100
"""Collections of a generation after which the next is collected. Python's default is 10, but hardly any
garbage gets that old."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Rewarm(PatientBot):
    """The bot. Everything that cogs share is built here, once."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        vault: Vault,
        session: aiohttp.ClientSession,
        hosts: Hosts,
        metrics: Metrics,
        now: Callable[[], float],
    ) -> None:
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False  # we don't use voice
        limiter = Limiter(settings.share)
        super().__init__(**_options(settings, limiter))
        self.logins = Logins(store, now, self.limits)
        self.slash_commands = Commands(store)
        self.languages = Languages(self.slash_commands.mention)
        self.responses = Responses(self, metrics, now)
        self.replies = Replies(self, self.languages, limiter, metrics, store.hold, now)
        self.now, self.store, self.metrics, self.hosts = now, store, metrics, hosts
        self.permissions = CommandPermissions(self, self.slash_commands.id_of)
        self.keys = Keys(store, vault, hosts, now)
        self.support_url = settings.support_url
        self.watches = Watches(self, store, self.languages, limiter, metrics, now)
        self.moderators = Moderators(self, store, self.languages, limiter, metrics, now)
        countdowns = Countdowns(time.process_time)
        self.member_calls = MemberCalls(now)
        tools = (self.responses, self.replies, metrics, countdowns, self.member_calls)
        services = Services(store, self.keys, hosts, *tools, now, self.permissions, self.moderators.heard)
        self.runner = Runner(services, settings.reload_seconds)
        self.image_tests = self.runner.image_tests
        self.servers = Servers(self, store, Blocklist(settings.data_dir), self.runner, now)
        self.catalogue_refresh = CatalogueRefresh(
            settings.data_dir, store, self.keys, hosts.places, now, random.choice
        )
        self._retention = Retention(store, now, settings.history_days)
        self._session = session
        self._own_discord = bool(settings.discord_api_url)
        self._tasks: list[asyncio.Task[None]] = []
        self._measure(countdowns)

    def _measure(self, countdowns: Countdowns) -> None:
        metrics, forms = self.metrics, self._connection._view_store._modals  # noqa: SLF001  # nothing else counts them
        metrics.connected.set_function(self.is_connected)
        metrics.servers.set_function(lambda: len(self.guilds))
        metrics.tasks.set_function(lambda: len(asyncio.all_tasks()))
        metrics.forms.set_function(lambda: len(forms))
        metrics.edit_interval.set_function(lambda: countdowns.every)

    async def setup_hook(self) -> None:
        """Load the commands and resume open reloads: after the login, before the gateway connects."""
        if self._own_discord:
            # discord.py sends a fresh login to its default gateway, so that must be the proxy's.
            _, gateway, _ = await self.http.get_bot_gateway()
            DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)
        self.is_half_built = True
        await self.tree.set_translator(CommandTranslator(self.languages))
        for cog in COGS:
            await self.load_extension(cog)
        resumed = await self.runner.resume()
        for name, work in (
            ("sync-commands", self.slash_commands.sync(self.application_id or 0, self.tree)),
            ("upkeep", look_through(self.store)),
            ("retention", self._retention.run()),
            ("list-models", self.catalogue_refresh.run()),
            ("watches", self.watches.run()),
            ("missed-removals", self.servers.run()),
            ("share-reloads", self.runner.share()),
        ):
            self._tasks.append(task := asyncio.create_task(work, name=name))
            task.add_done_callback(log_failure)
        self.is_half_built = False
        log.info("bot.ready_to_run", resumed=resumed)

    async def on_ready(self) -> None:
        """Called by discord.py once all shards are connected, and again after a new login."""
        log.info("bot.up", servers=len(self.guilds))

    def on_event_skipped(self, event: str) -> None:
        """Called by the gateway for an event that it could not read."""
        self.metrics.events_skipped.labels(event).inc()

    def on_server_changed(self, server: int, thread: int | None) -> None:
        """Called by the gateway when the bot may have gained a permission somewhere."""
        self.runner.changed(server, thread)

    async def close(self) -> None:
        """Stop in order: reloads, Discord, the model API. Whoever opened the store closes it."""
        for task in self._tasks:
            task.cancel()
        await self.runner.stop()
        await super().close()
        await self.keys.stop()
        await self.moderators.stop()
        await self.store.release()
        await self._session.close()


def _options(settings: Settings, limiter: Limiter) -> dict[str, Any]:
    """Return discord.py's options: servers only, and nothing kept in memory that is not needed."""
    return {
        "command_prefix": commands.when_mentioned,
        "help_command": None,
        "intents": discord.Intents(guilds=True),
        "allowed_contexts": app_commands.AppCommandContext(
            guild=True, dm_channel=False, private_channel=False
        ),
        "allowed_installs": app_commands.AppInstallationType(guild=True, user=False),
        "allowed_mentions": discord.AllowedMentions.none(),
        "chunk_guilds_at_startup": False,
        "max_messages": None,
        "guild_ready_timeout": GUILD_DELAY,
        "http_trace": trace(limiter, is_proxied=bool(settings.discord_api_url)),
        "shard_count": settings.shard_count,
        "shard_ids": settings.shard_ids,
    }


def settle_garbage_collector() -> None:
    """Keep Python's garbage collector from halting the process over and over; call it once the bot is built.

    With 5,000 countdowns it went through every object every 3 s, for 0.2 s each time (measured). Existing
    objects are exempt from now on; of new ones, nearly all are gone before 10,000 are looked through.
    """
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, COLLECT_OLDER_AFTER)


async def build(
    settings: Settings,
    now: Callable[[], float] = time.time,
    calls: int = MAX_CONCURRENT_CALLS,
    api_hosts: Mapping[str, str] | None = None,
) -> Rewarm:
    """Open the store and make the bot, before anything is sent to Discord.

    `calls`: how many calls to the model API may be open together. `api_hosts`: hosts by version, instead of
    those in the settings. Raises StoreUnusable, and SealBroken if KEY_ENCRYPTION_KEYS are not those of the
    store.
    """
    if settings.discord_api_url:
        Route.BASE = settings.discord_api_url
    metrics = Metrics()
    store = await open_store(settings.store_url, settings.data_dir, metrics)
    vault = Vault(settings.encryption_keys)
    try:
        await unlock(store, vault)
    except SealBroken:
        await store.release()
        store.close()
        raise
    session = open_session()
    hosts = Hosts(session, api_hosts or settings.model_api_hosts, metrics, calls)
    return Rewarm(settings, store, vault, session, hosts, metrics, now)
