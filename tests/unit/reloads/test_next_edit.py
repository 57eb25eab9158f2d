"""When the next edit is due, and how long to wait after a failure."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.backoff import retry_pause, start_pause
from bot.reloads.countdown import EDIT_INTERVAL, QUIET_SECONDS, next_edit


def edits(left: float) -> list[float]:
    """Return a countdown's edits: the seconds left at each."""
    shown = []
    while (pause := next_edit(left)) is not None:
        left -= pause
        shown.append(left)
    return shown


def test_two_minutes_are_counted_down_in_fives() -> None:
    assert edits(120.0) == [float(left) for left in range(115, 0, -5)]


@pytest.mark.parametrize(
    ("left", "first"), [(119.3, 115.0), (117.0, 115.0), (115.9, 110.0), (7.0, 5.0), (6.0, 5.0)]
)
def test_the_first_edit_falls_on_a_round_number_at_least_a_second_away(left: float, first: float) -> None:
    assert edits(left)[0] == pytest.approx(first)


@pytest.mark.parametrize("left", [5.9, 5.0, 2.0, 1.0, 0.0, -3.0, math.nan, math.inf, -math.inf])
def test_shortly_before_the_ending_only_the_ending_is_left(left: float) -> None:
    assert next_edit(left) is None


@given(left=st.floats(0, 86400))
def test_a_countdown_of_any_length_is_even_and_quiet_at_its_end(left: float) -> None:
    shown = edits(left)
    assert all(mark > QUIET_SECONDS for mark in shown)
    assert all(round(mark) % EDIT_INTERVAL == 0 for mark in shown)
    assert all(abs(mark - round(mark)) < 1e-6 for mark in shown)
    gaps = [earlier - later for earlier, later in itertools.pairwise([left, *shown, 0.0])]
    assert all(gap <= EDIT_INTERVAL + 1 + 1e-6 for gap in gaps), "no edit is skipped"
    assert all(gap >= 1 - 1e-6 for gap in gaps[:-1]), "no two edits at once"


def test_an_ending_is_tried_after_1_2_4_and_then_every_8_seconds() -> None:
    assert [retry_pause(attempt) for attempt in range(6)] == [1, 2, 4, 8, 8, 8]
    assert retry_pause(10**6) == 8


def test_a_start_is_tried_with_pauses_of_up_to_a_minute() -> None:
    assert [start_pause(attempt) for attempt in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert start_pause(10**6) == 60
