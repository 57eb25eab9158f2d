"""What moderators are told: changes that people make, and what the API says of the server's key."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from bot.domain.reload import Outcome
from bot.domain.rows import Event

EVENTS_AGE = 30 * 86400.0
EVENTS_KEPT = 10
TOLD_AGAIN_AGE = 3600.0
"""So long after one of a kind no other is told; it is kept all the same."""


class What(StrEnum):
    """A kind of event."""

    KEY_SET = "key_set"
    KEY_REPLACED = "key_replaced"
    KEY_REMOVED = "key_removed"
    SETTING = "setting"
    KEY_REFUSED = "key_refused"
    SPENT = "spent"
    WORKS = "works"


_TROUBLE = (What.KEY_REFUSED, What.SPENT)
_OF_KEY = (What.KEY_SET, What.KEY_REPLACED, What.KEY_REMOVED, *_TROUBLE, What.WORKS)
_OF_OUTCOME = {
    Outcome.WRONG_KEY: What.KEY_REFUSED,
    Outcome.NO_CREDITS: What.SPENT,
    Outcome.ACCEPTED: What.WORKS,
    Outcome.RENDERED: What.WORKS,
    Outcome.RENDERING: What.WORKS,
}


def said_by(outcome: Outcome) -> What | None:
    """What an answer of the API says of the key; None: nothing."""
    return _OF_OUTCOME.get(outcome)


def is_news(known: Iterable[Event], new: Event) -> bool:
    """Whether something has changed: trouble that is known, or no trouble before, is no news."""
    if new.by or new.what not in (*_TROUBLE, What.WORKS):
        return True
    last = max((event for event in known if event.what in _OF_KEY), key=lambda event: event.at, default=None)
    if new.what == What.WORKS:
        return last is not None and last.what in _TROUBLE
    return last is None or last.what != new.what


def is_told(known: Iterable[Event], new: Event) -> bool:
    """Whether one of its kind was told within the hour."""
    return any(known_.what == new.what and abs(new.at - known_.at) < TOLD_AGAIN_AGE for known_ in known)


def superfluous(events: Mapping[str, Event]) -> list[str]:
    """The names of those that are not kept: older than the newest ten, but for what stands with the key."""
    names = sorted(events, key=lambda name: events[name].at, reverse=True)
    of_key = next((name for name in names if events[name].what in _OF_KEY), None)
    return [name for name in names[EVENTS_KEPT:] if name != of_key]


def name_of(event: Event) -> str:
    """What an event is known by in its server."""
    return f"{round(event.at * 1000):015d}-{event.what}"
