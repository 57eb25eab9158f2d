"""One connection to Discord's gateway: an event that cannot be read is skipped, a broken stream is resumed.

discord.py 2.7.1 lets an error of any of its parsers end the client (gateway.py, shard.py): one field that
Discord leaves out, or sets to null, has stopped all bots of a library before (its issues #2422, #788, #7116).
"""

import asyncio
import functools
import re
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import aiohttp
import discord
import structlog
from discord.gateway import DiscordWebSocket, ReconnectWebSocket

RESUME_DELAY = 5.0
READY_TIMEOUT = 60.0
"""Seconds from the connection to READY or RESUMED."""
SILENCE_SHOWN = 2.5
"""Seconds without an answer after which the log says so; a connection or a login may take READY_TIMEOUT."""
_LOST = 4000
"""The close code for a connection whose session can be resumed."""
_CHANGES = ("CHANNEL_UPDATE", "THREAD_UPDATE", "THREAD_LIST_SYNC", "GUILD_ROLE_UPDATE", "GUILD_MEMBER_UPDATE")
_ID = re.compile("[0-9]{1,19}")
_LARGEST_ID = 2**63 - 1
_OF_THE_NETWORK = (ReconnectWebSocket, discord.ConnectionClosed, aiohttp.ClientError, OSError)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class PatientWebSocket(DiscordWebSocket):
    """A connection that tries again where discord.py's shard would give up for good.

    While a shard logs in, discord.py treats only network errors as trouble: a gateway that closes the
    connection, or sends garbage, before it is ready would end the process. A shard that resumes retries
    without a pause.
    """

    _on_skipped: Callable[[str], None]
    """Called with each event that was skipped."""
    _on_changed: Callable[[int, int | None], None]
    """Called with what `change_of` returns."""
    _client: discord.Client
    _parsing: str | None = None
    _ready_by: float | None = None
    _was_ready = False
    """Whether READY has been parsed, here or on the connection that is being resumed; if not, resuming is
    pointless."""

    @classmethod
    async def from_client(cls, client: discord.Client, *, resume: bool = False, **how: Any) -> Self:
        """Connect, and log in or resume. Raises only what a shard can handle."""
        silence = asyncio.get_running_loop().call_later(SILENCE_SHOWN, _report_silence, how.get("shard_id"))
        try:
            socket = await super().from_client(client, resume=resume, **how)
        except ReconnectWebSocket as lost:
            if resume:
                to, error = str(how["gateway"].origin()), type(lost).__name__
                log.warning(
                    "bot.not_connected", to=to, shard=lost.shard_id, error=error, again_in=RESUME_DELAY
                )
                await asyncio.sleep(RESUME_DELAY)
                raise
            raise ConnectionError("the gateway closed the connection before it was ready") from None
        except (ValueError, LookupError, TypeError, AttributeError, zlib.error) as error:
            raise ConnectionError(f"the gateway sent garbage: {type(error).__name__}") from None
        finally:
            silence.cancel()
        socket.watch(client, resumed=resume)
        return socket

    def watch(self, client: discord.Client, *, resumed: bool) -> None:
        """From now on, track which event is being parsed and when the gateway must be ready."""
        self._was_ready = resumed
        self._on_skipped = getattr(client, "on_event_skipped", lambda _: None)
        self._on_changed = getattr(client, "on_server_changed", lambda *_: None)
        self._client = client
        parsers = client._connection.parsers  # noqa: SLF001  # as discord.py hands them to the socket
        self._discord_parsers = {
            event: functools.partial(self._parse, event, parse) for event, parse in parsers.items()
        }
        self._ready_by = self.loop.time() + READY_TIMEOUT
        self.loop.call_later(SILENCE_SHOWN, self._report_if_silent)

    def _parse(self, event: str, parse: Callable[[Any], None], data: Any) -> None:
        self._parsing = event
        if (change := change_of(event, data, self._client.user)) is not None:
            self._on_changed(change.server, change.thread)
        parse(data)
        self._parsing = None
        if event in ("READY", "RESUMED"):
            self._ready_by, self._was_ready = None, True

    def _report_if_silent(self) -> None:
        if self._ready_by is not None and self.open:
            _report_silence(self.shard_id)

    async def received_message(self, msg: Any, /) -> None:
        """Handle a frame. Raises ReconnectWebSocket for one that can't be read, and network errors."""
        beating = self._keep_alive
        try:
            await super().received_message(msg)
            if beating is not None and self._keep_alive is not beating:
                beating.stop()  # a second HELLO: unheard, it would end the connection in a minute
        except _OF_THE_NETWORK:
            raise
        except Exception as error:  # noqa: BLE001  # whatever Discord sends, it stops nobody
            event, self._parsing = self._parsing, None
            if event is None or event == "READY":
                log.warning(
                    "gateway.broken", shard=self.shard_id, at=event or "frame", error=type(error).__name__
                )
                await self._give_up(resume=event is None and self._was_ready)
            else:  # log neither its payload nor the error's text: a submitted form may contain a key
                log.error("gateway.event_skipped", event_name=event, error=type(error).__name__)  # noqa: TRY400
                self._on_skipped(event)

    async def identify(self) -> None:
        """Log in. If it is cancelled in between, close the connection and end its heartbeat thread."""
        try:
            await super().identify()
        except asyncio.CancelledError:
            await self.close(code=_LOST)
            raise

    async def poll_event(self) -> None:
        """Wait for the next frame and handle it. Raises only what a shard can handle."""
        try:
            async with asyncio.timeout_at(self._ready_by):
                await super().poll_event()
        except TimeoutError:
            log.warning("gateway.not_ready", shard=self.shard_id, after=READY_TIMEOUT)
            await self._give_up(resume=False)

    async def _give_up(self, *, resume: bool) -> None:
        if self._keep_alive is not None:
            self._keep_alive.stop()
            self._keep_alive = None
        await self.socket.close(code=_LOST)
        raise ReconnectWebSocket(self.shard_id, resume=resume)


def _report_silence(shard: int | None) -> None:
    log.warning("gateway.silent", shard=shard, waits_up_to=READY_TIMEOUT)


class Change(NamedTuple):
    """A place where the bot may have gained a permission: a whole server, or only one of its threads."""

    server: int
    thread: int | None = None


def change_of(event: str, data: Any, me: discord.abc.Snowflake | None) -> Change | None:
    """Return what an event changes for the bot, `me`; None if nothing, or if it can't be read.

    All of these come with the intent GUILDS, and those about the bot's own member with any intent
    (docs.discord.com/developers/events/gateway, List of Intents).
    """
    if event not in _CHANGES or not isinstance(data, dict):
        return None
    if event == "GUILD_MEMBER_UPDATE":
        user = data.get("user")
        if me is None or not isinstance(user, dict) or user.get("id") != str(me.id):
            return None
    server = _id(data.get("guild_id"))
    if server is None:
        return None
    return Change(server, _id(data.get("id")) if event == "THREAD_UPDATE" else None)


def _id(value: Any) -> int | None:
    number = int(value) if isinstance(value, str) and _ID.fullmatch(value) else None
    return number if number is not None and number <= _LARGEST_ID else None
