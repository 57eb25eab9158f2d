"""Watches the bot's HTTP session: each call to Discord as it goes out, and its answer as it arrives.

discord.py sleeps through a 429 inside the call, however long that is; if our time limit cuts that short
during a limit on everything, discord.py never calls again. Here a 429 ends the call, and the next calls know
what it said.
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
"""Seconds of the longest wait that is kept, whatever Discord names: an odd number would last until a restart.
"""
STALE_AGE = 0.5
"""Seconds after which a countdown's number is too old to be sent."""
_LEAST_WAIT = 0.001
"""The shortest wait, in seconds. Rounding can leave less than a clock can tell apart, and sleeping for that
could loop forever."""
_OF_CHANNEL = re.compile(r"/channels/(\d+)/messages(/\d+)?$")
_ONE_OF_MANY = re.compile(r"(?<=/messages|/commands)/(\d+|@original)|(?<=/members)/\d+")
"""Shares a bucket with its like: only channels, servers and tokens have one each (Discord: Rate Limits)."""
_BY_TOKEN = re.compile(r"/(webhooks|interactions)/\d+/")
_OF_LOGIN = re.compile(r"/(users/@me|oauth2/applications/@me|gateway/bot)$")
_LIMIT = ("Limit", "Remaining")
_NUMBER = re.compile(r"\d{1,9}(\.\d+)?")


@dataclass(slots=True)
class Call:
    """One edit or ping in progress, timed by the loop's clock."""

    drawn_at: float | None = None
    """When its countdown was drawn."""
    done: bool = False
    """Discord has carried it out, whatever happens to the call."""
    unanswered: bool = False
    """It went out, and nobody can say whether Discord has carried it out."""
    broken: bool = False
    """Discord answered with an error of its own, so most likely it has not carried it out."""

    def note(self, status: int) -> None:
        """An answer has come."""
        self.unanswered, self.done, self.broken = False, status < 300, status >= 500


current: ContextVar[Call | None] = ContextVar("current", default=None)
"""The call that this task is making."""


def clock() -> float:
    """Return the event loop's monotonic clock, in seconds."""
    return asyncio.get_running_loop().time()


def trace(limiter: Limiter, *, is_proxied: bool = False) -> aiohttp.TraceConfig:
    """Make the trace configuration.

    It raises StaleError and LimitedError before a call, LimitedError after it and, after a login's call, also
    DownError and NotDiscordError. `is_proxied`: an answer without Discord's Via header comes from the
    self-hoster's proxy.
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
            if call is not None:  # the caller tries again
                raise LimitedError(wait)
            await asyncio.sleep(max(wait, _LEAST_WAIT))
        request.by_token = _BY_TOKEN.search(sent.url.path) is not None
        gates = limiter.gates(by_token=request.by_token)
        if (wait := max(gate.wait(clock()) for gate in gates)) > 0:
            raise LimitedError(wait)
        request.tried = [gate for gate in gates if gate.enter(clock())]

    async def going_out(self, _: object, __: object, sent: aiohttp.TraceRequestHeadersSentParams) -> None:
        # The call has a connection by now, which can take long to make if the loop was held up; aiohttp 3.14
        # sends the headers when this returns.
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
    """Raise for an answer that isn't Discord's.

    After a 500 discord.py would try five times, for 25 s, without logging; and it takes a web page for JSON.
    """
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
        _refuse_stale(call)  # it would use up a turn for nothing


def _learn(limiter: Limiter, channel: int, headers: Mapping[str, str]) -> None:
    limit, remaining = (headers.get(f"X-RateLimit-{name}", "") for name in _LIMIT)
    reset = _seconds(headers, "X-RateLimit-Reset-After")
    if limit.isdecimal() and remaining.isdecimal() and reset is not None:
        limiter.learn(channel, int(limit), int(remaining), reset, clock())


def _seconds(headers: Mapping[str, str], name: str) -> float | None:
    said = headers.get(name, "")
    return min(float(said), LONGEST_WAIT) if _NUMBER.fullmatch(said) else None


def _limit(limiter: Limiter, channel: int | None, by_token: bool, headers: Mapping[str, str]) -> LimitedError:
    """Apply Discord's own wait.

    Without a Via header the answer comes from in front of Discord, and its hours are not meant for us.
    """
    wait = _seconds(headers, "Retry-After") if "Via" in headers else None
    if "X-RateLimit-Global" in headers:
        if by_token:  # otherwise token calls go on: the bot's own limit doesn't count them
            limiter.tokens.shut(clock(), wait)
        return LimitedError(limiter.own.shut(clock(), wait))
    if channel is not None:
        limiter.block(channel, clock() + (wait or 0.0))
    return LimitedError(wait)
