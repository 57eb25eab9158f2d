"""The events that moderators hear about: people's changes, and what the API says about the server's key."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from bot.domain.reload import Outcome
from bot.domain.rows import Event

EVENTS_AGE = 30 * 86400.0
EVENTS_KEPT = 10
TOLD_AGAIN_AGE = 3600.0
"""Seconds after an event in which no other of its kind is announced; what still holds then is."""


class What(StrEnum):
    """A kind of event."""

    KEY_SET = "key_set"
    KEY_REPLACED = "key_replaced"
    KEY_REMOVED = "key_removed"
    SETTING = "setting"
    KEY_REFUSED = "key_refused"
    SPENT = "spent"
    WORKS = "works"


OF_IMAGE = "image"
"""The detail of what the API says about a test image: it may cost what a reload doesn't."""
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
    """Return what an answer of the API says about the key; None if nothing."""
    return _OF_OUTCOME.get(outcome)


def is_news(known: Iterable[Event], new: Event) -> bool:
    """Return whether to keep it: something has changed, or moderators have not heard of it yet."""
    known = list(known)
    return _is_change(known, new) or is_due(known, new)


def is_due(known: Iterable[Event], new: Event) -> bool:
    """Return whether to announce it now: at most one of a kind per hour."""
    heard = [event for event in known if event.told]
    lately = any(event.what == new.what and abs(new.at - event.at) < TOLD_AGAIN_AGE for event in heard)
    return not lately and _is_change(heard, new)


def _is_change(known: Iterable[Event], new: Event) -> bool:
    """Return whether it changes anything: known trouble doesn't, nor does "no trouble" after none.

    A reload that is accepted says nothing about credits that a test image lacked.
    """
    if new.what not in (*_TROUBLE, What.WORKS):
        return True
    last = max((event for event in known if event.what in _OF_KEY), key=lambda event: event.at, default=None)
    if new.what == What.WORKS:
        is_spent_on_images = last is not None and (last.what, last.detail) == (What.SPENT, OF_IMAGE)
        return last is not None and last.what in _TROUBLE and (not is_spent_on_images or bool(new.detail))
    return last is None or last.what != new.what


def superfluous(events: Mapping[str, Event]) -> list[str]:
    """Return the names of events to drop: not among the newest ten, and not needed to judge the next one."""
    names = sorted(events, key=lambda name: events[name].at)
    needed = set(names[-EVENTS_KEPT:])
    needed.update({events[name].what: name for name in names if events[name].told}.values())
    needed.update([name for name in names if events[name].what in _OF_KEY][-1:])
    return [name for name in names if name not in needed]


def name_of(event: Event) -> str:
    """Return the name of an event in its server."""
    return f"{round(event.at * 1000):015d}-{event.what}"
