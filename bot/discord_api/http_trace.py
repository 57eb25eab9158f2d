"""What the bot's HTTP session watches: each call to Discord, as it goes out and as its answer comes in.

discord.py sleeps out a 429 inside the call, however long; where our time limit cuts that short in a limit on
everything, it never calls again. Here a 429 ends the call, and what it said is known to the next ones.
"""

import asyncio
import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp

from bot.discord_api.limiter import Limiter
from bot.discord_api.trouble import DownError, LimitedError, NotDiscordError, StaleError

LONGEST_WAIT = 3600.0
"""Seconds for which nothing is asked, whatever Discord names: an odd number would last until a restart."""
STALE_AGE = 0.5
"""How old the number in a countdown may be when it is sent."""
_LEAST_WAIT = 0.001
"""Rounding leaves less than a clock can tell apart: to sleep for that could go on without end."""
_OF_CHANNEL = re.compile(r"/channels/(\d+)/messages(/\d+)?$")
_ONE_OF_MANY = re.compile(r"(?<=/messages|/commands)/(\d+|@original)|(?<=/members)/\d+")
"""Shares a bucket with its like: only channels, servers and tokens have one each (Discord: Rate Limits)."""
_BY_TOKEN = re.compile(r"/(webhooks|interactions)/\d+/")
_OF_LOGIN = re.compile(r"/(users/@me|oauth2/applications/@me|gateway/bot)$")
_LIMIT = ("Limit", "Remaining")
_NUMBER = re.compile(r"\d{1,9}(\.\d+)?")


@dataclass(slots=True)
class Call:
    """One edit or ping on its way, by the loop's clock."""

    drawn_at: float | None = None
    """When the countdown in it was drawn."""
    done: bool = False
    """Discord has done it, whatever becomes of the call."""
    unanswered: bool = False
    """It went out, and nobody can say whether Discord has done it."""
    broken: bool = False
    """Discord answered with trouble of its own: most likely it has not done it."""

    def note(self, status: int) -> None:
        """An answer has come."""
        self.unanswered, self.done, self.broken = False, status < 300, status >= 500


current: ContextVar[Call | None] = ContextVar("current", default=None)
"""The call that this task is making."""


def clock() -> float:
    """The event loop's monotonic clock, in seconds."""
    return asyncio.get_running_loop().time()


def trace(limiter: Limiter, *, is_proxied: bool = False) -> aiohttp.TraceConfig:
    """Make the watch. Raises StaleError and LimitedError before a call, LimitedError after it.

    After a call of a login, DownError and NotDiscordError, too.

    `is_proxied`: what answers without Discord's Via header is a proxy of the self-hoster's.
    """
    watch = _Watch(limiter, is_proxied)
    config = aiohttp.TraceConfig()
    config.on_request_start.append(watch.before)
    config.on_request_headers_sent.append(watch.going_out)
    config.on_request_end.append(watch.after)
    return config


class _Watch:
    def __init__(self, limiter: Limiter, is_proxied: bool) -> None:
        self._limiter = limiter
        self._is_proxied = is_proxied

    async def before(
        self, _: object, request: SimpleNamespace, sent: aiohttp.TraceRequestStartParams
    ) -> None:
        call, limiter = current.get(), self._limiter
        _refuse_stale(call)
        request.bucket = f"{sent.method} {_ONE_OF_MANY.sub('', sent.url.path)}"
        while (wait := limiter.exhausted_for(request.bucket, clock())) > 0:
            if call is not None:  # whoever makes it tries again
                raise LimitedError(wait)
            await asyncio.sleep(max(wait, _LEAST_WAIT))
        request.by_token = _BY_TOKEN.search(sent.url.path) is not None
        gates = limiter.gates(by_token=request.by_token)
        if (wait := max(gate.wait(clock()) for gate in gates)) > 0:
            raise LimitedError(wait)
        request.tried = [gate for gate in gates if gate.enter(clock())]

    async def going_out(self, _: object, __: object, sent: aiohttp.TraceRequestHeadersSentParams) -> None:
        # By now it has a connection, which a loop that was held up may be long in making; aiohttp 3.14 sends
        # the headers when this returns.
        call = current.get()
        if "/channels/" in sent.url.path:
            await _hold_back(self._limiter, call)
        if call is not None:
            call.unanswered, call.done = True, False

    async def after(self, _: object, request: SimpleNamespace, sent: aiohttp.TraceRequestEndParams) -> None:
        status, headers, limiter = sent.response.status, sent.response.headers, self._limiter
        if (call := current.get()) is not None:
            call.note(status)
        if status == 429 and "Via" not in headers and not self._is_proxied:
            sent.response.close()
            raise LimitedError(limiter.everything.shut(clock()))
        for gate in request.tried:
            gate.open()
        if _OF_LOGIN.search(sent.url.path):
            _see_that_it_is_discord(sent.response)
        place = _OF_CHANNEL.search(sent.url.path)
        channel = int(place[1]) if place is not None else None
        if sent.method == "POST" and channel is not None:
            _learn(limiter, channel, headers)
        if status == 429:
            sent.response.close()
            raise _limit(limiter, channel, by_token=request.by_token, headers=headers)
        if headers.get("X-RateLimit-Remaining") == "0" and (
            reset := _seconds(headers, "X-RateLimit-Reset-After")
        ):
            limiter.exhaust(request.bucket, clock() + reset)


def _see_that_it_is_discord(response: aiohttp.ClientResponse) -> None:
    """discord.py would try five times after a 500, for 25 s, and say nothing; a page it takes for JSON."""
    if response.status >= 500:
        response.close()
        raise DownError(response.status)
    if response.content_type == "text/html":
        response.close()
        raise NotDiscordError


def _refuse_stale(call: Call | None) -> None:
    if call is not None and call.drawn_at is not None and clock() - call.drawn_at > STALE_AGE:
        raise StaleError


async def _hold_back(limiter: Limiter, call: Call | None) -> None:
    _refuse_stale(call)
    while (wait := limiter.go_or_wait(clock())) > 0:
        await asyncio.sleep(max(wait, _LEAST_WAIT))
        _refuse_stale(call)  # it would take a place for nothing


def _learn(limiter: Limiter, channel: int, headers: Mapping[str, str]) -> None:
    limit, remaining = (headers.get(f"X-RateLimit-{name}", "") for name in _LIMIT)
    reset = _seconds(headers, "X-RateLimit-Reset-After")
    if limit.isdecimal() and remaining.isdecimal() and reset is not None:
        limiter.learn(channel, int(limit), int(remaining), reset, clock())


def _seconds(headers: Mapping[str, str], name: str) -> float | None:
    said = headers.get(name, "")
    return min(float(said), LONGEST_WAIT) if _NUMBER.fullmatch(said) else None


def _limit(limiter: Limiter, channel: int | None, by_token: bool, headers: Mapping[str, str]) -> LimitedError:
    """Discord's own wait counts; what stands before it (no Via header) names hours not meant for us."""
    wait = _seconds(headers, "Retry-After") if "Via" in headers else None
    if "X-RateLimit-Global" in headers:
        if by_token:  # else these go on: they do not count in the bot's own limit
            limiter.tokens.shut(clock(), wait)
        return LimitedError(limiter.own.shut(clock(), wait))
    if channel is not None:
        limiter.block(channel, clock() + (wait or 0.0))
    return LimitedError(wait)
