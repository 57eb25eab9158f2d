"""The connection to Discord: trouble is waited out with growing pauses; only a refused token ends it."""

import asyncio
import functools
import itertools
import zlib
from collections.abc import Awaitable, Callable
from typing import Any, Self

import discord
import structlog
import yarl
from discord.backoff import ExponentialBackoff
from discord.ext import commands
from discord.gateway import DiscordWebSocket, ReconnectWebSocket
from discord.http import Route

from bot.backoff import start_pause
from bot.discord_api.trouble import NETWORK, TROUBLE

LOGIN_TIMEOUT = 60.0
RESUME_DELAY = 5.0
_LONGEST_PAUSE_EXPONENT = 6
_TOKEN_REFUSED = 4004

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class PatientBot(commands.AutoShardedBot):
    """A bot that stays connected, whatever Discord and the way there do."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self._launching: set[int] = set()
        self.is_half_built = False
        """`setup_hook` has begun and not ended: a second try would fail on the first one's leavings."""

    async def serve(self, token: str) -> None:
        """Log in and stay connected until `close`.

        Trouble while starting is waited out with growing pauses. Raises discord.LoginFailure where Discord
        refuses the token.
        """
        _be_patient()
        await _patiently(functools.partial(self._login, token), given_up=lambda: self.is_half_built)
        try:
            await _patiently(self.connect, given_up=self.is_closed)
        except discord.ConnectionClosed as error:
            if error.code != _TOKEN_REFUSED:
                raise
            raise discord.LoginFailure("the token has been reset") from None

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
                await super().launch_shard(gateway, shard_id, initial=initial)
            except _NotLaunchedError:
                await asyncio.sleep(start_pause(attempt))
            else:
                return
            finally:
                self._launching.discard(shard_id)

    def is_connected(self) -> bool:
        """Whether every shard of this process hears from Discord."""
        shards = self.shards.values()
        return self.is_ready() and bool(shards) and not any(shard.is_closed() for shard in shards)


class PatientWebSocket(DiscordWebSocket):
    """Where discord.py's shard gives up for good, it is told of a lost connection, and tries again.

    A shard that logs in anew takes only errors of the network for trouble: a gateway that closes the
    connection, or speaks garbage, before it is ready would end the process (discord.py 2.7.1, shard.py). One
    that resumes tries again at once, without a pause.
    """

    @classmethod
    async def from_client(cls, client: discord.Client, *, resume: bool = False, **how: Any) -> Self:
        """Connect, and log in or resume. Raises what a shard can handle."""
        try:
            return await super().from_client(client, resume=resume, **how)
        except ReconnectWebSocket:
            if resume:
                await asyncio.sleep(RESUME_DELAY)
                raise
            raise ConnectionError("the gateway closed the connection before it was ready") from None
        except (ValueError, KeyError, TypeError, zlib.error) as error:
            raise ConnectionError(f"the gateway sent garbage: {type(error).__name__}") from None


class PatientBackoff(ExponentialBackoff[bool]):
    """Pauses of a minute at most, not 17: all shards wait for the one that pauses."""

    def __init__(self) -> None:
        super().__init__()
        self._max = _LONGEST_PAUSE_EXPONENT


class _NotLaunchedError(Exception):
    """A shard could not be connected."""


def _be_patient() -> None:
    """Have discord.py's shards use these: it looks both up in its own module."""
    discord.shard.DiscordWebSocket = PatientWebSocket  # type: ignore[misc]
    discord.shard.ExponentialBackoff = PatientBackoff  # type: ignore[attr-defined, assignment]


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
