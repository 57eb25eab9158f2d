"""Follows joins and removals: a blocked server is left immediately; a removal deletes the server's data."""

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
"""Seconds for the list of servers: a call returns 200, so a million take 5,000, and Discord sets the pace."""
LEAVE_TIMEOUT = 30.0
CONFIRM_TIMEOUT = 20.0
MISSING_AGE = 5 * 3600.0
"""Seconds that a server must have been missing already: two checks, hours apart."""
SUSPECT_DELAY = 600.0
"""Seconds until the second check of a server that an earlier process missed, too."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Reloads(Protocol):
    """The part of `bot.reloads.runner` that is used here."""

    def pause(self, server: int) -> None:
        """Stop everything of a server; nothing is deleted."""

    async def go_on(self, server: int) -> None:
        """Resume what is open of a server. Raises StoreTrouble."""

    async def forget(self, server: int) -> None:
        """Stop everything of a server and delete its data. Raises StoreTrouble."""


class Servers:
    """Leaves blocked servers, and forgets servers that removed the bot."""

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
        """When this process first missed each missing server, by the loop's clock, which nobody can set."""
        self._suspects: set[int] | None = None
        """The servers that were missing in an earlier process, and at the first check of this one."""

    async def run(self) -> NoReturn:
        """Look, forever, for removals that no event reported."""
        await periodically(FIRST_DELAY, CHECK_INTERVAL, self.look_for_missed_removals, "servers.not_compared")

    async def leave_if_blocked(self, guilds: Sequence[discord.Guild]) -> None:
        """Leave a server that the owner has blocked."""
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
        """Compare the store with the list of our servers: removals while we were offline are not repeated.

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
        if self._suspects is None:  # only the wall clock says how long ago: it proves nothing alone
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
        """Return whether the bot is in a server, by Discord's list of its servers."""
        async with asyncio.timeout(CONFIRM_TIMEOUT):
            before = discord.Object(server - 1)
            listed = self._bot.fetch_guilds(limit=1, after=before, with_counts=False)
            return server in [guild.id async for guild in listed]

    async def forget(self, server: int) -> None:
        """Delete everything kept about a server, retrying until it works or the bot is back in it."""
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
