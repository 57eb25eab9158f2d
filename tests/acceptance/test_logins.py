"""Logins that Discord does not take: few are made, and the bot comes back by itself."""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import pytest

from bot.app import Rewarm, build
from bot.domain.errors import DiscordRefuses
from bot.health import Health
from tests.integration.test_health import free_port, get
from tests.wire import Wire, reload_works, running

virtual = pytest.mark.usefixtures("virtual")
KINDS: tuple[str | int, ...] = ("invalid", "resumable", 4000, "cut", "silent", "lost", "odd")


def logins(wire: Wire, seconds: float) -> int:
    """How many there were in the first so many seconds."""
    times = wire.server.login_times
    return sum(at < times[0] + seconds for at in times)


@virtual
@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize("kind", KINDS)
async def test_logins_that_do_not_stay_up_are_few(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, kind: str | int, shards: int
) -> None:
    wire.server.login_trouble = [kind] * 100
    async with running(wire.settings(shard_count=shards), monkeypatch) as bot:
        await asyncio.sleep(600)
        print(f"{kind}, {shards} shards: {logins(wire, 90)} in 90 s, {logins(wire, 600)} in 600 s")  # noqa: T201
        assert logins(wire, 90) <= 8
        assert 2 <= logins(wire, 600) <= 10
        wire.server.login_trouble = []
        await wire.server.wait_for(bot.is_connected, 1300)
        await reload_works(wire)
        assert wire.server.violations == []


@virtual
async def test_a_shard_that_fails_at_the_start_holds_up_no_other(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.server.login_trouble = ["invalid"]
    async with running(wire.settings(shard_count=4), monkeypatch) as bot:
        await wire.server.wait_for(bot.is_connected, 45)
        assert len(wire.server.login_times) == 5


@virtual
async def test_restarts_do_not_make_more_logins(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    wire.server.login_trouble = ["invalid"] * 100
    for _ in range(10):
        async with running(wire.settings(), monkeypatch):
            await asyncio.sleep(20)
    assert logins(wire, 90) <= 8
    assert logins(wire, 200) <= 9


@virtual
async def test_hello_without_ready_ends_after_a_minute(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    wire.server.login_trouble = ["silent"]
    async with running(wire.settings(), monkeypatch) as bot:
        await wire.server.wait_for(lambda: wire.server.login_times, 20)
        await wire.server.wait_for(bot.is_connected, 70)
        first, second = wire.server.login_times
        assert 60 <= second - first < 70
        await reload_works(wire)


@virtual
@pytest.mark.parametrize(("concurrency", "seconds"), [(1, 40), (4, 10)])
async def test_healthy_shards_log_in_at_discords_pace(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, concurrency: int, seconds: float
) -> None:
    wire.server.logins.max_concurrency = concurrency
    async with running(wire.settings(shard_count=8), monkeypatch) as bot:
        await wire.server.wait_for(lambda: len(wire.server.login_times) == 8, seconds)
        times = wire.server.login_times
        assert times[-1] - times[0] >= 5 * (8 / concurrency - 1)
        await wire.server.wait_for(bot.is_connected, 10)


@virtual
async def test_where_no_logins_are_left_they_are_waited_for_and_ready_says_so(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.server.logins.remaining, wire.server.logins.reset_after = 0, 1200.0
    async with running(wire.settings(), monkeypatch) as bot, AsyncExitStack() as stack:
        port = free_port()
        await serve_health(bot, port, stack)
        await asyncio.sleep(1100)
        assert wire.server.login_times == []
        status, text = await get(port, "readyz")
        assert status == 503
        until = time.strftime("%Y-%m-%d", time.gmtime(bot.now() + 100))
        assert text.startswith(f"gateway not ok: no logins are left until {until} ")
        wire.server.logins.remaining = 1000
        await wire.server.wait_for(bot.is_connected, 120)
        assert await get(port, "readyz") == (200, "gateway ok\nstore ok\n")


async def serve_health(bot: Rewarm, port: int, stack: AsyncExitStack) -> None:
    health = Health("127.0.0.1", port, bot.metrics, bot.store, bot.gateway_state)
    await health.start()
    stack.push_async_callback(health.stop)


SAID = {
    4010: "SHARD_COUNT and SHARD_IDS: ",
    4011: "SHARD_COUNT: Discord wants more shards",
    4012: "upgrade the bot",
    4013: "upgrade the bot",
    4014: "upgrade the bot",
}


@virtual
@pytest.mark.parametrize("at_login", [True, False])
@pytest.mark.parametrize("code", SAID)
async def test_a_refusal_for_good_says_what_to_do(wire: Wire, code: int, at_login: bool) -> None:
    bot = await build(wire.settings())
    if at_login:
        wire.server.login_trouble = [code]
    serving = asyncio.create_task(bot.serve(wire.server.token))
    if not at_login:
        await wire.server.wait_for(wire.server.connected.is_set, 20)
        await wire.server.kick_gateway(code=code)
    with pytest.raises(DiscordRefuses, match=SAID[code]):
        async with asyncio.timeout(60):
            await serving
    await bot.close()
    bot.store.close()
    assert len(wire.server.login_times) == 1


async def test_a_refusal_for_good_is_one_line(wire: Wire) -> None:
    async with wire.process() as process:
        await wire.ready()
        await wire.server.kick_gateway(code=4010)
        assert await asyncio.wait_for(process.wait(), 20) == 2
    assert "SHARD_COUNT and SHARD_IDS: Discord doesn't know this shard." in wire.output.read_text()
    assert "Traceback" not in wire.output.read_text()


@virtual
@pytest.mark.parametrize("when", ["while it runs", "while it starts"])
async def test_more_shards_are_made_where_discord_wants_them(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    server = wire.server

    class Outgrown(list[str | int]):
        """The first login is one too many for so few shards."""

        def pop(self, *which: Any) -> Any:
            server.shards = 5
            return super().pop(*which)

    if when == "while it starts":
        server.shards, server.login_trouble = 3, Outgrown([4011])
    async with running(wire.settings(shard_count=None), monkeypatch) as bot:
        if when == "while it runs":
            await wire.server.wait_for(bot.is_connected, 20)
            server.shards = 5
            await server.kick_gateway(code=4011)
        await wire.server.wait_for(lambda: len(bot.shards) == 5 and bot.is_connected(), 60)
        last = sorted(login["shard"] for login in server.identifies[-5:])
        assert last == [[shard, 5] for shard in range(5)]
        assert len(server.identifies) <= 7
        await reload_works(wire)
