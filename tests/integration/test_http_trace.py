"""The watch on the bot's HTTP session, over real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer

from bot.discord_api.http_trace import STALE_AGE, Call, clock, current, trace
from bot.discord_api.limiter import PER_SECOND, Limiter
from bot.discord_api.trouble import StaleError

pytestmark = pytest.mark.usefixtures("virtual")
CONNECTING_SECONDS = 0.9


class SlowNames(AbstractResolver):
    """Each new connection waits for its address."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        await asyncio.sleep(CONNECTING_SECONDS)
        return [
            ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)
        ]

    async def close(self) -> None:
        """Nothing is kept."""


@dataclass
class Line:
    """A Discord that notes what arrives, and when."""

    session: aiohttp.ClientSession
    url: str
    limiter: Limiter
    arrived: list[float]

    async def look_at(self, place: str) -> None:
        async with self.session.get(self.url.replace("/channels/1/messages", place)):
            pass

    async def send(self, after: float = 0.0) -> None:
        await asyncio.sleep(after)
        async with self.session.post(self.url, json={}):
            pass


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    arrived = []

    async def note(_: web.Request) -> web.Response:
        arrived.append(clock())
        return web.json_response({})

    async def use_up(_: web.Request) -> web.Response:
        arrived.append(clock())
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "8.000"}
        return web.json_response({}, headers=headers)

    app, limiter = web.Application(), Limiter()
    app.router.add_post("/channels/1/messages", note)
    app.router.add_post("/webhooks/1/token/messages", note)
    app.router.add_get("/guilds/{guild}/members/{member}", use_up)
    app.router.add_get("/applications/1/guilds/{guild}/commands/{command}/permissions", use_up)
    connector = aiohttp.TCPConnector(limit=0, resolver=SlowNames(), use_dns_cache=False)
    async with (
        TestServer(app) as server,
        aiohttp.ClientSession(connector=connector, trace_configs=[trace(limiter)]) as session,
    ):
        yield Line(session, f"http://discord.test:{server.port}/channels/1/messages", limiter, arrived)


async def test_a_call_counts_when_it_goes_out_not_when_it_waits_for_a_connection(line: Line) -> None:
    """Discord counts what arrives: the calls of one second that connect must not join those of the next."""
    await asyncio.gather(*(line.send(after) for after in (0.0, 1.0) for _ in range(PER_SECOND)))
    assert len(line.arrived) == 2 * PER_SECOND
    for begin in line.arrived:
        assert sum(begin <= at < begin + 1 for at in line.arrived) <= PER_SECOND + 2, "some wait on the way"


async def test_a_call_that_is_given_up_while_it_is_held_back_was_not_sent(line: Line) -> None:
    """A ping of which nobody can say whether it went out must not go another way: this one may."""
    await line.send()
    for _ in range(PER_SECOND):
        line.limiter.go_or_wait(clock())
    current.set(call := Call())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await line.send()
    assert not call.unanswered
    assert len(line.arrived) == 1


@pytest.mark.parametrize("held_back", [True, False])
async def test_a_number_that_is_no_longer_right_is_not_sent(line: Line, held_back: bool) -> None:
    await line.send()
    if held_back:
        for _ in range(PER_SECOND):
            line.limiter.go_or_wait(clock())
    else:  # by token, which is never held back
        line.url = line.url.replace("/channels/1", "/webhooks/1/token")
    current.set(Call(drawn_at=clock() if held_back else clock() - 2 * STALE_AGE))
    with pytest.raises(StaleError):
        await line.send()
    assert len(line.arrived) == 1


async def test_many_that_are_held_back_go_a_seconds_worth_at_a_time(line: Line) -> None:
    """They wake up together, and most of them must wait again."""
    await asyncio.gather(*(line.send() for _ in range(3 * PER_SECOND)))
    assert len(line.arrived) == 3 * PER_SECOND
    for begin in line.arrived:
        assert sum(begin <= at < begin + 1 for at in line.arrived) <= PER_SECOND + 2


async def test_a_number_that_is_no_longer_right_takes_nobodys_place(line: Line) -> None:
    async def tick() -> None:
        current.set(Call(drawn_at=clock() + CONNECTING_SECONDS))
        with pytest.raises(StaleError):
            await line.send()

    for _ in range(PER_SECOND):
        line.limiter.go_or_wait(clock() + CONNECTING_SECONDS)
    async with asyncio.TaskGroup() as ticks:
        for _ in range(PER_SECOND):
            ticks.create_task(tick())
    soon = clock() + 0.001
    assert [line.limiter.go_or_wait(soon) for _ in range(PER_SECOND)] == [0.0] * PER_SECOND


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ("/guilds/1/members/5", "/guilds/1/members/6", True),
        ("/guilds/1/members/5", "/guilds/2/members/5", False),
        (
            "/applications/1/guilds/1/commands/5/permissions",
            "/applications/1/guilds/1/commands/1/permissions",
            True,
        ),
    ],
)
async def test_members_and_commands_of_a_server_share_a_bucket(
    line: Line, first: str, second: str, shared: bool
) -> None:
    """Discord counts by channel, server and token: of the other ids in a path it takes no account."""
    await line.look_at(first)
    await line.look_at(second)
    assert (line.arrived[1] - line.arrived[0] >= 8) is shared
