"""Health and metrics: what a supervisor and Prometheus see, of a bot over real sockets."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bot.app import Rewarm
from bot.domain.reload import Outcome
from bot.health import Health
from bot.store.embedded import EmbeddedStore
from bot.store.file import NAME as FILE_NAME
from tests import ROOT
from tests.stand_ins.discord import Fault
from tests.stand_ins.model_api import Answer
from tests.wire import Wire
from tests.world import CANARY


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


async def get(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/{path}") as answer:
        return answer.status, await answer.text()


async def samples(port: int) -> dict[str, float]:
    """Every sample by name and labels, like `rewarm_reloads_ended_total ready`."""
    status, text = await get(port, "metrics")
    assert status == 200
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
async def port(bot: Rewarm) -> AsyncIterator[int]:
    health = Health("127.0.0.1", free_port(), bot.metrics, bot.store, bot.gateway_state)
    await health.start()
    await bot.wait_until_ready()
    yield health._port
    await health.stop()


@pytest.mark.usefixtures("virtual")
async def test_a_reload_is_counted_from_answer_to_ending(wire: Wire, port: int) -> None:
    before = await samples(port)
    assert before["rewarm_servers"] == 1
    assert before["rewarm_reloads_open"] == 0
    wire.api.reloads = [
        Answer({"status": "success"}),
        Answer({"status": "error", "message": "Invalid API key"}),
    ]
    await wire.reload(model="one")
    await asyncio.sleep(1)
    assert (await samples(port))["rewarm_reloads_open"] == 1
    await wire.server.wait_for(wire.pings, 10)
    await wire.reload(model="two")
    await asyncio.sleep(10)

    after = await samples(port)
    assert after["rewarm_reloads_open"] == 0
    assert after["rewarm_reloads_ended_total ready"] == 1
    assert after["rewarm_reloads_ended_total failed"] == 1
    assert after["rewarm_model_api_calls_total reload accepted"] == 1
    assert after["rewarm_model_api_calls_total reload wrong_key"] == 1
    assert after["rewarm_model_api_calls_total check_key valid"] == 1
    assert after["rewarm_model_api_seconds_count reload"] == 2
    assert after["rewarm_discord_calls_total edit sent"] >= 3
    assert after["rewarm_discord_calls_total ping sent"] == 1
    assert after["rewarm_first_answer_seconds_count"] - before["rewarm_first_answer_seconds_count"] == 2
    assert after["rewarm_ending_late_seconds_count"] == 2
    assert after["rewarm_ending_late_seconds_sum"] < 1
    assert after["rewarm_store_write_seconds_count"] > before["rewarm_store_write_seconds_count"]
    assert after["rewarm_loop_lag_seconds_count"] > 0
    assert after["process_resident_memory_bytes"] > 1e6


FAULTS: dict[str, tuple[Fault, str]] = {
    "5xx": (Fault("PATCH", "/messages/", status=503, times=1), "edit 5xx"),
    "limit": (Fault("PATCH", "/messages/", status=429, times=1), "edit limited"),
    "reset": (Fault("PATCH", "/messages/", reset="before", times=1), "edit failed"),
    "hang": (Fault("PATCH", "/messages/", delay=60, times=1), "edit timed out"),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.usefixtures("virtual")
async def test_a_failed_edit_is_counted_by_its_reason(wire: Wire, port: int, name: str) -> None:
    fault, sample = FAULTS[name]
    wire.server.faults = [fault]
    await wire.reload()
    await wire.server.wait_for(wire.pings, 60)
    assert (await samples(port))[f"rewarm_discord_calls_total {sample}"] == 1


@pytest.mark.usefixtures("virtual")
async def test_ready_says_what_is_not(bot: Rewarm, wire: Wire, port: int) -> None:
    assert await get(port, "livez") == (200, "ok\n")
    assert await get(port, "readyz") == (200, "gateway ok\nstore ok\n")
    assert isinstance(bot.store, EmbeddedStore)
    broken = "CREATE TRIGGER t BEFORE INSERT ON kv BEGIN SELECT RAISE(FAIL, 'full'); END"
    bot.store._db.conn.select_one(broken)
    assert await get(port, "readyz") == (503, "gateway ok\nstore not ok\n")
    assert (await samples(port))["rewarm_store_write_failures_total"] == 1
    bot.store._db.conn.select_one("DROP TRIGGER t")
    wire.server.gateway_refuses = True
    await wire.server.kick_gateway()
    await wire.server.wait_for(lambda: not bot.is_connected(), 10)
    assert await get(port, "readyz") == (503, "gateway not ok\nstore ok\n")
    assert await get(port, "livez") == (200, "ok\n")
    wire.server.gateway_refuses = False
    await wire.server.wait_for(bot.is_connected, 60)
    assert (await get(port, "readyz"))[0] == 200


@pytest.mark.usefixtures("virtual")
async def test_ready_says_what_became_of_the_file(wire: Wire, port: int) -> None:
    path = wire.folder / "data" / FILE_NAME
    path.unlink()
    status, text = await get(port, "readyz")
    assert (status, text.splitlines()[:2]) == (503, ["gateway ok", "store not ok"])
    assert "was deleted or moved while the bot ran, and a copy was put back" in text
    assert path.exists()
    path.unlink()
    path.write_bytes(b"")
    status, text = await get(port, "readyz")
    assert status == 503
    assert "nothing is stored any more: stop the bot" in text
    assert path.read_bytes() == b""


async def test_as_a_process(wire: Wire) -> None:
    port = free_port()
    wire.environment["HEALTH_PORT"] = str(port)
    async with wire.process() as process:
        await wire.set_key()
        async with asyncio.timeout(10):
            while (await get(port, "readyz")) != (200, "gateway ok\nstore ok\n"):
                await asyncio.sleep(0.1)
        _, text = await get(port, "metrics")
        assert CANARY not in text
        with pytest.raises(aiohttp.ClientConnectorError):
            async with aiohttp.ClientSession() as session:
                await session.get(f"http://127.0.0.2:{port}/livez")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0


async def image_check(port: int) -> int:
    """Run the image's HEALTHCHECK, with this Python, where the environment names a proxy."""
    text = (ROOT / "deploy" / "Containerfile").read_text().replace("\\\n", "")
    [command] = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", text, re.MULTILINE)
    program, *how = json.loads(command)
    assert program == "python"
    environment = {"HEALTH_PORT": str(port), "http_proxy": f"http://127.0.0.1:{free_port()}"}
    made = await asyncio.create_subprocess_exec(
        sys.executable, *how, env=environment, stderr=subprocess.DEVNULL
    )
    return await asyncio.wait_for(made.wait(), 20)


async def test_the_image_is_healthy_while_its_bot_runs_also_without_discord(wire: Wire) -> None:
    """Else a supervisor would restart it in Discord's outage, and each restart costs a login."""
    port = free_port()
    wire.server.gateway_refuses = True
    async with wire.process(HEALTH_PORT=str(port)):
        await wire.logged("bot.not_connected")
        assert (await get(port, "readyz"))[0] == 503
        assert await image_check(port) == 0
    assert await image_check(port) != 0


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1"])
async def test_a_port_that_is_taken_or_an_address_elsewhere_is_one_line(wire: Wire, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        async with wire.process(HEALTH_PORT=port, HEALTH_HOST=host) as process:
            assert await asyncio.wait_for(process.wait(), 20) == 2
    said = wire.output.read_text().splitlines()[-1]
    assert said.startswith(f"HEALTH_PORT: {port} can't be used on {host} (")


@pytest.mark.usefixtures("virtual")
async def test_each_series_is_explained(port: int) -> None:
    _, text = await get(port, "metrics")
    series = set(re.findall(r"^# TYPE (rewarm_\w+) ", text, re.MULTILINE)) - {""}
    page = (ROOT / "docs" / "OPERATIONS.md").read_text()
    assert {name for name in series if not name.endswith("_created") and f"`{name}" not in page} == set()


def queries() -> list[str]:
    """Every query of the dashboard, and of the alerts."""
    panels = json.loads((ROOT / "deploy" / "grafana.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]] + alerts()


def alerts() -> list[str]:
    rules = (ROOT / "deploy" / "alerts.yml").read_text()
    return re.findall(r"^ +expr: ((?:.|\n)*?)^ +(?:for|labels):", rules, re.MULTILINE)


@pytest.mark.usefixtures("virtual")
async def test_each_series_that_is_watched_is_served_with_its_labels(bot: Rewarm, port: int) -> None:
    _, text = await get(port, "metrics")
    served = {"up"}  # Prometheus' own
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE):
        served |= {f"{name}_bucket"} if kind == "histogram" else {name}
    known = {"le", "instance", "job"}  # of a histogram, and Prometheus' own
    for measured in vars(bot.metrics).values():
        known |= set(getattr(measured, "_labelnames", ()))
    for query in queries():
        plain = re.sub(r'"[^"]*"', "", query)
        labels = set(re.findall(r"\b(\w+)(?:=~|!~|!=|=)(?!=)", plain))
        for by in re.findall(r"by \(([^)]*)\)", plain):
            labels |= set(by.split(", "))
        assert labels <= known, query
        named = set(re.findall(r"\b(?:rewarm|process)_\w+|\bup\b", plain))
        assert named, query
        assert named <= served, query


def test_alerts_are_those_of_the_page_in_its_order() -> None:
    page = (ROOT / "docs" / "OPERATIONS.md").read_text().partition("## What to alert on")[2]
    rows = re.findall(r"^\| (.*) \|.*\|$", page.partition("\n## ")[0], re.MULTILINE)[1:]
    rows = [row for row in rows if not row.startswith("the log says")]  # no series tells
    for row, alert in zip(rows, alerts(), strict=True):
        for series in re.findall(r"\b(?:rewarm|process)_\w+?(?=_bucket\W|\W)", alert):
            assert re.search(rf"[`(]{series}", row), alert
        for outcome in re.findall(r'outcome!~"([^"]*)"', alert):
            assert set(outcome.split("|")) <= {outcome.value for outcome in Outcome}
            assert {name for name in outcome.split("|") if f"`{name}`" not in row} == set()
