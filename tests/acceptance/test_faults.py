"""What goes wrong between the bot and Discord: what the person sees, how many calls are made, and after.

Each fault begins 20 s before the ending and lasts for a minute, or for ever where nobody can mend it.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import pytest

from bot.app import Rewarm
from bot.domain.reload import State
from tests.stand_ins.discord import Fault, Interaction
from tests.wire import Wire, running

pytestmark = pytest.mark.usefixtures("virtual")
BY_TOKEN, BY_CHANNEL = r"^/webhooks/.*/messages/", r"^/channels/.*/messages/"
FOLLOW_UP, PING = r"^/webhooks/\d+/[^/]+$", r"^/channels/\d+/messages$"
SECONDS, BEFORE, LASTS = 120.0, 20.0, 60.0
CLEARED = LASTS + 10.0
"""The next try comes at most 8 s after the fault has gone."""
ALWAYS = 10**9
_REFUSED = (401, 403, 404)


@dataclass(frozen=True)
class Case:
    """One fault, and what comes of it."""

    happens: Callable[[Wire, Interaction], object] = lambda *_: None
    faults: tuple[Fault, ...] = ()
    shown: str | None = "Ready"
    """The reply's last word; None: nobody can see it."""
    shown_within: float = 1.0
    """Seconds after the deadline."""
    pinged: int = 1
    pinged_within: float = 1.5
    alone: bool = False
    """The ping carries the whole ending."""
    most_refused: dict[int, int] = field(default_factory=dict)
    """How many answers of 401, 403 and 404 are drawn at most."""
    most_calls: int = 75
    """Edits and pings in all, with those of the next reload; undisturbed, it would be 31."""


def every(method: str, path: str, **how: object) -> Fault:
    return Fault(method, path, times=ALWAYS, **how)  # type: ignore[arg-type]


def lost_permission(wire: Wire, _: Interaction) -> None:
    wire.general.may_view = wire.general.may_send = False


def may_not_send(wire: Wire, _: Interaction) -> None:
    wire.general.may_send = False


def archived(wire: Wire, _: Interaction) -> None:
    wire.general.archived = True


def locked(wire: Wire, _: Interaction) -> None:
    wire.general.archived = wire.general.locked = True


def deaf_and_dumb(wire: Wire, asked: Interaction) -> None:
    wire.server.kill_token(asked)
    lost_permission(wire, asked)


def deleted(wire: Wire, asked: Interaction) -> None:
    wire.server.delete_message(asked.message_id or 0)


LONG_WAIT = {"message": "wait", "retry_after": 600.0, "global": False}
GLOBAL_WAIT = {"message": "wait", "retry_after": 20.0, "global": True}
ODD_BODIES = {"no wait": {"message": "x"}, "a list": [1], "text": "slow", "odd wait": {"retry_after": "soon"}}
CASES = {
    "reply deleted": Case(deleted, shown=None, alone=True, most_refused={404: 1}),
    "channel deleted": Case(
        lambda wire, _: wire.server.delete_channel(wire.general), shown=None, pinged=0, most_refused={404: 4}
    ),
    "thread archived": Case(archived, shown_within=3, alone=True),  # the ping wakes it up
    "thread locked": Case(locked, shown="Reloading", pinged=0),
    "no right to view or send": Case(lost_permission, most_refused={403: 1}),
    "no right to send": Case(may_not_send, most_refused={403: 1}),
    "token dead": Case(lambda wire, asked: wire.server.kill_token(asked), most_refused={401: 1}),
    "token dead and no right to view": Case(
        deaf_and_dumb, shown="Reloading", pinged=0, most_refused={401: 1, 403: 5}
    ),
    "5xx by token": Case(faults=(every("PATCH", BY_TOKEN, status=502),), shown_within=3, pinged_within=3),
    "503 by token": Case(faults=(every("PATCH", BY_TOKEN, status=503),), shown_within=3, pinged_within=3),
    "5xx for pings": Case(faults=(every("POST", PING, status=500),), pinged_within=CLEARED),
    "503 for pings": Case(faults=(every("POST", PING, status=503),), pinged_within=CLEARED),
    "5xx everywhere": Case(
        faults=(every("PATCH", "", status=500), every("POST", "messages$", status=500)),
        shown_within=CLEARED,
        pinged_within=CLEARED,
        alone=True,
    ),
    "429 of ten minutes by token": Case(
        faults=(every("PATCH", BY_TOKEN, status=429, body=LONG_WAIT),), shown_within=3
    ),
    "429 of ten minutes for pings": Case(
        faults=(every("POST", PING, status=429, body=LONG_WAIT),), pinged_within=10
    ),
    "429 for everything": Case(
        faults=(Fault("POST", PING, status=429, body=GLOBAL_WAIT, headers={"X-RateLimit-Global": "true"}),),
        pinged_within=25,
    ),
    "429 of the edge by token": Case(
        faults=(every("PATCH", BY_TOKEN, status=429, edge=True),), shown_within=3
    ),
    "one 429 of the edge for pings": Case(
        faults=(Fault("POST", PING, status=429, edge=True),), pinged_within=6
    ),
    **{
        f"429, {name}": Case(faults=(Fault("POST", PING, status=429, body=body),), pinged_within=6)
        for name, body in ODD_BODIES.items()
    },
    **{
        f"429 by token, {name}": Case(
            faults=(every("PATCH", BY_TOKEN, status=429, body=body),), shown_within=3
        )
        for name, body in ODD_BODIES.items()
    },
    "resets by token": Case(faults=(every("PATCH", BY_TOKEN, reset="before"),), shown_within=3),
    "resets for pings": Case(faults=(every("POST", PING, reset="before"),), pinged_within=CLEARED),
    "edits whose answer is lost": Case(faults=(every("PATCH", BY_TOKEN, reset="after"),), shown_within=3),
    "pings whose answer is lost": Case(faults=(Fault("POST", PING, reset="after", times=3),)),
    "token route hangs": Case(faults=(every("PATCH", BY_TOKEN, delay=300),), shown_within=3, pinged_within=4),
    "no right to send, and follow-ups whose answer is lost": Case(
        may_not_send,
        faults=(every("POST", FOLLOW_UP, reset="after"),),
        pinged=3,
        pinged_within=10,
        most_refused={403: 2},
    ),
    "no right to send, and follow-ups that hang": Case(
        may_not_send,
        faults=(every("POST", FOLLOW_UP, delay=6),),
        pinged=3,
        pinged_within=30,
        most_refused={403: 2},
    ),
    "no right to send, and 5xx for follow-ups": Case(
        may_not_send,
        faults=(every("POST", FOLLOW_UP, status=503),),
        pinged_within=CLEARED,
        most_refused={403: 1},
    ),
    "channel route hangs": Case(faults=(every("POST", PING, delay=300),), pinged_within=CLEARED),
}


@pytest.fixture
async def bot(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rewarm]:
    async with running(wire.settings(reload_seconds=SECONDS), monkeypatch) as bot:
        await wire.set_key()
        yield bot


async def the_next_reload_works(wire: Wire, bot: Rewarm) -> None:
    again = await wire.server.slash(wire.ben, wire.art, "reload", {"model_id": "another"})
    await wire.server.wait_for(lambda: any(wire.ben.id in ping.mentions for ping in wire.pings()), 200)
    assert wire.reply(again).text.startswith("**Ready** `another`")
    assert {reload.state for reload in await bot.store.open()} <= {State.ANNOUNCING}


@pytest.mark.parametrize("name", CASES)
async def test_fault(wire: Wire, bot: Rewarm, name: str) -> None:
    case = CASES[name]
    asked = await wire.reload()
    await asyncio.sleep(SECONDS - BEFORE)
    calls = len(wire.server.requests)
    case.happens(wire, asked)
    wire.server.faults += [replace(fault) for fault in case.faults]
    await asyncio.sleep(BEFORE + LASTS)
    wire.server.faults.clear()
    await the_next_reload_works(wire, bot)
    await asyncio.sleep(600)

    call, _ = wire.api.calls
    deadline = call.at + SECONDS
    if case.shown is not None:
        assert wire.reply(asked).text.startswith(f"**{case.shown}** `sdxl-turbo`")
    if case.shown == "Ready":
        shown = next(at for at, version in wire.reply(asked).history if "**Ready**" in str(version))
        assert -0.01 < shown - deadline <= case.shown_within
    pings = [ping for ping in wire.pings() if wire.ana.id in ping.mentions]
    assert len(pings) == case.pinged
    for ping in pings:
        assert -0.01 < ping.history[0][0] - deadline <= case.pinged_within
        assert ("Not confirmed yet" in ping.text) is case.alone
    made = wire.server.requests[calls:]
    drawn = Counter(request.status for request in made)
    assert {
        status: drawn[status] for status in _REFUSED if drawn[status] > case.most_refused.get(status, 0)
    } == {}
    assert len([r for r in made if re.search(r"/messages|^/webhooks", r.path)]) <= case.most_calls
    assert wire.server.violations == []
