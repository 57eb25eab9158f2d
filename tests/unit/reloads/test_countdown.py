"""How often a crowd of countdowns is edited: as often as the process can manage, and spread out."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.reloads.countdown import (
    BATCH_WINDOW,
    EDIT_BATCH,
    EDIT_INTERVAL,
    EDITS_A_LOOK,
    LOAD,
    NEAR_SECONDS,
    RELOAD_COSTS,
    WAIT_COSTS,
    Countdown,
    Countdowns,
    next_edit_near,
)


class Cpu:
    """A process whose edits cost this many seconds of CPU each."""

    def __init__(self, cost: float) -> None:
        self.cost = cost
        self.used = 0.0

    def __call__(self) -> float:
        return self.used


def play(
    starts: Iterable[float], cost: float, lasts: Callable[[int], float] = lambda _: 120.0
) -> dict[int, list[float]]:
    """Run countdowns that begin at these times; return the times left at each one's edits."""
    cpu = Cpu(cost)
    countdowns = Countdowns(cpu)
    due = [(start, number, start + lasts(number)) for number, start in enumerate(starts)]
    heapq.heapify(due)
    begun: dict[int, Countdown] = {}
    shown: dict[int, list[float]] = {number: [] for _, number, _ in due}
    while due:
        now, number, ends = heapq.heappop(due)
        if now == ends:
            cpu.used += RELOAD_COSTS * cpu.cost
            begun[number].end()
            continue
        if number not in begun:
            begun[number] = countdowns.begin(RELOAD_COSTS)
        cpu.used += cpu.cost
        shown[number].append(ends - now)
        at = begun[number].next_edit(ends - now, now)
        heapq.heappush(due, (ends if at is None else at, number, ends))
    assert (countdowns.live, countdowns.near) == (0, 0)
    return shown


def test_a_few_are_edited_every_five_seconds_on_round_numbers() -> None:
    for shown in play([0.0, 1.0, 2.0], cost=0.0005).values():
        assert [round(left) for left in shown] == list(range(120, 0, -5))


@pytest.mark.slow
@pytest.mark.parametrize("cost", [0.0003, 0.0006, 0.002])
def test_a_crowd_is_edited_evenly_and_its_last_seconds_come_first(cost: float) -> None:
    """33 begin each second, so that 4,000 are live."""
    starts = [number * 120 / 4000 for number in range(8_000)]
    shown = play(starts, cost)
    second = Counter(int(starts[n] + 120 - left) for n, lefts in shown.items() for left in lefts)
    busy = [second[at] for at in range(180, 240)]
    assert max(busy) < 1.15 * sum(busy) / 60
    for number, lefts in shown.items():
        last = [left for left in lefts if left <= NEAR_SECONDS]
        assert len(last) >= 2
        assert max(a - b for a, b in pairwise([*last, 0.0])) < 2 * EDIT_INTERVAL
        if number > 4000:
            gaps = [a - b for a, b in pairwise(lefts[1:])]
            assert max(gaps) < 1.2 * max(EDIT_INTERVAL, 4000 * 4 * cost / LOAD) + EDIT_INTERVAL


@pytest.mark.parametrize("live", [1000, *(pytest.param(n, marks=pytest.mark.slow) for n in (2000, 4000))])
def test_it_is_edited_so_often_that_room_is_left_for_answers(live: int) -> None:
    """The cost of its reloads besides countdowns counts, too."""
    cost = 0.0005
    starts = [number * 120 / live for number in range(2 * live)]  # later ones change nothing before 240
    edits = sum(
        180 <= starts[n] + 120 - left < 240 for n, lefts in play(starts, cost).items() for left in lefts
    )
    used = (2 * edits + live * RELOAD_COSTS) * cost / 120
    assert used < 1.05 * LOAD
    if used < 0.9 * LOAD:
        assert edits / live == pytest.approx(12, abs=0.75), "nobody waits while there is room"


def test_those_that_a_restart_finds_are_not_edited_in_waves_that_it_cannot_carry() -> None:
    """5,000 go on within 4 s, and end within 2 minutes."""
    cost = 0.0005
    shown = play((4.0 * n / 5000 for n in range(5000)), cost, lasts=lambda n: 30 + 90 * n / 5000)
    ends = [4.0 * n / 5000 + 30 + 90 * n / 5000 for n in range(5000)]
    at = Counter(int(ends[n] - left) for n, lefts in shown.items() for left in lefts)
    assert max(at[second] for second in range(5, 120)) < 1.1 * LOAD / cost
    settled = [at[second] for second in range(35, 80)]
    assert max(settled) < 1.1 * min(settled)


@pytest.mark.parametrize("cost", [0.0005, 0.002])
def test_those_that_begin_in_one_instant_are_spread(cost: float) -> None:
    """Except for their first edit: nobody waits for that."""
    shown = play([0.0] * 2000, cost)
    tenth = Counter(int((120 - left) * 10) for lefts in shown.values() for left in lefts if left < 100)
    near = 2000 / EDIT_INTERVAL / 10  # are edited in any case
    assert max(tenth.values()) < 1.1 * max(LOAD / cost / 10, near + LOAD / cost / 40)


def test_so_few_that_they_can_be_edited_at_once_keep_their_round_numbers() -> None:
    shown = play([0.0] * 250, cost=0.0005)
    assert {round(left) % 5 for lefts in shown.values() for left in lefts} == {0}
    together = Counter(left for lefts in shown.values() for left in lefts if 19 < left < 25.5)
    assert max(together.values()) < 1.5 * EDIT_BATCH, "yet spread"


@pytest.mark.slow
@pytest.mark.parametrize("live", [50, 300, 1000, 5000])
def test_edits_fall_together_on_beats_but_not_too_many(live: int) -> None:
    shown = play([number * 120 / live for number in range(2 * live)], cost=0.0005)
    at = Counter(number * 120 / live + 120 - left for number, lefts in shown.items() for left in lefts[1:])
    busy = {moment: count for moment, count in at.items() if 120 <= moment < 240}
    assert max(busy.values()) < 1.5 * EDIT_BATCH
    together = sum(count for count in busy.values() if count >= min(live / 5 * BATCH_WINDOW, EDIT_BATCH) / 2)
    assert together > 0.8 * sum(busy.values())


def test_the_interval_widens_smoothly_with_the_crowd() -> None:
    countdowns = Countdowns(Cpu(0.0))
    every = []
    for _ in range(20_000):
        countdowns.begin(RELOAD_COSTS)
        every.append(countdowns.every)
    assert every[0] == every[4000] == EDIT_INTERVAL
    assert every[-1] == pytest.approx(20_000 * 0.0005 / LOAD)
    assert all(0 <= later - earlier < 0.01 for earlier, later in pairwise(every))


def test_what_an_edit_costs_is_measured_and_one_odd_look_changes_little() -> None:
    cpu = Cpu(0.001)
    countdowns = Countdowns(cpu)

    def look(cost: float) -> float:
        for _ in range(EDITS_A_LOOK):
            cpu.used += cost
            countdowns.worked(1)
        return countdowns.capacity

    for _ in range(100):
        look(0.001)
    assert countdowns.capacity == pytest.approx(LOAD / 0.001, rel=0.02)
    assert look(0.5) > LOAD / 0.001 / 2, "an hour's work that was no edit"
    for _ in range(100):
        look(0.0004)
    assert countdowns.capacity == pytest.approx(LOAD / 0.0004, rel=0.02)


@given(left=st.floats(0, 86400), place=st.floats(0, 1))
def test_any_countdown_goes_on_to_its_end(left: float, place: float) -> None:
    shown = [left]
    while (pause := next_edit_near(shown[-1], place)) is not None:
        shown.append(shown[-1] - pause)
        assert pause >= 1 - 1e-6
        assert 2 < shown[-1] <= NEAR_SECONDS + 1e-6
    assert shown[-1] < 2 * EDIT_INTERVAL + 1 + 1e-6 or shown == [left]
    assert all(a - b < EDIT_INTERVAL + 1 + 1e-6 for a, b in pairwise(shown[1:]))


def test_a_wait_before_the_call_counts_as_less_than_a_reload() -> None:
    """Counted as a reload, it would make edits look cheaper than they are."""
    cpu = Cpu(0.0005)
    countdowns = Countdowns(cpu)
    for _ in range(2000):
        for costs in (WAIT_COSTS, RELOAD_COSTS):
            cpu.used += costs * cpu.cost
            countdowns.begin(costs).end()
    assert countdowns.capacity == pytest.approx(LOAD / cpu.cost, rel=0.05)


def test_beats_that_have_passed_are_forgotten() -> None:
    countdowns = Countdowns(Cpu(0.0))
    for number in range(50_000):
        countdowns.beat(number + 5.0, float(number))
    assert len(countdowns._due) <= 10_001


def test_nobody_is_sent_further_than_a_minute_ahead() -> None:
    """By a crowd that has ended, for instance."""
    countdowns = Countdowns(Cpu(0.0))
    for _ in range(200_000):
        turn = countdowns.turn(1000.0, 90_000.0)
    assert turn == 1060.0
