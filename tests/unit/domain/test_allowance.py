"""How many test images a member may have made."""

from hypothesis import given
from hypothesis import strategies as st

from bot.domain.allowance import ALLOWANCE_AGE, check_allowance, made_by
from bot.domain.errors import NoTestsLeft
from bot.domain.rows import PaidCall

NOW = 1_800_000_000.0
ages = st.lists(st.floats(-ALLOWANCE_AGE / 2, 2 * ALLOWANCE_AGE), max_size=12)


def refused(calls: list[PaidCall], most: int | None, now: float = NOW) -> NoTestsLeft | None:
    try:
        check_allowance(calls, 7, now, most)
    except NoTestsLeft as error:
        return error
    return None


@given(ages=ages, most=st.sampled_from([1, 3, 10]))
def test_when_the_next_one_is_possible_it_is(ages: list[float], most: int) -> None:
    calls = [PaidCall(7, NOW - age) for age in ages]
    error = refused(calls, most)
    assert (error is None) is (sum(age < ALLOWANCE_AGE for age in ages) < most)
    if error is not None:
        assert error.free_at is not None
        assert error.free_at > NOW
        assert refused(calls, most, error.free_at + 1) is None


def test_none_at_all_any_number_and_others_calls() -> None:
    calls = [PaidCall(7, NOW)] * 50
    assert getattr(refused([], 0), "free_at", 1) is None, "never"
    assert refused(calls, None) is None
    assert refused([PaidCall(8, NOW)] * 50, 1) is None
    assert made_by([*calls, PaidCall(8, NOW), PaidCall(9, NOW - ALLOWANCE_AGE)], NOW) == [(7, 50), (8, 1)]
