"""Starting, and the gateway: trouble is waited out in the process; only a refused token ends it."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import discord
import pytest
from discord.ext import commands

from bot import app
from bot.app import build
from bot.reloads import runner
from tests.stand_ins.discord import DiscordServer, Fault
from tests.wire import EPOCH, Wire, reload_works, running

virtual = pytest.mark.usefixtures("virtual")
PAGES: dict[str, dict[str, Any]] = {
    "a page": {"body": b"<html>"},
    "cut off": {"body": b'{"id": "1"'},
    "a list": {"body": b"[1]"},
    "no wait": {"status": 429, "body": {"message": "x"}},
    "a list as a wait": {"status": 429, "body": [1]},
    "a cut 503": {"status": 503, "body": b'{"mess'},
    "a hang": {"delay": 200.0},
    "a reset": {"reset": "before"},
    "an edge 429": {"status": 429, "edge": True},
}


@virtual
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/users/@me$"),
        ("GET", "/oauth2/applications/@me$"),
        ("GET", "/gateway/bot$"),
        ("PUT", "/commands$"),
    ],
)
@pytest.mark.parametrize("name", PAGES)
async def test_odd_answers_while_starting_are_waited_out(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, method: str, path: str, name: str
) -> None:
    how = {"status": 200, **PAGES[name]} if "body" in PAGES[name] else PAGES[name]
    wire.server.faults += [Fault(method, path, times=3, **how)]
    async with running(wire.settings(), monkeypatch):
        await wire.server.wait_for(lambda: wire.server.connected.is_set() and wire.server.commands, 400)
        await reload_works(wire)
    tries = [r for r in wire.server.requests if r.path.endswith(path.rstrip("$"))]
    assert len(tries) <= 8


HALF_THERE: dict[str, tuple[str, dict[str, Any]]] = {
    "500 on login": ("/users/@me$", {"status": 500}),
    "502 with a page on login": ("/users/@me$", {"status": 502, "edge": True}),
    "a page instead of a login": ("/users/@me$", {"status": 200, "edge": True}),
    "a page that forbids": ("/users/@me$", {"status": 403, "edge": True}),
    "500 where the gateway is named": ("/gateway/bot$", {"status": 500}),
    "a page where the gateway is named": ("/gateway/bot$", {"status": 200, "edge": True}),
    "no gateway": ("", {}),
}


@virtual
@pytest.mark.parametrize("name", HALF_THERE)
async def test_half_of_discord_is_one_line_each_try(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path, how = HALF_THERE[name]
    if path:
        wire.server.faults = [Fault("GET", path, times=10**6, **how)]
    else:
        wire.server.gateway_refuses = True
    async with running(wire.settings(), monkeypatch):
        await asyncio.sleep(3)
        log = capsys.readouterr().out
        assert "bot.not_connected" in log
        await asyncio.sleep(57)
        log += capsys.readouterr().out
    tries = len([r for r in wire.server.requests if path and r.path.endswith(path.rstrip("$"))])
    assert log.count("bot.not_connected") == (tries or wire.server.gateway_refused)
    assert "Traceback" not in log


@virtual
@pytest.mark.parametrize("code", [1000, 1001, 4009])
async def test_gateway_that_goes_away_is_one_line_each_try(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    async with running(wire.settings(), monkeypatch) as bot:
        await wire.server.wait_for(bot.is_connected, 20)
        capsys.readouterr()
        wire.server.gateway_refuses = True
        await wire.server.kick_gateway(code=code)
        await asyncio.sleep(3)
        log = capsys.readouterr().out
        assert "bot.not_connected" in log
        await asyncio.sleep(57)
        log += capsys.readouterr().out
        assert log.count("bot.not_connected") == wire.server.gateway_refused
        assert "Traceback" not in log
        wire.server.gateway_refuses = False
        await wire.server.wait_for(bot.is_connected, 90)


@virtual
async def test_gateway_that_closes_each_connection_is_one_line_each_try(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where a session is to be resumed."""
    async with running(wire.settings(), monkeypatch) as bot:
        await wire.server.wait_for(bot.is_connected, 20)
        wire.server.gateway_trouble = ["closed"] * 100
        await wire.server.kick_gateway()
        await asyncio.sleep(3)
        log = capsys.readouterr().out
        assert log.count("bot.not_connected") == 1
        await asyncio.sleep(57)
        log += capsys.readouterr().out
        assert log.count("bot.not_connected") == 100 - len(wire.server.gateway_trouble)
        assert "Traceback" not in log


@virtual
async def test_gateway_that_refuses_for_hours_is_asked_ever_more_slowly(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.server.gateway_refuses = True
    async with running(wire.settings(), monkeypatch):
        await asyncio.sleep(4 * 3600)
        assert wire.server.gateway_refused < 300
        wire.server.gateway_refuses = False
        await wire.server.wait_for(wire.server.connected.is_set, 90)
        await reload_works(wire)


@virtual
@pytest.mark.parametrize("at", ["the connection", "the login", "nothing"])
async def test_gateway_that_is_silent_is_in_the_log_within_three_seconds(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], at: str
) -> None:
    """It has a minute to answer."""
    wire.server.gateway_trouble = ["silent"] if at == "the connection" else []
    wire.server.login_trouble = ["silent"] if at == "the login" else []
    async with running(wire.settings(), monkeypatch) as bot:
        await asyncio.sleep(3)
        assert capsys.readouterr().out.count("gateway.silent") == (at != "nothing")
        await wire.server.wait_for(bot.is_connected, 120)
        await asyncio.sleep(10)
        assert "gateway.silent" not in capsys.readouterr().out


LOST: dict[str, Callable[[DiscordServer], object]] = {
    "closed": lambda server: server.kick_gateway(),
    "forgotten": lambda server: server.kick_gateway(forget=True),
}


@virtual
@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("then", ["refused", "closed at once", "garbage", "asked to come again"])
async def test_gateway_that_is_lost_comes_back(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, how: str, then: str
) -> None:
    """During a countdown, which goes on."""
    async with running(wire.settings(reload_seconds=120), monkeypatch) as bot:
        await wire.set_key()
        asked = await wire.reload()
        wire.server.gateway_trouble = ["refused", then, then]
        lost = LOST[how](wire.server)
        assert asyncio.iscoroutine(lost)
        await lost
        await wire.server.wait_for(wire.server.connected.is_set, 300)
        await wire.server.wait_for(wire.pings, 130)
        assert wire.reply(asked).text.startswith("**Ready**")
        again = await wire.reload(wire.ben, "another")
        await wire.server.wait_for(lambda: len(wire.pings()) == 2, 130)
        assert wire.reply(again).text.startswith("**Ready**")
        assert not bot.is_closed()


@virtual
async def test_gateway_that_closes_each_resume_is_not_hammered(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(wire.settings(), monkeypatch):
        await wire.ready()
        wire.server.gateway_trouble = ["closed at once"] * 1000
        await wire.server.kick_gateway()
        await asyncio.sleep(60)
        assert 1000 - len(wire.server.gateway_trouble) < 20


@virtual
async def test_gateway_is_back_within_a_minute_of_an_outage(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(wire.settings(), monkeypatch):
        await wire.ready()
        wire.server.gateway_refuses = True
        await wire.server.kick_gateway(forget=True)
        await asyncio.sleep(3600)
        wire.server.gateway_refuses = False
        await wire.server.wait_for(wire.server.connected.is_set, 70)


@virtual
@pytest.mark.parametrize(
    ("defect", "expected"),
    [("a cog is missing", commands.ExtensionNotFound), ("resuming fails", TypeError)],
)
async def test_defect_of_ours_at_start_ends_it(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, defect: str, expected: type[Exception]
) -> None:
    """Retrying forever would hide it."""
    if defect == "a cog is missing":
        monkeypatch.setattr(app, "COGS", ("cogs.error_handler", "cogs.no_such"))
    else:
        monkeypatch.setattr(runner, "RESUME_SPREAD", None)
        async with running(wire.settings(), monkeypatch):
            await wire.set_key()
            await wire.reload()
    bot = await build(wire.settings())
    with pytest.raises(expected):
        async with asyncio.timeout(60):
            await bot.serve(wire.server.token)
    await bot.close()
    bot.store.close()


def syncs(wire: Wire) -> int:
    return len([r for r in wire.server.requests if r.method == "PUT"])


@virtual
async def test_commands_are_sent_again_only_where_they_changed_or_are_another_applications(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    for again in (1, 1):
        async with running(wire.settings(), monkeypatch):
            await wire.ready()
            assert syncs(wire) == again
            wire.server.connected.clear()
    with monkeypatch.context() as fewer:
        fewer.setattr(app, "COGS", ("cogs.error_handler", "cogs.key"))
        async with running(wire.settings(), monkeypatch):
            await wire.server.wait_for(lambda: syncs(wire) == 2)
    assert [command["name"] for command in wire.server.commands] == ["key"]
    wire.server.application_id += 1
    async with running(wire.settings(), monkeypatch):
        await wire.server.wait_for(lambda: syncs(wire) == 3)
    wire.server.application_id -= 1
    assert {login["intents"] for login in wire.server.identifies} == {1}, "guilds, and nothing else"


@virtual
async def test_sync_waits_as_discord_says_but_looks_each_hour(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = {"message": "wait", "retry_after": 7200.0, "global": False}
    wire.server.faults.append(Fault("PUT", "/commands$", times=10**9, status=429, body=wait))
    async with running(wire.settings(), monkeypatch):
        await asyncio.sleep(7190)
        assert len([r for r in wire.server.requests if r.status == 429]) == 2
        wire.server.faults.clear()
        await wire.server.wait_for(lambda: wire.server.commands, 60)


@virtual
async def test_token_that_is_reset_while_running_ends_it_as_a_refused_one(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(wire.settings(), monkeypatch):
        await wire.ready()
    loop = asyncio.get_running_loop()
    bot = await build(wire.settings(), now=lambda: EPOCH + loop.time())
    serving = asyncio.create_task(bot.serve(wire.server.token))
    await wire.server.wait_for(wire.server.connected.is_set, 20)
    wire.server.token = "another"
    await wire.server.kick_gateway(code=4004)
    with pytest.raises(discord.LoginFailure):
        async with asyncio.timeout(60):
            await serving
    bot.store.close()


async def test_token_that_is_reset_is_one_line(wire: Wire) -> None:
    async with wire.process() as process:
        await wire.ready()
        wire.server.token = "another"
        await wire.server.kick_gateway(code=4004)
        assert await asyncio.wait_for(process.wait(), 20) == 2
    said = wire.output.read_text()
    assert "DISCORD_TOKEN: Discord rejects this token." in said
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_while_a_shard_logs_in_again_stops_it(wire: Wire, number: signal.Signals) -> None:
    """discord.py would handle a cancellation there itself."""
    async with wire.process() as process:
        await wire.ready()
        await wire.server.kick_gateway(forget=True)
        await asyncio.sleep(1)
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 20) == 0


@virtual
async def test_suggestions_that_come_too_late_are_one_line(
    wire: Wire,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    wire.server.faults = [Fault("POST", "/callback$", status=404, code=10062)]
    async with running(wire.settings(), monkeypatch) as bot:
        await wire.server.wait_for(bot.is_connected, 20)
        with pytest.raises(TimeoutError):
            await wire.server.autocomplete(wire.ana, wire.general, "reload", "model_id", "x")
    assert capsys.readouterr().out.count("suggestions.not_sent") == 1
    assert "Traceback" not in caplog.text
