"""Coming and going: a blocked server is left at once; where the bot is removed, the server's data goes."""

import asyncio
import itertools
from collections.abc import Sequence

import discord
import structlog
from discord.ext import commands, tasks

from bot.app import Rewarm
from bot.cadence import retry_pause
from bot.errors import StoreTrouble
from bot.store.base import MISSING_SERVERS
from bot.trace import TROUBLE

FIRST_CHECK_SECONDS = 600.0
CHECK_HOURS = 6
LIST_SECONDS = 7200.0
"""200 servers a call: a million take 5,000 of them, and Discord says how fast."""
LEAVE_SECONDS = 30.0
MISSING_SECONDS = 5 * 3600.0
"""How long ago a server must have been missing already: two checks, hours apart."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class GuildsCog(commands.Cog):
    """Forgets servers that removed the bot."""

    def __init__(self, bot: Rewarm) -> None:
        self.bot = bot

    async def cog_load(self) -> None:
        """Begin to look for removals that nobody told us of."""
        self.look_for_missed_removals.start()

    async def cog_unload(self) -> None:
        """Stop that."""
        self.look_for_missed_removals.cancel()

    @commands.Cog.listener()
    async def on_guild_join(self, guild: discord.Guild) -> None:
        """Invited, or known for the first time."""
        await self._leave_if_blocked([guild])

    @commands.Cog.listener()
    async def on_ready(self) -> None:
        """Up, and again after a new login: an invitation meanwhile is not told."""
        await self._leave_if_blocked(self.bot.guilds)

    async def _leave_if_blocked(self, guilds: Sequence[discord.Guild]) -> None:
        try:
            blocked = await asyncio.to_thread(self.bot.blocked.all)
        except OSError as error:
            log.error("servers.block_list_unreadable", error=str(error))  # noqa: TRY400  # no news in a traceback
            return
        for guild in guilds:
            if guild.id in blocked:
                try:
                    async with asyncio.timeout(LEAVE_SECONDS):
                        await guild.leave()
                    log.info("server.left", server=guild.id, why="blocked")
                except TROUBLE as error:  # the next look is another try
                    log.warning("server.not_left", server=guild.id, error=type(error).__name__)

    @commands.Cog.listener()
    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """Removed, not merely unavailable: that is another event."""
        await self._forget(guild.id)

    @tasks.loop(hours=CHECK_HOURS)
    async def look_for_missed_removals(self) -> None:
        """Compare the store with the list of our servers: a removal is not told again to who was away."""
        await self._leave_if_blocked(self.bot.guilds)
        try:
            before = {guild.id for guild in self.bot.guilds}
            async with asyncio.timeout(LIST_SECONDS):
                ours = {guild.id async for guild in self.bot.fetch_guilds(limit=None, with_counts=False)}
            joined = {guild.id for guild in self.bot.guilds} - before
            away = {guild.id for guild in self.bot.guilds if guild.unavailable}
            await self._compare(ours | joined | away)
        except (*TROUBLE, StoreTrouble) as error:
            log.warning("servers.not_compared", error=type(error).__name__)

    async def _compare(self, ours: set[int]) -> None:
        store, now = self.bot.store, self.bot.now()
        missing = await store.servers() - ours
        before: dict[str, float] = await store.value(MISSING_SERVERS) or {}
        since = {server: min(before.get(str(server), now), now) for server in missing}
        for server in [server for server in missing if now - since[server] >= MISSING_SECONDS]:
            await self._forget(server)
            del since[server]
        await store.set_value(MISSING_SERVERS, {str(server): at for server, at in since.items()})

    @look_for_missed_removals.before_loop
    async def _first_pause(self) -> None:
        await asyncio.sleep(FIRST_CHECK_SECONDS)

    async def _forget(self, server: int) -> None:
        for attempt in itertools.count():
            try:
                await self.bot.runner.forget(server)
            except StoreTrouble as error:
                log.error("server.not_forgotten", server=server, error=str(error))  # noqa: TRY400
                await asyncio.sleep(retry_pause(attempt))
                if self.bot.get_guild(server) is not None:  # it is back, and may have set a new key
                    return
            else:
                log.info("server.forgotten", server=server)
                return


async def setup(bot: Rewarm) -> None:
    """Called by discord.py."""
    await bot.add_cog(GuildsCog(bot))
