"""Countdowns while Discord hangs: those that wait for a place to be edited leave their endings alone."""

import asyncio
import itertools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Unpack

import pytest

from bot.discord_api.http_trace import clock
from bot.domain.reload import Asker, Reload, State
from bot.domain.steps import Facts, step
from bot.metrics import Metrics
from bot.reloads.countdown import QUIET_SECONDS, Countdowns
from bot.reloads.services import MAX_CONCURRENT_EDITS, Services
from bot.reloads.story import Story

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


class Reply:
    """A message in a Discord that answers an edit after some seconds; one that hangs never does."""

    def __init__(self, out: Counter[str], takes: float) -> None:
        self.edits: list[float] = []
        """When each began."""
        self.told_at = 0.0
        self._out = out
        self._takes = takes

    async def show(self, _: Reload, __: float, limit: float) -> None:
        self.edits.append(clock())
        self._out["now"] += 1
        self._out["most"] = max(self._out["most"], self._out["now"])
        await asyncio.sleep(min(limit, self._takes))
        self._out["now"] -= 1

    async def tell(self, *_: object) -> bool:
        self.told_at = clock()
        return True

    async def tell_late(self, *_: object) -> bool:
        """Nobody joined."""
        return True


class Crowd:
    """Countdowns, and a store that takes every step immediately."""

    def __init__(self, takes: Callable[[int], float]) -> None:
        self.countdowns = Countdowns(lambda: 0.0)
        self.out = Counter[str]()
        self.rows: dict[int, Reload] = {}
        self.due: dict[int, float] = {}
        self.replies: dict[int, Reply] = {}
        self._takes = takes
        nothing: Any = None
        store: Any = self
        replies: Any = self
        self.services = Services(
            *(store, nothing, nothing, nothing, replies, Metrics(), self.countdowns),
            *(nothing, clock, nothing, nothing),
        )

    def of(self, reload: Reload) -> Reply:
        return self.replies.setdefault(reload.id, Reply(self.out, self._takes(reload.id)))

    async def step(self, id_: int, _: object, to: State, **facts: Unpack[Facts]) -> Reload:
        self.rows[id_] = step(self.rows[id_], to, **facts)
        return self.rows[id_]

    async def count(self, number: int, after: float) -> None:
        await asyncio.sleep(after)
        self.due[number] = clock() + SECONDS
        self.rows[number] = replace(COUNTING, id=number, deadline=self.due[number])
        self.out["near"] = max(self.out["near"], self.countdowns.near)
        await Story(self.services, self.rows[number]).resume()


async def test_edits_that_hang_do_not_make_a_crowds_endings_late() -> None:
    """They take 200 places for 5 s each: 40 a second, where 200 a second are due. About 17 a second begin."""
    crowd = Crowd(lambda _: math.inf)
    await asyncio.gather(*(crowd.count(number, number * SECONDS / CROWD) for number in range(CROWD)))
    due, replies = crowd.due, crowd.replies
    late = [replies[number].told_at - due[number] for number in due]
    assert -0.01 < min(late) <= max(late) < 0.1
    assert sum(len(reply.edits) for reply in replies.values()) > CROWD, "yet they are edited"
    for number, reply in replies.items():
        assert max(reply.edits) <= due[number] - QUIET_SECONDS + 0.01, "none shortly before the ending"
        assert min(reply.edits) == pytest.approx(due[number] - SECONDS), "nobody goes on thinking"
    assert MAX_CONCURRENT_EDITS < crowd.out["most"] < 2 * MAX_CONCURRENT_EDITS, "each has a connection"
    assert crowd.out["near"] > CROWD / 8, "who waits for a place is known to be near the end: a quarter are"
    assert (crowd.countdowns.live, crowd.countdowns.near) == (0, 0)
    assert crowd.services.ticks._value == crowd.services.first_edits._value == MAX_CONCURRENT_EDITS, (
        "each place is given back"
    )


async def test_edits_that_hang_leave_places_for_those_that_do_not() -> None:
    """One in twenty does not; a turn that is given up after 5 s would come to nobody in particular."""
    crowd = Crowd(lambda number: 0.2 if number % 20 == 0 else math.inf)
    await asyncio.gather(*(crowd.count(number, number / 200) for number in range(CROWD)))
    for number in range(0, CROWD, 20):
        times = [*crowd.replies[number].edits, crowd.due[number]]
        assert times[0] < crowd.due[number] - SECONDS / 2
        assert max(b - a for a, b in itertools.pairwise(times)) < SECONDS * 2 / 3
