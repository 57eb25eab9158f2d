"""How often a member may have the API called: ten times in any minute, and nothing of it is kept longer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import TooManyCalls
from bot.domain.member_calls import CALLS_PER_MEMBER, CALLS_PERIOD, MemberCalls

ANA, BEN = 11, 12
HERE, ELSEWHERE = 5, 6


class Time:
    """A clock that stands where it is put."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def test_the_eleventh_in_a_minute_is_refused_until_the_first_is_a_minute_old() -> None:
    time = Time()
    calls = MemberCalls(time)
    first = time.now
    for _ in range(CALLS_PER_MEMBER):
        calls.count(HERE, ANA)
        time.now += 3
    with pytest.raises(TooManyCalls) as refused:
        calls.count(HERE, ANA)
    assert refused.value.again_at == first + CALLS_PERIOD
    time.now = refused.value.again_at
    calls.count(HERE, ANA)
    with pytest.raises(TooManyCalls):
        calls.count(HERE, ANA)


def test_others_and_the_same_member_elsewhere_are_not_touched() -> None:
    calls = MemberCalls(Time())
    for _ in range(CALLS_PER_MEMBER):
        calls.count(HERE, ANA)
    calls.count(HERE, BEN)
    calls.count(ELSEWHERE, ANA)


def test_a_call_that_was_not_made_leaves_its_place() -> None:
    calls = MemberCalls(Time())
    for _ in range(3 * CALLS_PER_MEMBER):
        calls.uncount(HERE, ANA, calls.count(HERE, ANA))


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    time = Time()
    calls = MemberCalls(time)
    for _ in range(CALLS_PER_MEMBER):
        calls.count(HERE, ANA)
    time.now -= 86400
    calls.count(HERE, ANA)


@given(asked=st.lists(st.tuples(st.integers(0, 1), st.floats(0, 4), st.booleans()), min_size=30, max_size=90))
def test_no_minute_has_more_than_ten_of_anybody(asked: list[tuple[int, float, bool]]) -> None:
    time, made = Time(), list[tuple[int, float]]()
    calls = MemberCalls(time)
    for member, pause, is_made in asked:
        time.now += pause
        recent = [at for who, at in made if who == member and time.now - at < CALLS_PERIOD]
        if len(recent) == CALLS_PER_MEMBER:
            with pytest.raises(TooManyCalls) as refused:
                calls.count(HERE, member)
            assert refused.value.again_at == recent[0] + CALLS_PERIOD
        elif is_made:
            made.append((member, calls.count(HERE, member)))
        else:
            calls.uncount(HERE, member, calls.count(HERE, member))


def test_it_does_not_grow_with_those_who_asked_once() -> None:
    time = Time()
    calls = MemberCalls(time)
    for member in range(10_000):
        calls.count(HERE, member)
        time.now += 1
    assert len(calls._calls) <= CALLS_PERIOD + 1
