"""The loop that the bot runs in: its timers count the time that the machine slept."""

import asyncio
import sys
import threading
import time

import pytest

from bot import __main__ as command_line
from bot import process
from bot.clock import LOOK_INTERVAL, SuspendProofLoop


@pytest.mark.skipif(sys.platform != "linux", reason="of the other platforms' clocks")
def test_what_was_due_in_a_suspend_is_done_within_a_second_of_waking_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the kernel has it: of its clocks, only CLOCK_BOOTTIME goes on during a suspend."""
    slept, gettime = [0.0], time.clock_gettime
    monkeypatch.setattr(
        time,
        "clock_gettime",
        lambda clock: gettime(clock) + (slept[-1] if clock == time.CLOCK_BOOTTIME else 0.0),
    )

    async def sleeper() -> float:
        began = time.monotonic()
        threading.Timer(0.05, slept.append, (30.0,)).start()  # while the loop waits in the kernel
        await asyncio.sleep(30)
        return time.monotonic() - began

    with asyncio.Runner(loop_factory=SuspendProofLoop) as runner:
        assert runner.run(sleeper()) < LOOK_INTERVAL + 1


def test_timers_go_off_in_time_all_the_same() -> None:
    async def sleeper() -> float:
        began = time.monotonic()
        await asyncio.sleep(0.02)
        return time.monotonic() - began

    with asyncio.Runner(loop_factory=SuspendProofLoop) as runner:
        assert 0.02 <= runner.run(sleeper()) < 0.5


def test_the_bot_runs_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def look(_: object) -> int:
        loops.append(asyncio.get_running_loop())
        return 0

    monkeypatch.setattr(process, "run", look)
    monkeypatch.setattr(process, "load_settings", lambda: None)
    monkeypatch.setattr("sys.argv", ["rewarm"])
    assert command_line.main() == 0
    assert [type(loop) for loop in loops] == [SuspendProofLoop]
