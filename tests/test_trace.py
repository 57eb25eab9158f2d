"""The watch on the bot's HTTP session, over real sockets."""

import asyncio
import socket

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer

from bot.pace import PER_SECOND, Pace
from bot.trace import clock, trace

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


async def test_a_call_counts_when_it_goes_out_not_when_it_waits_for_a_connection() -> None:
    """Discord counts what arrives: the calls of one second that connect must not join those of the next."""
    arrived = []

    async def note(_: web.Request) -> web.Response:
        arrived.append(clock())
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/channels/1/messages", note)
    connector = aiohttp.TCPConnector(limit=0, resolver=SlowNames(), use_dns_cache=False)
    async with (
        TestServer(app) as server,
        aiohttp.ClientSession(connector=connector, trace_configs=[trace(Pace())]) as session,
    ):

        async def send(after: float) -> None:
            await asyncio.sleep(after)
            async with session.post(f"http://discord.test:{server.port}/channels/1/messages", json={}):
                pass

        await asyncio.gather(*(send(after) for after in (0.0, 1.0) for _ in range(PER_SECOND)))
    assert len(arrived) == 2 * PER_SECOND
    for begin in arrived:
        assert sum(begin <= at < begin + 1 for at in arrived) <= PER_SECOND + 2, "some wait on the way"
