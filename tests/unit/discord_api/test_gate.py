"""The gate: shut while everybody is refused; then one call tries, and the rest wait for its answer."""

from hypothesis import given
from hypothesis import strategies as st

from bot.discord_api.limiter import LONGEST_SHUT, TRIAL_TIMEOUT, Gate, Limiter

NOW = 1000.0


def shut(named: float | None = None) -> Gate:
    gate = Gate()
    gate.shut(NOW, named)
    return gate


def test_nobody_is_stopped_before_anybody_is_refused() -> None:
    gate = Gate()
    assert gate.wait(NOW) == 0
    assert not gate.enter(NOW)
    assert gate.wait(NOW) == 0


def test_pauses_grow_while_whoever_tries_is_refused() -> None:
    gate, now, pauses = Gate(), NOW, []
    for _ in range(9):
        pauses.append(gate.shut(now))
        assert gate.wait(now) == pauses[-1]
        now += pauses[-1]
        assert gate.wait(now) == 0
        assert gate.enter(now)
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_the_refusals_of_one_burst_count_once() -> None:
    gate = shut()
    assert [gate.shut(NOW + 1) for _ in range(500)] == [4] * 500
    assert gate.wait(NOW + 5) == 0
    gate.enter(NOW + 5)
    assert gate.shut(NOW + 5.1) == 10


def test_one_tries_and_the_rest_wait_for_its_answer() -> None:
    gate = shut()
    assert gate.enter(NOW + 5)
    assert gate.wait(NOW + 5.5) == TRIAL_TIMEOUT - 0.5
    gate.open()
    assert gate.wait(NOW + 5.5) == 0


def test_one_that_tries_and_is_not_heard_of_again_is_not_waited_for() -> None:
    gate = shut()
    gate.enter(NOW + 5)
    assert gate.wait(NOW + 5 + TRIAL_TIMEOUT) == 0
    assert gate.enter(NOW + 5 + TRIAL_TIMEOUT)


def test_a_named_time_is_waited_for_and_no_longer() -> None:
    gate = shut(10.0)
    assert gate.wait(NOW) == 10
    gate.shut(NOW + 2, 10.0)
    assert gate.wait(NOW + 2) == 10, "the last one counts"
    gate.enter(NOW + 12)
    assert gate.shut(NOW + 12, 0.5) == 0.5


def test_open_again_it_begins_with_short_pauses() -> None:
    gate = shut()
    gate.open()
    assert gate.shut(NOW + 100) == 5


def test_calls_by_token_go_on_where_only_the_bots_own_are_stopped() -> None:
    limiter = Limiter()
    limiter.own.shut(NOW, 10.0)
    waits = {by: max(g.wait(NOW) for g in limiter.gates(by_token=by)) for by in (True, False)}
    assert waits == {True: 0, False: 10}


@given(calls=st.lists(st.floats(0, 0.5), max_size=2000))
def test_whenever_people_call_few_are_refused(calls: list[float]) -> None:
    gate, now, refused = Gate(), NOW, []
    for pause in calls:
        now += pause
        if gate.wait(now) == 0:
            gate.enter(now)
            gate.shut(now)
            refused.append(now)
    for begin in refused:
        assert sum(begin <= at < begin + 60 for at in refused) <= 4


@given(names=st.lists(st.none() | st.floats(0, 1e6), min_size=1, max_size=2000))
def test_it_does_not_stay_shut(names: list[float | None]) -> None:
    gate, now = Gate(), NOW
    for named in names:
        now += gate.shut(now, named)
        assert gate.wait(now) < 1e-6
    assert gate.shut(now) <= LONGEST_SHUT


def test_a_bucket_that_is_used_up_is_known_until_it_is_fresh() -> None:
    limiter = Limiter()
    limiter.exhaust("PATCH /one", NOW + 8)
    assert limiter.exhausted_for("PATCH /one", NOW + 3) == 5
    assert limiter.exhausted_for("PATCH /another", NOW) == 0
    assert limiter.exhausted_for("PATCH /one", NOW + 8) == 0


def test_buckets_that_are_fresh_take_no_memory() -> None:
    limiter = Limiter()
    for number in range(20_000):
        limiter.exhaust(f"PATCH /{number}", NOW + number + 5)
        limiter.exhausted_for("PATCH /0", NOW + number)
    assert len(limiter._exhausted) < 2000
