"""Pure: the Reload record with its test image, its states, and the steps that are legal between them."""

import math
from dataclasses import dataclass, field
from enum import StrEnum

SPAM_FILTER_AGE = 30.0
"""The API refuses the same request again within 30 s (its old pages, tip of "Rate limit exceeded")."""
NAMED_WAITS = 2
"""How often a 429 that names its wait is waited out."""
LATE_AGE = 10.0
FADE_AGE = 86400.0
"""So long after its end a reload keeps Discord's tokens, channel and message ids, and is told."""
MOST_REFUSED = 60
"""Calls to Discord that may be refused for one reload, in that time, before no more are made."""
_A_DAY = 86400.0
WARM_AGE = 7 * _A_DAY
"""So long after its last use a model stays on the inference server (the vendor's Reload Model page)."""


class State(StrEnum):
    """Where a reload stands; see the drawing in docs/architecture.md."""

    ASKED = "asked"
    CALLING = "calling"
    COUNTING = "counting"
    ANNOUNCING = "announcing"
    ENDED = "ended"
    REMOVED = "removed"


class Ending(StrEnum):
    """How a reload ended, as people see it."""

    READY = "ready"
    CONFIRMED = "confirmed"
    """Ready, and a test image was rendered."""
    FAILED = "failed"
    UNKNOWN = "unknown"


class Outcome(StrEnum):
    """What came of the call: the API's answer, or why there is none."""

    ACCEPTED = "accepted"
    WRONG_KEY = "wrong_key"
    UNKNOWN_MODEL = "unknown_model"
    NO_CREDITS = "no_credits"
    PLAN_TOO_SMALL = "plan_too_small"
    SLOW_DOWN = "slow_down"
    REFUSED = "refused"
    VENDOR_TROUBLE = "vendor_trouble"
    NO_USABLE_ANSWER = "no_usable_answer"
    NO_CONNECTION = "no_connection"
    ADDRESS_GONE = "address_gone"
    """The API does not know the address that was called."""
    NO_PLACE = "no_place"
    """Too many calls were out for too long."""
    NOT_SENT = "not_sent"
    KEY_GONE = "key_gone"
    STORAGE = "storage"
    INTERRUPTED = "interrupted"
    RENDERED = "rendered"
    RENDERING = "rendering"
    """Not an end: the API is at it."""
    TOOK_TOO_LONG = "took_too_long"
    NOT_ALLOWED = "not_allowed"
    NO_TESTS_LEFT = "no_tests_left"
    """Moderators allow fewer by now than when it was asked for."""
    TOO_LATE = "too_late"
    NO_PICTURE = "no_picture"
    """Rendered, as the API says, but the picture could not be had."""

    @property
    def ending(self) -> Ending:
        """How a reload with this outcome ends (an accepted one after its deadline)."""
        if self is Outcome.ACCEPTED:
            return Ending.READY
        unclear = (Outcome.NO_USABLE_ANSWER, Outcome.INTERRUPTED)
        return Ending.UNKNOWN if self in unclear else Ending.FAILED


OF_TESTS = (
    Outcome.RENDERED,
    Outcome.RENDERING,
    Outcome.TOOK_TOO_LONG,
    Outcome.NO_PICTURE,
    Outcome.NOT_ALLOWED,
    Outcome.NO_TESTS_LEFT,
    Outcome.TOO_LATE,
)
"""What only a test image can come to."""

OPEN = (State.ASKED, State.CALLING, State.COUNTING, State.ANNOUNCING)
JOINABLE = (State.ASKED, State.CALLING, State.COUNTING)


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody who asked for a reload; `token` answers their interaction for 15 minutes."""

    user: int
    channel: int
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ImageTest:
    """A test image of a model that should be ready; `at`: when it was asked for."""

    by: Asker
    at: float
    spoiler: bool
    job: str = ""
    """The API's number of a picture that it has not rendered yet."""
    called: bool = False
    """The call that costs may have gone out."""
    picture: str = field(default="", repr=False)
    """The picture's address, as the API gives it; after a space a second one of the same picture."""
    outcome: Outcome | None = None
    """None while it is made."""
    said: str = ""
    """The API's own words, shortened and harmless."""
    shown: bool = False
    """What came of it has been shown, or cannot be."""
    ahead: bool = False
    """Asked for during the countdown: it is begun at the end, and is what that person is told then."""


@dataclass(frozen=True, slots=True)
class Ping:
    """One message that mentions at most 50 people of one channel; its place in the list is its number."""

    channel: int
    users: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reload:
    """One reload of one model in one server; all times in seconds since 1970, UTC.

    The first asker owns the reply, which stands in their channel; the others joined.
    """

    id: int
    server: int
    model: str
    askers: tuple[Asker, ...]
    asked_at: float
    seconds: float
    """How long the API promises that a reload takes."""
    state: State = State.ASKED
    message: int | None = None
    """The reply's message id."""
    not_before: float | None = None
    waits: int = 0
    """Named waits so far."""
    called_at: float | None = None
    """When the last POST went out."""
    deadline: float | None = None
    outcome: Outcome | None = None
    said: str = ""
    """The API's own words, shortened and harmless."""
    again_at: float | None = None
    ended_at: float | None = None
    late: bool = False
    ref: str = ""
    """The reference of an error in the log."""
    pings: tuple[Ping, ...] = ()
    pinged: tuple[int, ...] = ()
    """Numbers of the pings that were sent."""
    muted: tuple[int, ...] = ()
    """Who asked, and does not want to be pinged."""
    test: ImageTest | None = None
    confirmed_at: float | None = None
    """When a test image was last asked for that was rendered."""
    locale: str = ""
    """The language of its messages, as Discord names it; empty: English."""
    refused: int = 0
    """Calls to Discord that were refused, where its ending could not be shown."""

    @property
    def owner(self) -> Asker:
        """Who asked first."""
        return self.askers[0]

    @property
    def editor(self) -> tuple[Asker, float]:
        """Whose token edits the reply, and since when it is good."""
        if self.test is not None and not self.test.ahead:  # its token answers in private
            return self.test.by, self.test.at
        return self.owner, self.asked_at

    @property
    def tested_ahead_by(self) -> Asker | None:
        """Who asked during the countdown for a test image at its end."""
        return self.test.by if self.test is not None and self.test.ahead else None

    @property
    def is_testing(self) -> bool:
        """Whether a test image is being made."""
        return self.test is not None and self.test.outcome is None

    @property
    def is_open(self) -> bool:
        """Whether somebody has yet to be shown something of it: its ending, or that of its test image."""
        return self.state in OPEN or (self.test is not None and not self.test.shown)

    @property
    def has_tokens(self) -> bool:
        """Whether it keeps what answers an interaction."""
        people = self.askers if self.test is None else (*self.askers, self.test.by)
        return any(asker.token for asker in people)

    @property
    def last_at(self) -> float | None:
        """When it ended, or its test image was asked for; None while it is open."""
        return max(self.ended_at, self.test.at) if self.ended_at and self.test else self.ended_at

    @property
    def used_at(self) -> float | None:
        """When the bot saw the model used by this reload, or by its test images; None where it did not."""
        ready = self.ending in (Ending.READY, Ending.CONFIRMED)
        confirmed = self.test.at if self.test is not None and self.ending is Ending.CONFIRMED else None
        return (self.confirmed_at or confirmed or self.deadline) if ready else None

    @property
    def is_old_ready(self) -> bool:
        """Whether its test image was asked for long after the model was last seen used: to keep it warm."""
        if self.ending is not Ending.READY or self.used_at is None or self.test is None:
            return False
        return self.test.at - self.used_at > _A_DAY

    @property
    def ending(self) -> Ending | None:
        """How it ended, or None while it has not."""
        if self.outcome is None or self.state not in (State.ANNOUNCING, State.ENDED):
            return None
        if self.test is not None and self.test.outcome is Outcome.RENDERED:
            return Ending.CONFIRMED
        return self.outcome.ending

    @property
    def due(self) -> float | None:
        """When its ending was to be shown; None while it has none."""
        return self.deadline if self.outcome is Outcome.ACCEPTED else self.ended_at

    @property
    def turn_at(self) -> float:
        """By this the most overdue comes first: its deadline, or else when it was asked for."""
        return self.deadline or self.asked_at

    def left(self, now: float) -> float | None:
        """Seconds until it should be ready, or None where none is promised yet.

        Never more than it takes: the clock may have been set back since the deadline was fixed.
        """
        return None if self.deadline is None else min(self.seconds, time_left(self.deadline, now))

    def is_late(self, now: float) -> bool:
        """Tell whether an ending shown at `now` must say that it comes late."""
        due = self.due or self.deadline
        return self.late or (due is not None and now - due > LATE_AGE)


def time_left(until: float, now: float) -> float:
    """Seconds from `now` to `until`: finite and never negative."""
    left = until - now
    return max(0.0, left) if math.isfinite(left) else 0.0
