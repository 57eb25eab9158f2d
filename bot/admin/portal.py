"""Discord over REST, for the command line. It makes no gateway login, so a running bot is not disturbed."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime

import aiohttp
import discord
from discord.http import Route

from bot.discord_api.buckets import end_calls_with_their_answers
from bot.discord_api.http_trace import trace
from bot.discord_api.limiter import Limiter

LOGIN_TIMEOUT = 20.0


class Portal(discord.Client):
    """A client that is logged in for REST only; `behind`: the seconds that our clock is behind Discord's."""

    def __init__(self) -> None:
        self.behind: float | None = None
        end_calls_with_their_answers()
        watch = trace(Limiter())  # as in the bot, a 429 ends a call instead of being slept out
        watch.on_request_end.append(self._compare_clocks)
        super().__init__(intents=discord.Intents.none(), http_trace=watch)

    async def _compare_clocks(self, _: object, __: object, sent: aiohttp.TraceRequestEndParams) -> None:
        said = sent.response.headers.get("Date")
        if said is not None:
            # The header is cut to full seconds, so half a second later is the best guess.
            self.behind = parsedate_to_datetime(said).timestamp() + 0.5 - time.time()


@asynccontextmanager
async def open_portal(token: str, api_url: str) -> AsyncIterator[Portal]:
    """Log in over REST. Raises discord.LoginFailure and the errors in `bot.discord_api.trouble.TROUBLE`."""
    if api_url:
        Route.BASE = api_url
    portal = Portal()
    try:
        async with asyncio.timeout(LOGIN_TIMEOUT):
            await portal.login(token)
        yield portal
    finally:
        await portal.close()
