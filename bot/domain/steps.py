"""The steps that are legal between a reload's states, and what each may write."""

from dataclasses import replace
from typing import TypedDict, Unpack

from bot.domain.askers import pings
from bot.domain.reload import OF_TESTS, Asker, Ending, ImageTest, Outcome, Reload, State

LEGAL: dict[State, frozenset[State]] = {
    # A step to the same state adds facts: the reply's message ID or a wait; the call at the other host; a
    # sent ping.
    State.ASKED: frozenset({State.ASKED, State.CALLING, State.ANNOUNCING, State.REMOVED}),
    State.CALLING: frozenset({State.ASKED, State.CALLING, State.COUNTING, State.ANNOUNCING}),
    State.COUNTING: frozenset({State.ANNOUNCING}),
    State.ANNOUNCING: frozenset({State.ANNOUNCING, State.ENDED}),
    State.ENDED: frozenset({State.ENDED}),  # its test image
    State.REMOVED: frozenset(),
}
_LOST = Outcome.INTERRUPTED


class Facts(TypedDict, total=False):
    """The facts that a step may write; the fields are those of Reload."""

    message: int | None
    not_before: float | None
    waits: int
    called_at: float | None
    deadline: float | None
    outcome: Outcome | None
    said: str
    again_at: float | None
    ended_at: float | None
    late: bool
    ref: str
    pinged: tuple[int, ...]
    test: ImageTest | None
    locale: str
    refused: int


class IllegalStep(ValueError):
    """A step that a reload's life doesn't have: a bug in the caller."""


def step(reload: Reload, to: State, **facts: Unpack[Facts]) -> Reload:
    """Take one step; a step to ANNOUNCING also fixes whom to ping where.

    Raises IllegalStep for a step that is not in LEGAL; for an ending without an outcome or time; for removing
    a reload that somebody joined, as they were promised an ending; and for a test image if none can be made.
    """
    if to not in LEGAL[reload.state]:
        raise IllegalStep(f"{reload.state} → {to}")
    if to is State.REMOVED and (len(reload.askers) > 1 or reload.test is not None):
        raise IllegalStep("somebody joined")
    if reload.state is State.ENDED:
        _check_test(reload, facts)
    after = replace(reload, state=to, **facts)
    if after.test is not None and after.test.outcome is Outcome.RENDERED:
        after = replace(after, confirmed_at=after.test.at)
    if to is State.ANNOUNCING:
        if after.outcome in (None, *OF_TESTS) or after.ended_at is None:
            raise IllegalStep("an ending needs an outcome and a time")
        if reload.state is not State.ANNOUNCING:
            after = replace(after, pings=pings(after))
            if after.ending is not Ending.READY:  # there is nothing to test
                after = replace(after, test=None)
    return after


def _check_test(reload: Reload, facts: Facts) -> None:
    """Check a step of a test image: it starts only on a Ready or Confirmed, one at a time.

    A reload that has ended takes no other steps. A test is known by its interaction's token, so the same one
    delivered again starts no second test.
    """
    new, known = facts.get("test"), reload.test
    if new is None or set(facts) - {"test", "message", "locale"}:
        raise IllegalStep("it has ended")
    if known is None or known.by.token != new.by.token:
        ready = reload.ending in (Ending.READY, Ending.CONFIRMED)
        if not ready or (known is not None and not known.shown):
            raise IllegalStep("no test image can be made now")
    elif known.shown or new == known or not _goes_on(known, new):
        raise IllegalStep("the test image has got further")


def _goes_on(known: ImageTest, new: ImageTest) -> bool:
    """Return whether a note takes nothing back."""
    same = (new.by, new.at, new.called or not known.called) == (known.by, known.at, True)
    kept = known.job in ("", new.job) and known.picture in ("", new.picture)
    return same and kept and known.outcome in (None, new.outcome)


def faded(reload: Reload) -> Reload:
    """Return what is kept of a reload a day after its end, announced or not: no token, channel or message."""
    people = tuple(Asker(asker.user, 0, "") for asker in reload.askers)
    test = reload.test
    if test is not None:
        by = Asker(test.by.user, 0, "")
        test = replace(test, by=by, job="", picture="", outcome=test.outcome or _LOST, shown=True)
    return replace(
        reload, state=State.ENDED, askers=people, message=None, pings=(), pinged=(), muted=(), test=test
    )
