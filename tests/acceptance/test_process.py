"""The bot as a separate process, against stand-ins for Discord and the model API over real sockets."""

import asyncio
import re
import signal
from pathlib import Path

import orjson
import pytest

from bot.process import EXIT_HUNG, EXIT_INTERRUPTED
from tests.stand_ins.discord import Fault
from tests.stand_ins.model_api import Answer
from tests.wire import Wire
from tests.world import CANARY

SECONDS = 3.0


def files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_from_key_to_ping(wire: Wire) -> None:
    wire.forked = False
    async with wire.process() as process:
        await wire.set_key()
        asked = await wire.reload()
        await wire.server.wait_for(wire.pings, 10)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0

    [call] = wire.api.calls
    assert call.body == {"key": CANARY, "model_id": "sdxl-turbo"}
    ready_at, _ = wire.reply(asked).history[-1]
    assert wire.reply(asked).text.startswith("**Ready** `sdxl-turbo`")
    assert SECONDS <= ready_at - call.at <= SECONDS + 1
    [ping] = wire.pings()
    assert ping.mentions == {wire.ana.id}
    assert ping.reply_to == asked.message_id
    assert wire.server.violations == []
    assert [request for request in wire.server.requests if request.status == 429] == []
    assert [request.route for request in wire.server.requests].count("/applications/{app}/commands") == 1


async def test_the_key_is_in_no_log_no_output_and_no_file(wire: Wire) -> None:
    wire.environment["LOG_FORMAT"] = "json"
    async with wire.process() as process:
        await wire.set_key()
        asked = await wire.reload()
        await wire.server.wait_for(wire.pings, 10)
        await wire.server.slash(wire.mod, wire.general, "key status")
        process.send_signal(signal.SIGTERM)
        await process.wait()
    assert "reload.answer" in wire.output.read_text(), "the log was looked at"
    assert all(orjson.loads(line)["event"] for line in wire.output.read_text().splitlines())
    assert CANARY.encode() not in files(wire.folder)
    secrets = [asked.token, wire.environment["DISCORD_TOKEN"], wire.environment["KEY_ENCRYPTION_KEYS"]]
    assert [secret for secret in secrets if secret in wire.output.read_text()] == []


async def test_each_line_of_a_reloads_life_says_which_one(wire: Wire) -> None:
    """Through trouble of all kinds; so that `grep` finds the whole story."""
    wire.environment |= {"LOG_FORMAT": "json", "LOG_LEVEL": "INFO"}
    async with wire.process() as process:
        await wire.set_key()
        wire.server.faults = [
            Fault("POST", "/callback$", reset="before"),
            Fault("PATCH", "/messages/", reset="after"),
            Fault("PATCH", "/messages/", status=500, times=9),
            Fault("POST", "/messages$", status=403, code=50013),
        ]
        wire.api.reloads = [Answer(b"no JSON")]
        first, second = await wire.reload(), await wire.reload(wire.ben, model="another")
        await wire.server.wait_for(lambda: "Unclear" in wire.reply(second).text, 30)
        process.send_signal(signal.SIGTERM)
        await process.wait()
    lines = [orjson.loads(line) for line in wire.output.read_text().splitlines()]
    of_reloads = [line for line in lines if line["event"].startswith(("reload.", "reply.", "model_api."))]
    assert {"reload.asked", "reload.ended", "reload.answer", "reply.answer_failed", "reply.failed"} <= {
        line["event"] for line in of_reloads
    }
    assert {line.get("reload") for line in of_reloads} == {first.id, second.id}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_stopped_in_mid_countdown_it_goes_on(wire: Wire, how: signal.Signals) -> None:
    async with wire.process() as process:
        await wire.set_key()
        asked = await wire.reload()
        await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
        process.send_signal(how)
        assert await asyncio.wait_for(process.wait(), 20) == (-how if how is signal.SIGKILL else 0)
    async with wire.process():
        await wire.server.wait_for(wire.pings, 10)
    assert wire.reply(asked).text.startswith("**Ready** `sdxl-turbo`")
    assert len(wire.api.calls) == 1
    assert [r.route for r in wire.server.requests].count("/applications/{app}/commands") == 1
    assert wire.server.violations == []


async def test_refused_token_is_one_line(wire: Wire) -> None:
    wire.server.token = "another"
    async with wire.process() as process:
        assert await asyncio.wait_for(process.wait(), 20) == 2
    said = wire.output.read_text()
    assert "DISCORD_TOKEN: Discord rejects this token." in said
    assert "Traceback" not in said


WITH_A_DISK_THAT_HANGS = """
import sys, threading
from pathlib import Path
from sqlitedict import SqliteMultithread

execute = SqliteMultithread.select_one

def hang(*arguments):
    while Path("hang").exists():
        Path("hanging").touch()
        threading.Event().wait()
    return execute(*arguments)

SqliteMultithread.select_one = hang
from bot.__main__ import main
sys.argv = ["bot"]
sys.exit(main())
"""


async def test_disk_that_hangs_at_start_is_one_line(wire: Wire) -> None:
    (wire.folder / "hang").touch()
    patience = "import bot.store.opening\nbot.store.opening.OPEN_TIMEOUT = 2.0\nsys.argv"
    short = WITH_A_DISK_THAT_HANGS.replace("sys.argv", patience)
    async with wire.process("-c", short) as process:
        assert await asyncio.wait_for(process.wait(), 20) == 1  # it may pass: started again
    assert wire.output.read_text() == "DATA_DIR: data doesn't answer: check its disk.\n"


async def test_disk_that_hangs_at_start_does_not_hold_up_ctrl_c(wire: Wire) -> None:
    (wire.folder / "hang").touch()
    async with wire.process("-c", WITH_A_DISK_THAT_HANGS) as process:
        await wire.server.wait_for((wire.folder / "hanging").exists, 20)
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 20) == EXIT_INTERRUPTED


async def test_disk_that_hangs_holds_up_neither_an_ending_nor_a_stop(wire: Wire) -> None:
    async with wire.process("-c", WITH_A_DISK_THAT_HANGS) as process:
        await wire.set_key()
        asked = await wire.reload()
        await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
        (wire.folder / "hang").touch()
        await wire.server.wait_for(wire.pings, 10)
        assert wire.reply(asked).text.startswith("**Ready**")
        refused = await wire.reload(wire.ben, "another")
        assert "is wrong with our storage" in wire.reply(refused).text
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == EXIT_HUNG
    assert "stop.timed_out" in wire.output.read_text()
    (wire.folder / "hang").unlink()
    async with wire.process():
        await wire.server.wait_for(lambda: len(wire.server.identifies) == 2, 10)
        again = await wire.reload(wire.ben, "another")
        await wire.server.wait_for(lambda: any(wire.ben.id in ping.mentions for ping in wire.pings()), 10)
        assert wire.reply(again).text.startswith("**Ready**")
    assert [call.body["model_id"] for call in wire.api.calls] == ["sdxl-turbo", "another"]
    assert len([ping for ping in wire.pings() if wire.ana.id in ping.mentions]) == 1


async def test_a_start_raises_the_soft_limit_of_files(wire: Wire) -> None:
    limit = "import resource, runpy; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 2000))"
    wire.forked = False
    async with wire.process("-c", f"{limit}; runpy.run_module('bot', run_name='__main__')") as process:
        await wire.ready()
        limits = Path(f"/proc/{process.pid}/limits").read_text()
    assert re.search(r"Max open files\s+2000\s+2000", limits)
