"""What the bot's HTTP session watches: countdowns that waited too long, and each channel's limit."""

import asyncio
import re
from contextvars import ContextVar

import aiohttp

from bot.pace import Pace

STALE_SECONDS = 0.5
"""How old the number in a countdown may be when it is sent."""
_POST_TO_CHANNEL = re.compile(r"/channels/(\d+)/messages$")
_LIMIT = ("Limit", "Remaining", "Reset-After")

drawn_at: ContextVar[float | None] = ContextVar("drawn_at", default=None)
"""When the countdown that is being sent was drawn, by the loop's clock."""


class StaleError(Exception):
    """A countdown waited so long to be sent that its number is no longer right."""


def clock() -> float:
    """The event loop's monotonic clock, in seconds."""
    return asyncio.get_running_loop().time()


def trace(pace: Pace) -> aiohttp.TraceConfig:
    """For the bot's HTTP: drops a countdown that discord.py made wait, and reads each channel's limit."""

    async def after(_: object, __: object, sent: aiohttp.TraceRequestEndParams) -> None:
        posted = _POST_TO_CHANNEL.search(sent.url.path)
        if sent.method != "POST" or posted is None:
            return
        limit, remaining, reset = (sent.response.headers.get(f"X-RateLimit-{name}", "") for name in _LIMIT)
        if limit.isdigit() and remaining.isdigit() and re.fullmatch(r"\d+(\.\d+)?", reset):
            pace.learn(int(posted[1]), int(limit), int(remaining), float(reset), clock())

    async def before(*_: object) -> None:
        drawn = drawn_at.get()
        if drawn is not None and clock() - drawn > STALE_SECONDS:
            raise StaleError

    config = aiohttp.TraceConfig()
    config.on_request_start.append(before)
    config.on_request_end.append(after)
    return config
