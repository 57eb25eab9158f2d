"""The bot's connection to Discord. It waits out trouble with growing pauses; only a refusal ends it."""

import asyncio
import functools
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import discord
import discord.state
import structlog
import yarl
from discord.ext import commands
from discord.http import Route
from discord.shard import Shard

from bot.backoff import start_pause
from bot.discord_api.buckets import end_calls_with_their_answers
from bot.discord_api.gateway import PatientWebSocket
from bot.discord_api.logins import Limits, Logins
from bot.discord_api.place import PlacedInteraction
from bot.discord_api.shard import PatientBackoff, PatientShard
from bot.discord_api.trouble import NETWORK, TROUBLE
from bot.domain.errors import DiscordRefuses
from bot.logs import log_failure

LOGIN_TIMEOUT = CONNECT_TIMEOUT = 60.0
_TOKEN_REFUSED = 4004
_UPGRADE = "Discord no longer accepts what this version of the bot asks for (code {code}): upgrade the bot"
_REFUSALS = {
    4010: "SHARD_COUNT and SHARD_IDS: Discord doesn't know this shard. Check both, for each process",
    4011: "SHARD_COUNT: Discord wants more shards for this bot. `check` shows how many; set it everywhere",
    4012: _UPGRADE,
    4013: _UPGRADE,
    4014: _UPGRADE,
}
"""Close codes that end the bot, with what to do (Discord's page on opcodes)."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line of discord.py's says something new: suggestions that come too late are no defect."""
    error = record.exc_info[1] if record.exc_info else None
    if "autocomplete" not in str(record.msg) or not isinstance(error, NETWORK):
        return True
    log.info("suggestions.not_sent", error=type(error).__name__, status=getattr(error, "status", None))
    return False


class PatientBot(commands.AutoShardedBot):
    """A bot that stays connected, whatever Discord and the network do."""

    logins: Logins
    """Set by the code that opens the store."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        logging.getLogger("discord.app_commands.tree").addFilter(_is_news)
        self._kept: set[asyncio.Task[None]] = set()
        self._asks_for_shards = how.get("shard_count") is None
        self._launching = asyncio.Lock()
        self._resharding: asyncio.Task[Any] | None = None
        self.unknown_places: set[int] = set()
        """Channels of a type that discord.py doesn't know, so we can't tell whether they take messages."""
        discord.state.Interaction = PlacedInteraction  # type: ignore[attr-defined]  # it looks there
        self.is_half_built = False
        """`setup_hook` has started but not finished: a second try would trip over what the first one left."""

    async def serve(self, token: str) -> None:
        """Log in and stay connected until `close`, waiting out trouble with growing pauses.

        Raises discord.LoginFailure if Discord refuses the token, and DiscordRefuses, which says what to do,
        if it refuses something else for good.
        """
        _be_patient()
        await _patiently(functools.partial(self._login, token), given_up=lambda: self.is_half_built)
        try:
            await _patiently(self.connect, given_up=self.is_closed)
        except (discord.ConnectionClosed, discord.PrivilegedIntentsRequired) as error:
            code = getattr(error, "code", 4014)
            if code == _TOKEN_REFUSED:
                raise discord.LoginFailure("the token has been reset") from None
            if code not in _REFUSALS:
                raise
            raise DiscordRefuses(_REFUSALS[code].format(code=code)) from None

    async def _login(self, token: str) -> None:
        try:
            async with asyncio.timeout(LOGIN_TIMEOUT):
                await self.login(token)
        except TROUBLE:
            await self.http.close()  # the next login makes its own session and connector
            self.http.connector = discord.utils.MISSING
            raise

    async def launch_shards(self) -> None:
        """Connect all shards, one after another.

        If Discord has asked for another number of shards, first give up the old ones.
        """
        async with self._launching:
            await super().launch_shards()

    async def launch_shard(self, gateway: yarl.URL, shard_id: int, *, initial: bool = False) -> None:
        """Connect a shard with growing pauses; discord.py's version recurses until Python's stack is full."""
        for attempt in itertools.count():
            if self._is_left_behind():
                return
            await self.logins.wait(shard_id)
            if self._is_left_behind():
                await self.logins.give_up(shard_id)
                return
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    socket = await PatientWebSocket.from_client(
                        self, initial=initial, gateway=gateway, shard_id=shard_id
                    )
            except TROUBLE as error:
                pause, seen = start_pause(attempt), {"shard": shard_id, "error": type(error).__name__}
                log.warning("bot.not_connected", to=str(gateway.origin()), **seen, again_in=pause)
                await asyncio.sleep(pause)
                continue
            if self._is_left_behind():
                await socket.close()
                return
            queue = self._AutoShardedClient__queue  # type: ignore[attr-defined]  # nothing else has it
            self._all_shards[shard_id] = shard = PatientShard(socket, self, queue.put_nowait)
            shard.launch()
            return

    @property
    def _all_shards(self) -> dict[int, Shard]:
        found: dict[int, Shard] = self._AutoShardedClient__shards  # type: ignore[attr-defined]  # nothing else has them
        return found

    def _is_left_behind(self) -> bool:
        """Return whether this task connects shards although Discord now wants a different number of them."""
        return self._resharding not in (None, asyncio.current_task())

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:  # noqa: ARG002  # as discord.py calls it
        """Called by discord.py; its own version would sleep here, while the gateway waits for us."""
        await self.logins.begun(shard_id or 0)

    async def on_shard_connect(self, shard_id: int) -> None:
        """Called by discord.py after READY."""
        await self.logins.ready(shard_id)

    async def limits(self) -> Limits:
        """Ask how many logins Discord allows. Raises the errors in `bot.discord_api.trouble.TROUBLE`."""
        _, _, said = await self.http.get_bot_gateway()
        return Limits(int(said["remaining"]), said["reset_after"] / 1000, int(said["max_concurrency"]))

    def keep(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run a task that belongs to the connection until the bot is closed."""
        task = asyncio.create_task(work, name=name)
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)
        task.add_done_callback(log_failure)

    def may_reshard(self) -> bool:
        """Whether Discord decides how many shards there are."""
        return self._asks_for_shards

    async def reshard(self) -> None:
        """Reconnect with as many shards as Discord now wants."""
        if self._resharding is not None:
            return
        self._resharding = asyncio.current_task()
        log.warning("gateway.resharding", was=self.shard_count)
        await self._leave()
        await asyncio.gather(*(shard.close() for shard in self._all_shards.values()), return_exceptions=True)
        self._all_shards.clear()
        self.shard_count = None  # type: ignore[assignment]  # then discord.py asks
        try:
            await _patiently(self.launch_shards, given_up=self.is_closed)
        finally:
            self._resharding = None

    async def close(self) -> None:
        """Let go of Discord, and record that healthy shards need not wait at the next start."""
        await self._leave()
        await super().close()

    async def _leave(self) -> None:
        for task in self._kept - {asyncio.current_task()}:
            task.cancel()
        await self.logins.leave(id_ for id_, shard in self.shards.items() if not shard.is_closed())

    def gateway_state(self) -> str:
        """Return "ok", or what is wrong, in words."""
        if self.is_connected():
            return "ok"
        none_left = self.logins.none_left()
        return f"not ok: {none_left}" if none_left else "not ok"

    def has(self, shard: Shard) -> bool:
        """Return whether a shard is still ours: Discord may now want a different number of shards."""
        return self._all_shards.get(shard.id) is shard

    def is_connected(self) -> bool:
        """Return whether every shard of this process hears from Discord."""
        shards = self.shards.values()
        return self.is_ready() and bool(shards) and not any(shard.is_closed() for shard in shards)


def _be_patient() -> None:
    """Make discord.py use these classes: it looks them up in its own modules."""
    discord.shard.DiscordWebSocket = PatientWebSocket  # type: ignore[misc]
    discord.shard.ExponentialBackoff = PatientBackoff  # type: ignore[attr-defined, assignment]
    end_calls_with_their_answers()


async def _patiently(start: Callable[[], Awaitable[None]], given_up: Callable[[], bool]) -> None:
    """Start again after trouble, with growing pauses; stop at a refused token or once `given_up`."""
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
            # An odd answer and a bug of ours look alike, so log the whole error unless it comes from the
            # network.
            odd = None if isinstance(error, NETWORK) else error
            log.warning("bot.not_connected", **seen, again_in=pause, exc_info=odd)
            await asyncio.sleep(pause)
        else:
            return
