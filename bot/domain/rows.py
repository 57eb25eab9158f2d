"""What is kept of a server besides its reloads: its key, its settings, watched models, calls that cost."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from bot.domain.errors import TooManyWatchers

WATCHED_PER_SERVER = 25
"""Models."""
WATCHERS_PER_MODEL = 25
TESTS_PER_DAY = 10
"""Test images of a member, where the server's moderators have not chosen another number."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A server's API key as stored: sealed, with who set it and when (seconds since 1970, UTC)."""

    sealed: str
    by: int
    by_name: str
    at: float
    version: str = ""
    """The version of the model API that it is for; empty: 0.1.0 did not say."""
    checked: bool = True
    """Whether the API has said that it works, as far as the bot knows."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What a server's moderators chose."""

    quiet: bool = False
    """Only who presses *Notify me* is pinged, not everybody who asks."""
    language: str = ""
    """One of `bot.languages.NAMES`; empty: as Discord says of the server."""
    ledger_channel: int | None = None
    """Where cold models are announced; None: where *Watch* was pressed."""
    tests_per_day: int | None = TESTS_PER_DAY
    """How many test images a member may have made in 24 hours; None: as many as they like."""

    news_channel: int | None = None
    """Where moderators hear what only they can mend; None: nowhere, it is in `/key status`."""

    def locale(self, discords: object) -> str:
        """The language of what all see: as was chosen, else as Discord has it for the server."""
        return self.language or str(discords or "")


@dataclass(frozen=True, slots=True)
class Watcher:
    """Somebody who watches a model, and where they pressed *Watch*."""

    by: int
    channel: int


@dataclass(frozen=True, slots=True)
class Watch:
    """A watched model, and what was said of it; times in seconds since 1970, UTC."""

    server: int
    model: str
    by: int
    channel: int
    """The first watcher, and where they pressed *Watch*."""
    used_at: float | None = None
    """When the model was last seen used: reloads are deleted by age."""
    said_of: float | None = None
    """The last use of which it was said that it ends."""
    said_cold: bool = False
    message: int | None = None
    """What said so, and where."""
    place: int | None = None
    others: tuple[Watcher, ...] = ()
    """Who watches it besides the first, in their order."""

    @property
    def watchers(self) -> tuple[Watcher, ...]:
        """Everybody who watches it, in their order."""
        return (Watcher(self.by, self.channel), *self.others)

    @property
    def users(self) -> tuple[int, ...]:
        """Their ids."""
        return tuple(watcher.by for watcher in self.watchers)


def joined(watch: Watch, new: Watcher) -> Watch:
    """Have one more person watch a model; one who does so already stays as they are.

    Raises TooManyWatchers.
    """
    if new.by in watch.users:
        return watch
    if len(watch.watchers) >= WATCHERS_PER_MODEL:
        raise TooManyWatchers(WATCHERS_PER_MODEL)
    return replace(watch, others=(*watch.others, new))


def without(watch: Watch, users: Collection[int]) -> Watch | None:
    """Have these people watch a model no more; None: nobody is left."""
    rest = [watcher for watcher in watch.watchers if watcher.by not in users]
    return watched_by(watch, rest[0], tuple(rest[1:])) if rest else None


def watched_by(watch: Watch, first: Watcher, others: tuple[Watcher, ...]) -> Watch:
    """The same watch with these watchers."""
    return replace(watch, by=first.by, channel=first.channel, others=others)


@dataclass(frozen=True, slots=True)
class PaidCall:
    """A call for a test image that may have gone out, which costs a generation: whose, and when."""

    by: int
    at: float


@dataclass(frozen=True, slots=True)
class Event:
    """Something that moderators are told: what (`bot.domain.events`), when, and by whom; 0: by the API."""

    what: str
    at: float
    by: int = 0
    by_name: str = ""
    detail: str = ""
    """Which setting was changed."""
    told: bool = False
    """Not within an hour of another one of its kind."""
