"""First answers, and what a deferral was for: tried again within Discord's 3 s, and never left "thinking"."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from bot.app import Rewarm
from tests.stand_ins.discord_server import Fault, Interaction
from tests.wire import Wire, running

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
    return await wire.server.slash(wire.mod, wire.general, "key remove")


async def submitted(wire: Wire) -> Interaction:
    wire.server.faults, faults = [], wire.server.faults
    modal = await wire.server.slash(wire.mod, wire.general, "key set")
    wire.server.faults = faults
    return await wire.server.submit_modal(modal, {0: "another-key-0123456789"})


ACTS: dict[str, tuple[Act, str]] = {
    "join": (join, "You will be pinged too"),
    "refusal": (refused, "not a model id"),
    "status": (status, "set by mod"),
    "removal": (removal, "is deleted"),
    "new key": (submitted, "is stored"),
}


@pytest.fixture
async def bot(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rewarm]:
    async with running(wire.settings(), monkeypatch) as bot:
        await wire.set_key()
        yield bot


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
