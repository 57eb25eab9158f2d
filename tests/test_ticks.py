"""Countdowns while Discord hangs: those that wait for a place to be edited leave their endings alone."""

import asyncio
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Unpack

import pytest

from bot.cadence import QUIET_SECONDS
from bot.metrics import Metrics
from bot.reload import Asker, Facts, Reload, State, step
from bot.rhythm import Rhythm
from bot.story import EDITS_AT_ONCE, Story, Storyteller
from bot.trace import clock

pytestmark = pytest.mark.usefixtures("virtual")
SECONDS = 60.0
CROWD = 1000
COUNTING = Reload(
    id=1,
    server=5,
    model="sdxl-turbo",
    askers=(Asker(11, 70, "t-11"),),
    asked_at=0.0,
    seconds=SECONDS,
    state=State.COUNTING,
    message=99,
)


class HangingReply:
    """A Discord that never answers an edit."""

    def __init__(self, out: Counter[str]) -> None:
        self.edits: list[float] = []
        """When each began."""
        self.told_at = 0.0
        self._out = out

    async def show(self, _: Reload, __: float, limit: float) -> None:
        self.edits.append(clock())
        self._out["now"] += 1
        self._out["most"] = max(self._out["most"], self._out["now"])
        await asyncio.sleep(limit)
        self._out["now"] -= 1

    async def tell(self, *_: object) -> bool:
        self.told_at = clock()
        return True

    async def tell_late(self, *_: object) -> None:
        """Nobody joined."""


class Rows:
    """A store that takes every step at once."""

    def __init__(self) -> None:
        self.rows: dict[int, Reload] = {}

    async def step(self, id_: int, _: object, to: State, **facts: Unpack[Facts]) -> Reload:
        self.rows[id_] = step(self.rows[id_], to, **facts)
        return self.rows[id_]


async def test_edits_that_hang_do_not_make_a_crowds_endings_late() -> None:
    """They take 200 places for 5 s each: 40 a second, where 200 a second want one. Some 17 a second begin."""
    replies: dict[int, HangingReply] = {}
    rows, rhythm, out = Rows(), Rhythm(lambda: 0.0), Counter[str]()
    delivery: Any = SimpleNamespace(reply=lambda reload: replies.setdefault(reload.id, HangingReply(out)))
    nothing: Any = None
    store: Any = rows
    by = Storyteller(store, nothing, nothing, delivery, Metrics(), rhythm, clock)
    due: dict[int, float] = {}
    near = 0

    async def count(number: int) -> None:
        nonlocal near
        await asyncio.sleep(number * SECONDS / CROWD)
        near = max(near, rhythm.near)
        due[number] = clock() + SECONDS
        rows.rows[number] = replace(COUNTING, id=number, deadline=due[number])
        await Story(by, rows.rows[number]).resume()

    await asyncio.gather(*(count(number) for number in range(CROWD)))
    late = [replies[number].told_at - due[number] for number in due]
    assert -0.01 < min(late) <= max(late) < 0.1
    assert sum(len(reply.edits) for reply in replies.values()) > CROWD, "yet they are edited"
    for number, reply in replies.items():
        assert max(reply.edits) <= due[number] - QUIET_SECONDS + 0.01, "none shortly before the ending"
        assert min(reply.edits) == pytest.approx(due[number] - SECONDS), "nobody goes on thinking"
    assert EDITS_AT_ONCE < out["most"] < 2 * EDITS_AT_ONCE, "each has a connection"
    assert near > CROWD / 8, "who waits for a place is known to be near the end: a quarter are"
    assert (rhythm.live, rhythm.near) == (0, 0)
    assert by.ticks._value == by.first_edits._value == EDITS_AT_ONCE, "each place is given back"
