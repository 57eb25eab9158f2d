"""The Reload record: legal steps, who is pinged, limits."""

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bot.domain.askers import OPEN_PER_MEMBER, OPEN_PER_SERVER, check_limits, join, mute, ping_nonce
from bot.domain.errors import TooManyOpen
from bot.domain.reload import OF_TESTS, Asker, Ending, ImageTest, Outcome, Ping, Reload, State, time_left
from bot.domain.steps import LEGAL, IllegalStep, faded, step

OF_RELOADS = [outcome for outcome in Outcome if outcome not in OF_TESTS]
ANA, BEN, CLEO = 1, 2, 3
HERE, THERE = 70, 71
OWNER = Asker(ANA, HERE, "token-ana")
ASKED = Reload(id=10, server=5, model="sdxl-turbo", askers=(OWNER,), asked_at=1000.0, seconds=120.0)

# --- Steps --------------------------------------------------------------------------------------------

A, C, N, T, E, R = (
    State.ASKED,
    State.CALLING,
    State.COUNTING,
    State.ANNOUNCING,
    State.ENDED,
    State.REMOVED,
)
DRAWN = {(A, A), (A, C), (A, T), (A, R), (C, A), (C, C), (C, N), (C, T), (N, T), (T, T), (T, E)}
"""The drawing in docs/architecture.md, arrow by arrow; an ended reload has steps of its own."""


@pytest.mark.parametrize(("from_", "to"), [*itertools.product(State, State)])
def test_only_the_steps_that_are_drawn_are_legal(from_: State, to: State) -> None:
    before = replace(ASKED, state=from_)
    if (from_, to) in DRAWN:
        assert step(before, to, outcome=Outcome.ACCEPTED, ended_at=1130.0).state is to
    else:
        with pytest.raises(IllegalStep):
            step(before, to, outcome=Outcome.ACCEPTED, ended_at=1130.0)


def test_every_state_has_its_steps() -> None:
    assert set(LEGAL) == set(State)


@pytest.mark.parametrize("facts", [{}, {"outcome": Outcome.ACCEPTED}, {"ended_at": 1130.0}])
def test_an_ending_needs_an_outcome_and_a_time(facts: dict[str, object]) -> None:
    with pytest.raises(IllegalStep, match="outcome and a time"):
        step(ASKED, State.ANNOUNCING, **facts)  # type: ignore[arg-type]


def test_a_reload_that_somebody_joined_cannot_be_removed() -> None:
    with pytest.raises(IllegalStep, match="joined"):
        step(join(ASKED, Asker(BEN, HERE, "token-ben")), State.REMOVED)


def test_a_step_keeps_what_was_known() -> None:
    calling = step(ASKED, State.CALLING, message=99, called_at=1001.0)
    counting = step(calling, State.COUNTING, deadline=1125.0)
    assert (counting.message, counting.called_at, counting.deadline) == (99, 1001.0, 1125.0)
    assert ASKED.message is None


@pytest.mark.parametrize("outcome", OF_RELOADS)
def test_how_it_ended_shows_only_once_it_has(outcome: Outcome) -> None:
    for state in (State.ASKED, State.CALLING, State.COUNTING):
        assert replace(ASKED, state=state, outcome=outcome).ending is None
    for state in (State.ANNOUNCING, State.ENDED):
        assert replace(ASKED, state=state, outcome=outcome).ending is outcome.ending


def test_only_an_acceptance_is_ready_and_only_doubt_is_unknown() -> None:
    unknown = {Outcome.NO_USABLE_ANSWER, Outcome.INTERRUPTED}
    for outcome in OF_RELOADS:
        expected = Ending.UNKNOWN if outcome in unknown else Ending.FAILED
        assert outcome.ending is (Ending.READY if outcome is Outcome.ACCEPTED else expected)


class LifeMachine(RuleBasedStateMachine):
    """Anything may be tried in any order, at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.reload = ASKED
        self.now = 1000.0
        self.posts = self.steps_back = self.endings = 0
        self.over = False

    @rule(to=st.sampled_from(State), outcome=st.sampled_from(OF_RELOADS), seconds=st.floats(0, 200))
    def try_a_step(self, to: State, outcome: Outcome, seconds: float) -> None:
        before, self.now = self.reload, self.now + seconds
        try:
            self.reload = step(before, to, outcome=outcome, ended_at=self.now)
        except IllegalStep:
            assert self.reload is before
            return
        assert not self.over, "what has ended stays ended"
        self.posts += to is State.CALLING
        # Back to asked by a named wait; from calling to calling by a refused key, which had no effect.
        self.steps_back += before.state is State.CALLING and to in (State.ASKED, State.CALLING)
        self.endings += to is State.ANNOUNCING and before.state is not State.ANNOUNCING
        self.over = to in (State.ENDED, State.REMOVED)

    @rule(user=st.integers(1, 5), channel=st.integers(70, 72))
    def somebody_joins(self, user: int, channel: int) -> None:
        self.reload = join(self.reload, Asker(user, channel, f"token-{user}-{channel}"))

    @invariant()
    def at_most_one_call_could_have_had_an_effect(self) -> None:
        assert self.posts <= 1 + self.steps_back

    @invariant()
    def it_ends_at_most_once(self) -> None:
        assert self.endings <= 1

    @invariant()
    def the_owner_stays_first(self) -> None:
        assert self.reload.owner == OWNER


TestAnyOrderOfEvents = LifeMachine.TestCase


# --- Who is pinged, where -----------------------------------------------------------------------------


def ended(reload: Reload, outcome: Outcome = Outcome.ACCEPTED, after: float = 130.0) -> Reload:
    return step(reload, State.ANNOUNCING, outcome=outcome, ended_at=reload.asked_at + after)


def crowd(*people: tuple[int, int]) -> Reload:
    reload = ASKED
    for user, channel in people:
        reload = join(reload, Asker(user, channel, f"token-{user}-{channel}"))
    return reload


def test_the_asker_is_pinged_where_they_asked() -> None:
    assert ended(ASKED).pings == (Ping(HERE, (ANA,)),)


def test_each_channel_gets_one_ping_for_all_its_people() -> None:
    reload = ended(crowd((BEN, THERE), (CLEO, HERE), (ANA, THERE)))
    assert reload.pings == (Ping(HERE, (ANA, CLEO)), Ping(THERE, (BEN, ANA)))


@pytest.mark.parametrize(("people", "sizes"), [(49, [50]), (50, [50, 1]), (99, [50, 50]), (100, [50, 50, 1])])
def test_a_ping_mentions_50_people_at_most(people: int, sizes: list[int]) -> None:
    reload = ended(crowd(*((user, HERE) for user in range(100, 100 + people))))
    assert [len(ping.users) for ping in reload.pings] == sizes


@pytest.mark.parametrize("outcome", [Outcome.WRONG_KEY, Outcome.NO_USABLE_ANSWER])
def test_who_still_looks_at_the_reply_is_not_pinged_for_a_failure(outcome: Outcome) -> None:
    assert ended(ASKED, outcome, after=15.0).pings == ()
    assert ended(ASKED, outcome, after=15.1).pings == (Ping(HERE, (ANA,)),)


def test_a_ready_always_pings() -> None:
    assert ended(ASKED, after=1.0).pings == (Ping(HERE, (ANA,)),)


def test_joiners_are_pinged_even_for_an_early_failure() -> None:
    reload = ended(crowd((BEN, HERE), (CLEO, THERE)), Outcome.REFUSED, after=5.0)
    assert reload.pings == (Ping(HERE, (BEN,)), Ping(THERE, (CLEO,)))


def test_who_is_pinged_is_fixed_when_the_ending_comes() -> None:
    told = step(ended(ASKED), State.ANNOUNCING, pinged=(0,))
    assert told.pings == (Ping(HERE, (ANA,)),)
    assert told.pinged == (0,)


@given(st.lists(st.tuples(st.integers(1, 200), st.integers(70, 75)), max_size=300))
def test_everybody_is_pinged_once_in_each_channel_they_asked_in(people: list[tuple[int, int]]) -> None:
    pings = ended(crowd(*people)).pings
    reached = [(user, ping.channel) for ping in pings for user in ping.users]
    assert sorted(reached) == sorted({(ANA, HERE), *people})
    assert all(len(ping.users) <= 50 for ping in pings)


def test_the_number_of_a_ping_fits_into_a_nonce() -> None:
    """Discord takes 25 characters; the id has 20 digits at most."""
    askers = tuple(Asker(user, user % 9, "token") for user in range(2001))
    reload = ended(replace(ASKED, askers=askers, id=2**64 - 1))
    numbers = range(2 * len(reload.pings) + 1)  # some are pinged late
    assert max(len(ping_nonce(reload, number)) for number in numbers) <= 25


# --- Joining, limits, time ----------------------------------------------------------------------------


def test_the_same_person_in_the_same_channel_joins_once() -> None:
    once = join(ASKED, Asker(BEN, HERE, "first"))
    assert join(once, Asker(BEN, HERE, "second")) == once
    assert join(ASKED, Asker(ANA, HERE, "again")) == ASKED


def test_the_same_person_elsewhere_joins_as_well() -> None:
    assert len(join(ASKED, Asker(ANA, THERE, "again")).askers) == 2


def by(user: int, number: int, deadline: float | None = None) -> Reload:
    return replace(ASKED, id=number, model=f"m{number}", askers=(Asker(user, HERE, "t"),), deadline=deadline)


def test_a_member_may_have_five_open() -> None:
    running = [by(ANA, number) for number in range(OPEN_PER_MEMBER - 1)]
    check_limits(by(ANA, 99), running)
    with pytest.raises(TooManyOpen) as caught:
        check_limits(by(ANA, 99), [*running, by(ANA, 50)])
    assert (caught.value.whose, caught.value.limit) == ("member", 5)


def test_somebody_elses_five_do_not_count() -> None:
    check_limits(by(BEN, 99), [by(ANA, number) for number in range(OPEN_PER_MEMBER)])


def test_a_server_may_have_twenty_open() -> None:
    running = [by(100 + number, number) for number in range(OPEN_PER_SERVER - 1)]
    check_limits(by(ANA, 99), running)
    with pytest.raises(TooManyOpen) as caught:
        check_limits(by(ANA, 99), [*running, by(BEN, 50)])
    assert (caught.value.whose, caught.value.limit) == ("server", 20)


def test_who_only_joined_has_their_five_left() -> None:
    joined = [join(by(BEN, number), Asker(ANA, HERE, "t")) for number in range(OPEN_PER_MEMBER)]
    check_limits(by(ANA, 99), joined)


def test_the_refusal_knows_when_a_place_frees() -> None:
    running = [by(ANA, n, deadline) for n, deadline in enumerate([None, 1100.0, 1090.0, None, 1110.0])]
    with pytest.raises(TooManyOpen) as caught:
        check_limits(by(ANA, 99), running)
    assert caught.value.free_at == 1090.0
    with pytest.raises(TooManyOpen) as caught:
        check_limits(by(ANA, 99), [by(ANA, n) for n in range(OPEN_PER_MEMBER)])
    assert caught.value.free_at is None


def test_with_the_clock_set_back_a_place_frees_no_later_than_a_reload_takes() -> None:
    running = [by(ANA, n, 1300.0 + 5 * 3600) for n in range(OPEN_PER_MEMBER)]
    with pytest.raises(TooManyOpen) as caught:
        check_limits(by(ANA, 99), running)
    assert caught.value.free_at == ASKED.asked_at + ASKED.seconds


@pytest.mark.parametrize(("now", "late"), [(1120.0, False), (1130.0, False), (1130.5, True)])
def test_an_ending_over_ten_seconds_after_its_time_is_late(now: float, late: bool) -> None:
    assert replace(ASKED, deadline=1120.0).is_late(now) is late
    assert replace(ASKED, deadline=1120.0, late=True).is_late(now)
    assert not ASKED.is_late(now)


moments = st.floats(-1e12, 1e12)


@given(until=moments, now=moments, later=st.floats(0, 1e12))
def test_the_time_left_only_shrinks_and_ends_at_zero(until: float, now: float, later: float) -> None:
    left = time_left(until, now)
    assert math.isfinite(left)
    assert 0 <= time_left(until, now + later) <= left


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_an_odd_time_leaves_no_time(odd: float) -> None:
    assert time_left(odd, 0.0) == 0.0
    assert time_left(0.0, odd) == 0.0


def test_a_token_does_not_show() -> None:
    assert "token-ana" not in repr(ASKED)


# --- Who does not want to be pinged -------------------------------------------------------------------


def ends(reload: Reload, outcome: Outcome = Outcome.ACCEPTED, at: float = 1130.0) -> Reload:
    calling = step(reload, State.CALLING, message=99, called_at=1001.0)
    return step(calling, State.ANNOUNCING, outcome=outcome, ended_at=at, deadline=1121.0)


def test_who_is_muted_is_pinged_nowhere() -> None:
    reload = join(join(ASKED, Asker(ANA, THERE, "token-2")), Asker(BEN, THERE, "token-ben"))
    assert ends(mute(reload, ANA)).pings == (Ping(THERE, (BEN,)),)
    assert ends(mute(mute(reload, ANA), BEN)).pings == ()


def test_muting_twice_is_muting_once() -> None:
    assert mute(mute(ASKED, ANA), ANA) == mute(ASKED, ANA)


def test_who_asks_again_is_muted_no_more() -> None:
    assert join(mute(ASKED, ANA), OWNER) == ASKED
    assert join(mute(ASKED, BEN), OWNER).muted == (BEN,)


# --- The test image -----------------------------------------------------------------------------------

READY = step(ends(ASKED), State.ENDED)
BEGUN = ImageTest(Asker(BEN, HERE, "token-ben"), at=5000.0, spoiler=True)


def test_a_ready_may_be_tested() -> None:
    begun = step(READY, State.ENDED, test=BEGUN, message=99)
    assert begun.is_testing
    assert begun.ending is Ending.READY
    assert begun.editor == (BEGUN.by, BEGUN.at)
    done = step(begun, State.ENDED, test=replace(BEGUN, outcome=Outcome.RENDERED))
    assert (done.ending, done.is_testing) == (Ending.CONFIRMED, False)


@pytest.mark.parametrize("outcome", [o for o in OF_RELOADS if o is not Outcome.ACCEPTED])
def test_nothing_else_may_be_tested(outcome: Outcome) -> None:
    with pytest.raises(IllegalStep):
        step(step(ends(ASKED, outcome), State.ENDED), State.ENDED, test=BEGUN)


@pytest.mark.parametrize("state", [s for s in State if s is not State.ENDED])
def test_nothing_is_tested_before_it_has_ended(state: State) -> None:
    with pytest.raises(IllegalStep):
        step(replace(READY, state=state), State.ENDED if state is not State.ANNOUNCING else State.COUNTING)


def test_there_is_one_test_at_a_time() -> None:
    begun = step(READY, State.ENDED, test=BEGUN)
    with pytest.raises(IllegalStep):
        step(begun, State.ENDED, test=replace(BEGUN, by=Asker(ANA, HERE, "another token")))


def test_a_test_that_is_not_shown_yet_is_not_over() -> None:
    failed = step(
        step(READY, State.ENDED, test=BEGUN), State.ENDED, test=replace(BEGUN, outcome=Outcome.REFUSED)
    )
    assert (failed.is_testing, failed.is_open) == (False, True)
    with pytest.raises(IllegalStep):
        step(failed, State.ENDED, test=replace(BEGUN, by=Asker(ANA, HERE, "another token")))


def test_what_failed_and_was_shown_may_be_tried_again() -> None:
    failed = replace(READY, test=replace(BEGUN, outcome=Outcome.REFUSED, shown=True))
    assert not failed.is_open
    again = step(failed, State.ENDED, test=replace(BEGUN, by=Asker(ANA, HERE, "another token")))
    assert again.is_testing


ON_THE_WAY = (
    BEGUN,
    replace(BEGUN, called=True),
    replace(BEGUN, called=True, job="7"),
    replace(BEGUN, called=True, job="7", picture="https://x.example"),
    replace(BEGUN, called=True, outcome=Outcome.REFUSED),
    replace(BEGUN, called=True, outcome=Outcome.REFUSED, shown=True),
)


@pytest.mark.parametrize("known", ON_THE_WAY)
@pytest.mark.parametrize("at", [BEGUN.at, BEGUN.at + 1])
def test_the_same_form_delivered_twice_begins_no_second_test(known: ImageTest, at: float) -> None:
    with pytest.raises(IllegalStep):
        step(replace(READY, test=known), State.ENDED, test=replace(BEGUN, at=at))


def test_a_test_only_goes_on() -> None:
    for before, after in itertools.pairwise(ON_THE_WAY[:4]):
        assert step(replace(READY, test=before), State.ENDED, test=after).test == after
        with pytest.raises(IllegalStep):
            step(replace(READY, test=after), State.ENDED, test=before)
    with pytest.raises(IllegalStep):
        step(replace(READY, test=ON_THE_WAY[5]), State.ENDED, test=ON_THE_WAY[1])


@pytest.mark.parametrize("facts", [{}, {"outcome": Outcome.REFUSED}, {"test": BEGUN, "deadline": 1.0}])
def test_what_has_ended_changes_by_its_test_only(facts: dict[str, object]) -> None:
    with pytest.raises(IllegalStep):
        step(READY, State.ENDED, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize("outcome", OF_TESTS)
def test_what_a_test_comes_to_ends_no_reload(outcome: Outcome) -> None:
    with pytest.raises(IllegalStep, match="outcome and a time"):
        step(ASKED, State.ANNOUNCING, outcome=outcome, ended_at=1130.0)


def test_when_a_model_was_last_used() -> None:
    assert ends(ASKED, Outcome.REFUSED).used_at is None
    assert READY.used_at == 1121.0, "as promised, however late it was announced"
    begun = step(READY, State.ENDED, test=BEGUN)
    assert begun.used_at == 1121.0, "a test that failed is no use"
    confirmed = step(begun, State.ENDED, test=replace(BEGUN, outcome=Outcome.RENDERED, shown=True))
    assert confirmed.used_at == 5000.0
    again = ImageTest(Asker(ANA, HERE, "another token"), at=9000.0, spoiler=True)
    kept = step(confirmed, State.ENDED, test=again)
    assert kept.used_at == 5000.0, "what a later one comes to takes nothing back"


def test_a_day_later_only_who_and_what_came_of_it_is_left() -> None:
    begun = step(READY, State.ENDED, test=replace(BEGUN, job="7", picture="https://x.example"))
    left = faded(mute(begun, BEN))
    assert not left.has_tokens
    assert left.test == ImageTest(
        Asker(BEN, 0, ""), 5000.0, spoiler=True, outcome=Outcome.INTERRUPTED, shown=True
    )
    assert (left.message, left.muted, left.owner) == (None, (), Asker(ANA, 0, ""))


def test_a_test_counts_as_an_end() -> None:
    assert READY.last_at == 1130.0
    assert step(READY, State.ENDED, test=BEGUN).last_at == 5000.0
