"""First answers, and what a deferral was for: tried again within Discord's 3 s, and never left "thinking"."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bot.app import Rewarm
from tests.stand_ins.discord import Fault, Interaction
from tests.wire import Wire

pytestmark = pytest.mark.usefixtures("virtual")
CALLBACK, ORIGINAL = "/callback$", "/messages/@original$"
HICCUPS: dict[str, dict[str, Any]] = {
    "reset": {"reset": "before"},
    "lost answer": {"reset": "after"},
    "503": {"status": 503},
    "429 of the edge": {"status": 429, "edge": True},
    "odd 429": {"status": 429, "body": [1]},
    "cut 502": {"status": 502, "body": b'{"mess'},
    "hang": {"delay": 30.0},
    "slow answer": {"delay": 1.2},
}
Act = Callable[[Wire], Awaitable[Interaction]]


async def join(wire: Wire) -> Interaction:
    wire.server.faults, faults = [], wire.server.faults
    await wire.reload()
    wire.server.faults = faults
    return await wire.reload(wire.ben)


async def refused(wire: Wire) -> Interaction:
    return await wire.reload(model="no id at all")


async def status(wire: Wire) -> Interaction:
    return await wire.server.slash(wire.mod, wire.general, "key status")


async def removal(wire: Wire) -> Interaction:
    wire.server.faults, faults = [], wire.server.faults
    question = await wire.server.slash(wire.mod, wire.general, "key remove")
    wire.server.faults = faults
    return await wire.server.press(wire.mod, wire.reply(question), "Delete the key")


async def submitted(wire: Wire) -> Interaction:
    wire.server.faults, faults = [], wire.server.faults
    modal = await wire.server.slash(wire.mod, wire.general, "key set")
    wire.server.faults = faults
    return await wire.server.submit_modal(modal, {0: "another-key-0123456789"})


ACTS: dict[str, tuple[Act, str]] = {
    "join": (join, "You'll be pinged too"),
    "refusal": (refused, "isn't a model ID"),
    "status": (status, "set by mod"),
    "removal": (removal, "been deleted"),
    "new key": (submitted, "been stored"),
}


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("hiccup", HICCUPS)
@pytest.mark.parametrize("name", ACTS)
async def test_hiccup_of_a_first_answer_is_not_seen(wire: Wire, name: str, hiccup: str) -> None:
    act, sentence = ACTS[name]
    wire.server.faults.append(Fault("POST", CALLBACK, **HICCUPS[hiccup]))
    made = await act(wire)
    await wire.server.wait_for(lambda: sentence in wire.reply(made).text)
    assert made.ephemeral
    assert wire.server.violations == []


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("hiccup", HICCUPS)
async def test_form_opens_in_spite_of_a_hiccup(wire: Wire, hiccup: str) -> None:
    wire.server.faults.append(Fault("POST", CALLBACK, **HICCUPS[hiccup]))
    asked = await wire.server.slash(wire.mod, wire.general, "key set")
    assert asked.modal is not None
    await asyncio.sleep(5)
    form = await wire.server.submit_modal(asked, {0: "another-key-0123456789"})
    await wire.server.wait_for(lambda: form.message_id and "been stored" in wire.reply(form).text)


async def test_form_that_is_dismissed_does_not_stay_in_memory(
    wire: Wire, bot: Rewarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["cogs.key"], "FORM_TIMEOUT", 0.2)  # discord.py asks the real clock
    for _ in range(20):
        await wire.server.slash(wire.mod, wire.general, "key set")
    await wire.server.wait_for(lambda: not bot._connection._view_store._modals, 600)


@pytest.mark.usefixtures("bot")
async def test_what_a_deferral_was_for_is_said_when_discords_wait_is_over(wire: Wire) -> None:
    wait = {"message": "wait", "retry_after": 90.0, "global": False}
    wire.server.faults.append(Fault("PATCH", ORIGINAL, times=10**9, status=429, body=wait))
    made = await removal(wire)
    await asyncio.sleep(89)
    wire.server.faults.clear()
    await wire.server.wait_for(lambda: "been deleted" in wire.reply(made).text, 20)


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("hiccup", HICCUPS)
@pytest.mark.parametrize("name", ["removal", "new key"])
async def test_nothing_is_left_thinking(wire: Wire, name: str, hiccup: str, times: int) -> None:
    act, sentence = ACTS[name]
    wire.server.faults.append(Fault("PATCH", ORIGINAL, times=times, **HICCUPS[hiccup]))
    made = await act(wire)
    await wire.server.wait_for(lambda: sentence in wire.reply(made).text, 60)


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("hiccup", HICCUPS)
async def test_hiccup_of_the_deferral_is_no_error_and_one_call(wire: Wire, hiccup: str) -> None:
    wire.server.faults.append(Fault("POST", CALLBACK, **HICCUPS[hiccup]))
    made = await wire.reload()
    await wire.server.wait_for(wire.pings, 30)
    assert wire.reply(made).text.startswith("**Ready**")
    assert not made.ephemeral
    assert len(wire.api.calls) == 1
    assert [ping.mentions for ping in wire.pings()] == [{wire.ana.id}]
