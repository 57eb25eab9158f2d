"""When an ending that could not be shown is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.reload import FADE_AGE, MOST_REFUSED
from bot.reloads.retries import Retries

HOUR = 3600.0


def quiet_day(cost: int) -> list[float]:
    """Return the tries on a day when nothing happens, if each costs this many refused calls."""
    age, retries, tries, refused = 0.0, Retries(0), [0.0], cost
    while True:
        retries.tried(refused)
        if (pause := retries.pause(age)) is None:
            return tries
        age += sum(pause)
        if age < FADE_AGE:
            tries.append(age)
            refused += cost


def test_a_quiet_day() -> None:
    tries = quiet_day(2)
    assert tries[:8] == [0, 600, 1200, 1800, 2400, 3000, 3600, 7200]
    assert tries[-1] == 23 * HOUR
    assert MOST_REFUSED - 4 <= 2 * len(tries) <= MOST_REFUSED


@pytest.mark.parametrize("cost", [1, 2, 3, 5, 12, 20])
def test_dear_tries_are_rarer_and_go_on_all_day(cost: int) -> None:
    tries = quiet_day(cost)
    assert cost * len(tries) <= MOST_REFUSED
    assert tries[-1] >= FADE_AGE / 2


def test_an_event_sets_off_a_try_until_too_much_was_refused() -> None:
    retries, at_once = Retries(0), 0
    while True:
        retries.tried(2 * (at_once + 1))
        pause = retries.pause(100.0 + 30 * at_once)
        assert pause is not None
        if pause.rest > 0:
            break
        at_once += 1
    assert at_once == 9
    assert 0.5 * HOUR < pause.rest < 1.3 * HOUR
    assert pause.wait == 0


def test_a_process_that_goes_on_tries_at_once_until_too_much_was_refused() -> None:
    assert Retries(0).rest(0) == Retries(18).rest(60) == Retries(40).rest(14 * HOUR) == 0
    assert 0.5 * HOUR < Retries(20).rest(60) < 1.3 * HOUR
    assert Retries(MOST_REFUSED).rest(HOUR) == 23 * HOUR


@given(starts=st.lists(st.floats(0, FADE_AGE), max_size=200), cost=st.integers(1, 5))
def test_however_often_it_starts(starts: list[float], cost: int) -> None:
    refused, last = 0, 0.0
    for start in sorted(starts):
        age = max(start, last) + Retries(refused).rest(max(start, last))
        if age >= FADE_AGE:
            break
        refused, last = refused + cost, age
    assert refused <= MOST_REFUSED + cost


@given(
    age=st.floats(0, FADE_AGE * 2),
    before=st.integers(0, MOST_REFUSED),
    refused=st.lists(st.integers(0, 100), max_size=5),
)
def test_never_negative_and_never_after_the_day(age: float, before: int, refused: list[int]) -> None:
    retries = Retries(before)
    for count in sorted(refused):
        retries.tried(before + count)
    pause = retries.pause(age)
    if pause is None:
        assert age >= FADE_AGE
    else:
        assert min(pause) >= 0
        assert age + sum(pause) <= FADE_AGE + 1e-6
        assert sum(pause) > 0 or age + 1 > FADE_AGE
