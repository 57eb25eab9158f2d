"""Rows about a server, besides its reloads: its key, its settings, watched models, calls that cost."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from bot.domain.errors import TooManyWatchers

WATCHED_PER_SERVER = 25
"""Models that a server may watch."""
WATCHERS_PER_MODEL = 25
TESTS_PER_DAY = 10
"""Test images per member in 24 hours, unless the server's moderators have chosen another number."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A server's API key as stored: sealed, with who set it, and when (seconds since 1970, UTC)."""

    sealed: str
    by: int
    by_name: str
    at: float
    version: str = ""
    """The version of the model API that it is for; empty if 0.1.0 wrote it, which didn't say."""
    checked: bool = True
    """Whether the API has said that it works, as far as the bot knows."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The choices of a server's moderators."""

    quiet: bool = False
    """Whether only people who press *Notify me* are pinged, not everybody who asks."""
    language: str = ""
    """One of `bot.languages.NAMES`; empty: the server's language in Discord."""
    ledger_channel: int | None = None
    """Where cold models are announced; None: where *Watch* was pressed."""
    tests_per_day: int | None = TESTS_PER_DAY
    """How many test images a member may have made in 24 hours; None: no limit."""

    news_channel: int | None = None
    """Where moderators hear about the key and settings; None: only in `/key status`."""

    def locale(self, discords: object) -> str:
        """The language that everybody sees: the chosen one, else the server's in Discord."""
        return self.language or str(discords or "")


@dataclass(frozen=True, slots=True)
class Watcher:
    """Somebody who watches a model, and where they pressed *Watch*."""

    by: int
    channel: int


@dataclass(frozen=True, slots=True)
class Watch:
    """A watched model, and what has been announced about it; times in seconds since 1970, UTC."""

    server: int
    model: str
    by: int
    channel: int
    """The channel where the first watcher pressed *Watch*."""
    used_at: float | None = None
    """When the model was last seen used. It is kept here because old reloads are deleted."""
    said_of: float | None = None
    """`used_at` that the last announcement was about."""
    said_cold: bool = False
    message: int | None = None
    """The announcement, and where it is."""
    place: int | None = None
    others: tuple[Watcher, ...] = ()
    """People who watch it besides the first, in order."""

    @property
    def watchers(self) -> tuple[Watcher, ...]:
        """Everybody who watches it, in order."""
        return (Watcher(self.by, self.channel), *self.others)

    @property
    def users(self) -> tuple[int, ...]:
        """The watchers' IDs."""
        return tuple(watcher.by for watcher in self.watchers)


def joined(watch: Watch, new: Watcher) -> Watch:
    """Add a watcher; one who is there already stays as they are. Raises TooManyWatchers."""
    if new.by in watch.users:
        return watch
    if len(watch.watchers) >= WATCHERS_PER_MODEL:
        raise TooManyWatchers(WATCHERS_PER_MODEL)
    return replace(watch, others=(*watch.others, new))


def without(watch: Watch, users: Collection[int]) -> Watch | None:
    """Remove these watchers; return None if nobody is left."""
    rest = [watcher for watcher in watch.watchers if watcher.by not in users]
    return watched_by(watch, rest[0], tuple(rest[1:])) if rest else None


def watched_by(watch: Watch, first: Watcher, others: tuple[Watcher, ...]) -> Watch:
    """Return the same watch with these watchers."""
    return replace(watch, by=first.by, channel=first.channel, others=others)


@dataclass(frozen=True, slots=True)
class PaidCall:
    """A call for a test image that may have gone out and so cost a generation: for whom, and when."""

    by: int
    at: float


@dataclass(frozen=True, slots=True)
class Event:
    """An event that moderators hear about: what (`bot.domain.events`), when, and by whom; 0: by the API."""

    what: str
    at: float
    by: int = 0
    by_name: str = ""
    detail: str = ""
    """The setting that was changed, or that a test image was the reason (`bot.domain.events.OF_IMAGE`)."""
    told: bool = False
    """Whether it is announced: an event is not, within an hour of another one of its kind."""
