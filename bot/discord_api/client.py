"""The bot's connection to Discord: trouble is waited out with growing pauses; only a refusal ends it."""

import asyncio
import functools
import itertools
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import discord
import discord.state
import structlog
import yarl
from discord.backoff import ExponentialBackoff
from discord.ext import commands
from discord.gateway import ReconnectWebSocket
from discord.http import Route
from discord.shard import Shard

from bot.backoff import start_pause
from bot.discord_api.gateway import PatientWebSocket
from bot.discord_api.http_trace import clock
from bot.discord_api.logins import Limits, Logins
from bot.discord_api.place import PlacedInteraction
from bot.discord_api.trouble import NETWORK, TROUBLE
from bot.domain.errors import DiscordRefuses
from bot.logs import log_failure

LOGIN_TIMEOUT = 60.0
HEALTHY_AGE = 60.0
"""A stream that lasted so long is resumed without a pause."""
MAX_RESUMES = 5
"""A stream that broke so often in a row is not resumed again: what broke it would be sent again."""
_LONGEST_PAUSE_EXPONENT = 6
_TOKEN_REFUSED, _SHARDING_REQUIRED = 4004, 4011
_UPGRADE = "Discord no longer takes what this version of the bot asks for (code {code}): upgrade the bot"
_REFUSALS = {
    4010: "SHARD_COUNT and SHARD_IDS: Discord does not know such a shard. Look at both, on each process",
    4011: "SHARD_COUNT: Discord wants more shards for this bot. `check` says how many; set it everywhere",
    4012: _UPGRADE,
    4013: _UPGRADE,
    4014: _UPGRADE,
}
"""By close code (Discord's page on opcodes): what ends the bot, and what to do."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class PatientBot(commands.AutoShardedBot):
    """A bot that stays connected, whatever Discord and the way there do."""

    logins: Logins
    """Set by whoever has a store."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self._launching: set[int] = set()
        self._kept: set[asyncio.Task[None]] = set()
        self._asks_for_shards = how.get("shard_count") is None
        self._is_resharding = False
        self.unknown_places: set[int] = set()
        """Channels of a type that discord.py does not know: nobody knows whether they take messages."""
        discord.state.Interaction = PlacedInteraction  # type: ignore[attr-defined]  # it looks there
        self.is_half_built = False
        """`setup_hook` has begun and not ended: a second try would fail on the first one's leavings."""

    async def serve(self, token: str) -> None:
        """Log in and stay connected until `close`.

        Trouble is waited out with growing pauses. Raises discord.LoginFailure where Discord refuses the
        token, and DiscordRefuses, with what to do, where it refuses something else for good.
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
                await self.logins.wait(shard_id)
                await super().launch_shard(gateway, shard_id, initial=initial)
            except _NotLaunchedError:
                await asyncio.sleep(start_pause(attempt))
            else:
                return
            finally:
                self._launching.discard(shard_id)

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:  # noqa: ARG002  # as discord.py calls it
        """Called by discord.py; its own would sleep here, where the gateway waits for us."""
        await self.logins.begun(shard_id or 0)

    async def limits(self) -> Limits:
        """How many logins Discord allows. Raises what is in `bot.discord_api.trouble.TROUBLE`."""
        _, _, said = await self.http.get_bot_gateway()
        return Limits(said["remaining"], said["reset_after"] / 1000, said["max_concurrency"])

    def keep(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run a task of the connection's until the bot is closed."""
        task = asyncio.create_task(work, name=name)
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)
        task.add_done_callback(log_failure)

    def may_reshard(self) -> bool:
        """Whether it is Discord that says how many shards there are."""
        return self._asks_for_shards

    async def reshard(self) -> None:
        """Connect anew, with as many shards as Discord wants by now."""
        if self._is_resharding:
            return
        self._is_resharding = True
        log.warning("gateway.resharding", was=self.shard_count)
        shards: dict[int, Shard] = self._AutoShardedClient__shards  # type: ignore[attr-defined]  # nothing else has them
        await asyncio.gather(*(shard.close() for shard in shards.values()), return_exceptions=True)
        shards.clear()
        self.shard_count = None  # type: ignore[assignment]  # then discord.py asks
        try:
            await _patiently(self.launch_shards, given_up=self.is_closed)
        finally:
            self._is_resharding = False

    async def close(self) -> None:
        """Let go of Discord; a shard that is well need not wait at the next start."""
        well = [id_ for id_, shard in self.shards.items() if not shard.is_closed()]
        for task in list(self._kept):
            task.cancel()
        for shard in well:
            await self.logins.stayed(shard)
        await super().close()

    def is_connected(self) -> bool:
        """Whether every shard of this process hears from Discord."""
        shards = self.shards.values()
        return self.is_ready() and bool(shards) and not any(shard.is_closed() for shard in shards)


class PatientShard(Shard):
    """A shard that never ends the bot, and whose pauses hold up no other shard."""

    _client: PatientBot
    _connected_at = -math.inf
    _quick = 0
    """Connections in a row that were lost soon after they were made."""

    def launch(self) -> None:
        """Read what the gateway sends, from now on."""
        self._connected_at = clock()
        super().launch()

    async def reidentify(self, exc: ReconnectWebSocket) -> None:
        """Resume, or log in again: once it is time for that."""
        self._quick = 0 if clock() - self._connected_at > HEALTHY_AGE else self._quick + 1
        if exc.resume and self._quick > MAX_RESUMES:  # what breaks the stream would be sent again
            exc = ReconnectWebSocket(self.id, resume=False)
        self._cancel_task()
        pause = start_pause(self._quick - 2) if exc.resume and self._quick > 1 else 0.0
        self._client.keep(self._reidentify(exc, pause), f"shard-{self.id}")

    async def _reidentify(self, exc: ReconnectWebSocket, pause: float) -> None:
        await asyncio.sleep(pause)
        if not exc.resume:
            await self._client.logins.wait(self.id)
        if not self._client.is_closed():
            await super().reidentify(exc)

    async def _handle_disconnect(self, e: Exception) -> None:
        bot = self._client
        if isinstance(e, discord.ConnectionClosed) and e.code == _SHARDING_REQUIRED and bot.may_reshard():
            bot.keep(bot.reshard(), "reshard")
            return
        await super()._handle_disconnect(e)

    async def reconnect(self) -> None:
        """Log in again, once it is time for that."""
        self._cancel_task()
        self._client.keep(self._reconnect_in_turn(), f"shard-{self.id}")

    async def _reconnect_in_turn(self) -> None:
        await self._client.logins.wait(self.id)
        if not self._client.is_closed():
            await super().reconnect()


class PatientBackoff(ExponentialBackoff[bool]):
    """Pauses of a minute at most, not 17."""

    def __init__(self) -> None:
        super().__init__()
        self._max = _LONGEST_PAUSE_EXPONENT


class _NotLaunchedError(Exception):
    """A shard could not be connected."""


def _be_patient() -> None:
    """Have discord.py use these: it looks them up in its own module."""
    discord.shard.DiscordWebSocket = PatientWebSocket  # type: ignore[misc]
    discord.shard.ExponentialBackoff = PatientBackoff  # type: ignore[attr-defined, assignment]
    discord.shard.Shard = PatientShard  # type: ignore[misc]


async def _patiently(start: Callable[[], Awaitable[None]], given_up: Callable[[], bool]) -> None:
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
