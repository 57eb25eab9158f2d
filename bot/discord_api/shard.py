"""A shard of the connection to Discord: it comes back after trouble, and says so in one line each time."""

import asyncio
import math
from typing import TYPE_CHECKING

import discord
import structlog
from discord.backoff import ExponentialBackoff
from discord.gateway import ReconnectWebSocket
from discord.shard import EventItem, EventType, Shard

from bot.backoff import start_pause
from bot.discord_api.http_trace import clock

if TYPE_CHECKING:
    from bot.discord_api.client import PatientBot

HEALTHY_AGE = 60.0
"""Seconds that a stream must have lasted to be resumed without a pause."""
MAX_RESUMES = 5
"""How many times in a row a stream may break before it is no longer resumed: Discord would resend what broke
it."""
_LONGEST_PAUSE_EXPONENT = 6
_NORMAL, _SHARDING_REQUIRED = 1000, 4011
"""Close codes."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class PatientShard(Shard):
    """A shard that never ends the bot, and whose pauses delay no other shard."""

    _client: "PatientBot"
    _connected_at = -math.inf
    _quick = 0
    """How many connections in a row were lost soon after they were made."""

    def launch(self) -> None:
        """Start reading what the gateway sends."""
        self._connected_at = clock()
        super().launch()

    async def worker(self) -> None:
        """Read until the connection ends; discord.py looks at how it ended once all shards are launched."""
        await super().worker()
        # It runs in its own task, because a shard that reconnects cancels this one.
        self._client.keep(self._client.logins.ended(self.id), f"ended-{self.id}")

    async def reidentify(self, exc: ReconnectWebSocket) -> None:
        """Resume, or log in again when its turn has come."""
        if not self._client.has(self):
            return
        self._quick = 0 if clock() - self._connected_at > HEALTHY_AGE else self._quick + 1
        # The same events would break the stream again; a login that got no answer has no session.
        if exc.resume and (self._quick > MAX_RESUMES or self.ws.session_id is None):
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
        """Try again after a pause, as discord.py does, but with one line in the log and no traceback."""
        bot = self._client
        if isinstance(e, discord.ConnectionClosed) and e.code == _SHARDING_REQUIRED and bot.may_reshard():
            bot.keep(bot.reshard(), "reshard")
            return
        if bot.is_closed() or (isinstance(e, discord.ConnectionClosed) and e.code != _NORMAL):
            await super()._handle_disconnect(e)
            return
        self._dispatch("disconnect")
        self._dispatch("shard_disconnect", self.id)
        pause, seen = self._backoff.delay(), {"shard": self.id, "error": type(e).__name__}
        log.warning("bot.not_connected", to=str(self.ws.gateway.origin()), **seen, again_in=round(pause, 1))
        await asyncio.sleep(pause)
        self._queue_put(EventItem(EventType.reconnect, self, e))

    async def reconnect(self) -> None:
        """Log in again when its turn has come."""
        if not self._client.has(self):
            return
        self._cancel_task()
        self._client.keep(self._reconnect_in_turn(), f"shard-{self.id}")

    async def _reconnect_in_turn(self) -> None:
        await self._client.logins.wait(self.id)
        if not self._client.is_closed():
            await super().reconnect()


class PatientBackoff(ExponentialBackoff[bool]):
    """Pauses of at most a minute; discord.py's grow to 17."""

    def __init__(self) -> None:
        super().__init__()
        self._max = _LONGEST_PAUSE_EXPONENT
