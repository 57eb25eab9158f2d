"""Pure: the Reload record with its test image, its states, and what follows from them."""

import math
from dataclasses import dataclass, field
from enum import StrEnum

SPAM_FILTER_AGE = 30.0
"""Seconds within which the API refuses the same request again (its old pages, tip of "Rate limit exceeded").
"""
NAMED_WAITS = 2
"""How many times a 429 that names its wait is waited out."""
LATE_AGE = 10.0
FADE_AGE = 86400.0
"""Seconds after its end for which a reload keeps Discord's tokens, channel and message IDs, and is announced.
"""
MOST_REFUSED = 60
"""How many of Discord's refusals one reload may collect in that time before it makes no more calls."""
_A_DAY = 86400.0
WARM_AGE = 7 * _A_DAY
"""Seconds that a model stays on the inference server after its last use (the vendor's Reload Model page)."""


class State(StrEnum):
    """The state of a reload; see the drawing in docs/architecture.md."""

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
    """The outcome of the call: the API's answer, or why there is none."""

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
    """The API doesn't know the address that was called."""
    NO_PLACE = "no_place"
    """Too many calls were open for too long."""
    NOT_SENT = "not_sent"
    KEY_GONE = "key_gone"
    STORAGE = "storage"
    INTERRUPTED = "interrupted"
    RENDERED = "rendered"
    RENDERING = "rendering"
    """Not an end: the API is still rendering."""
    TOOK_TOO_LONG = "took_too_long"
    NOT_ALLOWED = "not_allowed"
    NO_TESTS_LEFT = "no_tests_left"
    """Moderators now allow fewer than when it was requested."""
    TOO_LATE = "too_late"
    NO_PICTURE = "no_picture"
    """The API says it is rendered, but the picture could not be fetched."""

    @property
    def ending(self) -> Ending:
        """How a reload with this outcome ends (an accepted one: after its deadline)."""
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
"""Outcomes that only a test image can have."""

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
    """A test image of a model that should be ready; `at`: when it was requested."""

    by: Asker
    at: float
    spoiler: bool
    job: str = ""
    """The API's number for a picture that it has not rendered yet."""
    called: bool = False
    """Whether the call that costs may have gone out."""
    picture: str = field(default="", repr=False)
    """The picture's address, as the API gives it; after a space, a second address of the same picture."""
    outcome: Outcome | None = None
    """None while it is being made."""
    said: str = ""
    """The API's own words, shortened and made harmless."""
    shown: bool = False
    """Whether its outcome has been shown, or can't be."""
    ahead: bool = False
    """Whether it was requested during the countdown: it starts at the end, and replaces that person's ping.
    """


@dataclass(frozen=True, slots=True)
class Ping:
    """One message that mentions at most 50 people in one channel; its position in the list is its number."""

    channel: int
    users: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reload:
    """One reload of one model in one server; all times in seconds since 1970, UTC.

    The first asker owns the reply, which is in their channel; the others have joined.
    """

    id: int
    server: int
    model: str
    askers: tuple[Asker, ...]
    asked_at: float
    seconds: float
    """Seconds that a reload takes, as the API promises."""
    state: State = State.ASKED
    message: int | None = None
    """The reply's message ID."""
    not_before: float | None = None
    waits: int = 0
    """How many named waits there were so far."""
    called_at: float | None = None
    """When the last POST went out."""
    deadline: float | None = None
    outcome: Outcome | None = None
    said: str = ""
    """The API's own words, shortened and made harmless."""
    again_at: float | None = None
    ended_at: float | None = None
    late: bool = False
    ref: str = ""
    """The reference of an error in the log."""
    pings: tuple[Ping, ...] = ()
    pinged: tuple[int, ...] = ()
    """The numbers of the pings that were sent."""
    muted: tuple[int, ...] = ()
    """Askers who do not want to be pinged."""
    test: ImageTest | None = None
    confirmed_at: float | None = None
    """When the last test image that was rendered had been requested."""
    locale: str = ""
    """The language of its messages, by Discord's name; empty: English."""
    refused: int = 0
    """How many calls Discord refused while the ending could not be shown."""

    @property
    def owner(self) -> Asker:
        """The person who asked first."""
        return self.askers[0]

    @property
    def editor(self) -> tuple[Asker, float]:
        """The asker whose token edits the reply, and since when it is good."""
        if self.test is not None and not self.test.ahead:  # its token answers in private
            return self.test.by, self.test.at
        return self.owner, self.asked_at

    @property
    def tested_ahead_by(self) -> Asker | None:
        """The person who asked during the countdown for a test image at its end."""
        return self.test.by if self.test is not None and self.test.ahead else None

    @property
    def is_testing(self) -> bool:
        """Whether a test image is being made."""
        return self.test is not None and self.test.outcome is None

    @property
    def is_open(self) -> bool:
        """Whether something is still to be shown: its ending, or its test image's."""
        return self.state in OPEN or (self.test is not None and not self.test.shown)

    @property
    def has_tokens(self) -> bool:
        """Whether it still has tokens that answer interactions."""
        people = self.askers if self.test is None else (*self.askers, self.test.by)
        return any(asker.token for asker in people)

    @property
    def last_at(self) -> float | None:
        """When it ended, or its test image was requested; None while it is open."""
        return max(self.ended_at, self.test.at) if self.ended_at and self.test else self.ended_at

    @property
    def used_at(self) -> float | None:
        """When the bot saw it, or one of its test images, use the model; None if it never did."""
        ready = self.ending in (Ending.READY, Ending.CONFIRMED)
        confirmed = self.test.at if self.test is not None and self.ending is Ending.CONFIRMED else None
        return (self.confirmed_at or confirmed or self.deadline) if ready else None

    @property
    def is_old_ready(self) -> bool:
        """Whether its test image was requested long after the model's last known use, to keep it warm."""
        if self.ending is not Ending.READY or self.used_at is None or self.test is None:
            return False
        return self.test.at - self.used_at > _A_DAY

    @property
    def ending(self) -> Ending | None:
        """How it ended; None until it has."""
        if self.outcome is None or self.state not in (State.ANNOUNCING, State.ENDED):
            return None
        if self.test is not None and self.test.outcome is Outcome.RENDERED:
            return Ending.CONFIRMED
        return self.outcome.ending

    @property
    def due(self) -> float | None:
        """When its ending was to be shown; None until it has one."""
        return self.deadline if self.outcome is Outcome.ACCEPTED else self.ended_at

    @property
    def turn_at(self) -> float:
        """The time by which the most overdue comes first: its deadline, else when it was requested."""
        return self.deadline or self.asked_at

    def left(self, now: float) -> float | None:
        """Seconds until it should be ready; None if nothing is promised yet.

        Never more than a reload takes: the clock may have been set back since the deadline was set.
        """
        return None if self.deadline is None else min(self.seconds, time_left(self.deadline, now))

    def is_late(self, now: float) -> bool:
        """Return whether an ending shown at `now` must say that it is late."""
        due = self.due or self.deadline
        return self.late or (due is not None and now - due > LATE_AGE)


def time_left(until: float, now: float) -> float:
    """Return the seconds from `now` to `until`, finite and never negative."""
    left = until - now
    return max(0.0, left) if math.isfinite(left) else 0.0
