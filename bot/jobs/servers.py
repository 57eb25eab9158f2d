"""Coming and going: a blocked server is left at once; where the bot was removed, the server's data goes."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import NoReturn, Protocol

import discord
import structlog

from bot.backoff import retry_pause, start_pause
from bot.discord_api.http_trace import clock
from bot.discord_api.trouble import TROUBLE
from bot.domain.errors import StoreTrouble
from bot.jobs.periodically import periodically
from bot.store.base import MISSING_SERVERS, Store
from bot.store.blocklist import Blocklist

FIRST_DELAY = 600.0
CHECK_INTERVAL = 6 * 3600.0
LIST_TIMEOUT = 7200.0
"""200 servers a call: a million take 5,000 of them, and Discord says how fast."""
LEAVE_TIMEOUT = 30.0
CONFIRM_TIMEOUT = 20.0
MISSING_AGE = 5 * 3600.0
"""How long ago a server must have been missing already: two checks, hours apart."""
SUSPECT_DELAY = 600.0
"""Until the second check of a server that was missing in an earlier process, too."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Reloads(Protocol):
    """What is needed of `bot.reloads.runner`."""

    def pause(self, server: int) -> None:
        """Stop everything of a server; nothing is deleted."""

    async def go_on(self, server: int) -> None:
        """Take up again what is open of a server. Raises StoreTrouble."""

    async def forget(self, server: int) -> None:
        """Stop everything of a server and delete its data. Raises StoreTrouble."""


class Servers:
    """Leaves servers that are blocked, and forgets those that removed the bot."""

    def __init__(
        self,
        bot: discord.Client,
        store: Store,
        blocked: Blocklist,
        reloads: Reloads,
        now: Callable[[], float],
    ) -> None:
        self._bot = bot
        self._store = store
        self._blocked = blocked
        self._reloads = reloads
        self._now = now
        self._missed: dict[int, float] = {}
        """When this process first missed each missing server, by the loop's clock, which nobody sets."""
        self._suspects: set[int] | None = None
        """Those that were missing in an earlier process, and at the first check of this one."""

    async def run(self) -> NoReturn:
        """Look for removals that nobody told us of, for ever."""
        await periodically(FIRST_DELAY, CHECK_INTERVAL, self.look_for_missed_removals, "servers.not_compared")

    async def leave_if_blocked(self, guilds: Sequence[discord.Guild]) -> None:
        """Leave those that the owner does not want."""
        try:
            blocked = await asyncio.to_thread(self._blocked.all)
        except OSError as error:
            log.error("servers.block_list_unreadable", error=str(error))  # noqa: TRY400  # no news in a traceback
            return
        for guild in guilds:
            if guild.id in blocked:
                try:
                    async with asyncio.timeout(LEAVE_TIMEOUT):
                        await guild.leave()
                    log.info("server.left", server=guild.id, why="blocked")
                except TROUBLE as error:  # the next look is another try
                    log.warning("server.not_left", server=guild.id, error=type(error).__name__)

    async def look_for_missed_removals(self) -> float | None:
        """Compare the store with the list of our servers: a removal is not told again to who was away.

        Return the seconds until the next look, if that is sooner than usual.
        """
        await self.leave_if_blocked(self._bot.guilds)
        try:
            before = {guild.id for guild in self._bot.guilds}
            async with asyncio.timeout(LIST_TIMEOUT):
                ours = {guild.id async for guild in self._bot.fetch_guilds(limit=None, with_counts=False)}
        except TROUBLE as error:
            log.warning("servers.not_compared", error=type(error).__name__)
            return FIRST_DELAY
        joined = {guild.id for guild in self._bot.guilds} - before
        away = {guild.id for guild in self._bot.guilds if guild.unavailable}
        return await self._compare(ours | joined | away)

    async def _compare(self, ours: set[int]) -> float | None:
        now, here = self._now(), clock()
        missing = await self._store.servers() - ours
        before: dict[str, float] = await self._store.value(MISSING_SERVERS) or {}
        since = {server: min(before.get(str(server), now), now) for server in missing}
        self._missed = {server: self._missed.get(server, here) for server in missing}
        gone = {server for server, at in self._missed.items() if here - at >= MISSING_AGE}
        if self._suspects is None:  # how long ago that was, only the wall clock says: it proves nothing alone
            self._suspects = {server for server, at in since.items() if now - at >= MISSING_AGE}
        else:
            gone |= self._suspects & missing
            self._suspects = set()
        for server in gone:
            await self.forget(server)
            del since[server], self._missed[server]
        await self._store.set_value(MISSING_SERVERS, {str(server): at for server, at in since.items()})
        return SUSPECT_DELAY if self._suspects else None

    async def removed(self, server: int) -> None:
        """Stop work for a server; forget it once Discord confirms: no event alone deletes anything."""
        self._reloads.pause(server)
        for attempt in itertools.count():
            try:
                if await self._is_member(server):
                    log.warning("server.not_removed", server=server)
                    await self._reloads.go_on(server)
                    return
                break
            except (*TROUBLE, StoreTrouble) as error:
                log.warning("server.removal_unconfirmed", server=server, error=type(error).__name__)
                await asyncio.sleep(start_pause(attempt))
        await self.forget(server)

    async def _is_member(self, server: int) -> bool:
        """Whether the bot is in a server, as Discord's list of its servers says."""
        async with asyncio.timeout(CONFIRM_TIMEOUT):
            before = discord.Object(server - 1)
            listed = self._bot.fetch_guilds(limit=1, after=before, with_counts=False)
            return server in [guild.id async for guild in listed]

    async def forget(self, server: int) -> None:
        """Delete all that is kept of a server, trying until it works, or until the bot is back in it."""
        for attempt in itertools.count():
            try:
                await self._reloads.forget(server)
            except StoreTrouble as error:
                log.error("server.not_forgotten", server=server, error=str(error))  # noqa: TRY400
                await asyncio.sleep(retry_pause(attempt))
                if self._bot.get_guild(server) is not None:  # it is back, and may have set a new key
                    return
            else:
                log.info("server.forgotten", server=server)
                return
