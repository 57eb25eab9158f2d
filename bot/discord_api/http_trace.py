"""What the bot's HTTP session watches: each call to Discord, as it goes out and as its answer comes in.

discord.py does some things with an answer that do not suit a call with a time limit: it sleeps out a 429,
however long (and where that is cut short in a limit on everything, it never calls again); and it keeps a
call that is done until its bucket is fresh. Here both are seen before it does.
"""

import asyncio
import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp

from bot.discord_api.limiter import Limiter
from bot.discord_api.trouble import AnsweredError, LimitedError, StaleError

STALE_AGE = 0.5
"""How old the number in a countdown may be when it is sent."""
_OF_CHANNEL = re.compile(r"/channels/(\d+)/messages(/\d+)?$")
_BY_TOKEN = re.compile(r"/(webhooks|interactions)/\d+/")
_LIMIT = ("Limit", "Remaining", "Reset-After")
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
    reads: bool = False
    """Whoever makes it wants to know what Discord answers."""
    body: bytes = b""

    async def note(self, answer: aiohttp.ClientResponse) -> None:
        """An answer has come."""
        self.unanswered, self.done, self.broken = False, answer.status < 300, answer.status >= 500
        if self.done and self.reads:
            self.body = await answer.read()


current: ContextVar[Call | None] = ContextVar("current", default=None)
"""The call that this task is making."""


def clock() -> float:
    """The event loop's monotonic clock, in seconds."""
    return asyncio.get_running_loop().time()


def trace(limiter: Limiter, *, is_proxied: bool = False) -> aiohttp.TraceConfig:
    """Make the watch. Raises StaleError, LimitedError before a call, LimitedError, AnsweredError after it.

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
        _refuse_stale(current.get())
        request.by_token = _BY_TOKEN.search(sent.url.path) is not None
        request.tries = self._limiter.gate.is_shut()
        if (wait := self._limiter.blocked_for(clock(), by_token=request.by_token)) > 0:
            raise LimitedError(wait)

    async def going_out(self, _: object, __: object, sent: aiohttp.TraceRequestHeadersSentParams) -> None:
        # By now it has a connection, which a loop that was held up may be long in making; aiohttp 3.14 sends
        # the headers when this returns.
        call = current.get()
        if "/channels/" in sent.url.path:
            await _hold_back(self._limiter, call)
        if call is not None:
            call.unanswered, call.done = True, False

    async def after(self, _: object, request: SimpleNamespace, sent: aiohttp.TraceRequestEndParams) -> None:
        status, headers = sent.response.status, sent.response.headers
        place = _OF_CHANNEL.search(sent.url.path)
        channel = int(place[1]) if place is not None else None
        if sent.method == "POST" and channel is not None:
            _learn(self._limiter, channel, headers)
        if (call := current.get()) is not None:
            await call.note(sent.response)
        if status == 429 and "Via" not in headers and not self._is_proxied:
            raise LimitedError(self._limiter.gate.shut(clock()))
        if request.tries:
            self._limiter.gate.open()
        if status == 429:
            raise _limit(self._limiter, channel, by_token=request.by_token, headers=headers)
        if call is not None and call.done and (wait := _exhausted(headers)) > 0:
            raise AnsweredError(wait)


def _refuse_stale(call: Call | None) -> None:
    if call is not None and call.drawn_at is not None and clock() - call.drawn_at > STALE_AGE:
        raise StaleError


async def _hold_back(limiter: Limiter, call: Call | None) -> None:
    _refuse_stale(call)
    while (wait := limiter.go_or_wait(clock())) > 0:
        await asyncio.sleep(wait)
        _refuse_stale(call)  # it would take a place for nothing


def _learn(limiter: Limiter, channel: int, headers: Mapping[str, str]) -> None:
    limit, remaining, reset = (headers.get(f"X-RateLimit-{name}", "") for name in _LIMIT)
    if limit.isdigit() and remaining.isdigit() and _NUMBER.fullmatch(reset):
        limiter.learn(channel, int(limit), int(remaining), float(reset), clock())


def _exhausted(headers: Mapping[str, str]) -> float:
    """Seconds for which a bucket is used up; 0 where it is not."""
    reset = headers.get("X-RateLimit-Reset-After", "")
    is_used_up = headers.get("X-RateLimit-Remaining") == "0" and _NUMBER.fullmatch(reset) is not None
    return float(reset) if is_used_up else 0.0


def _limit(limiter: Limiter, channel: int | None, by_token: bool, headers: Mapping[str, str]) -> LimitedError:
    """Discord's own wait counts; what stands before it (no Via header) names hours not meant for us."""
    named = headers.get("Retry-After", "")
    wait = float(named) if "Via" in headers and _NUMBER.fullmatch(named) else None
    until = clock() + (wait or 0.0)
    if "X-RateLimit-Global" not in headers:
        if channel is not None:
            limiter.block(channel, until)
    elif by_token:  # these do not count in the bot's own limit
        limiter.block_tokens(until)
    else:
        limiter.block(None, until)
    return LimitedError(wait)
