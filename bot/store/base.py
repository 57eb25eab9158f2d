"""The store's verbs: each is atomic, and durable once it has returned."""

import math
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any, NamedTuple, Protocol, Unpack

from bot.domain.reload import Asker, ImageTest, Reload, State
from bot.domain.rows import Event, KeyRow, PaidCall, ServerSettings, Watch
from bot.domain.steps import Facts

MISSING_SERVERS = "missing_servers"
"""The name of the value with the servers that were missing from Discord's list, and since when."""


ENCRYPTION_CHECK = "encryption_check"
"""The name of the value that shows whether the encryption keys are this store's."""


HISTORY_MOST = 1000
"""Reloads that are read together."""


class News(NamedTuple):
    """News for a process about reloads that it shares with others."""

    taken: list[Reload]
    """Reloads that nobody looked after and that this process has now taken over, most overdue first."""
    changed: list[Reload]
    """Its own reloads that changed through another process: somebody joined or was muted, or the ending is to
    be tried again."""
    lost: frozenset[int]
    """IDs of reloads that it had, and that another process has taken over."""


class PageOfModels(NamedTuple):
    """A page of a server's models: those that are reloading, and which others it needs."""

    running: list[str]
    """All models that are reloading."""
    reloads: list[Reload]
    first: int
    most: int


def page_of_models(running: list[Reload], first: int, most: int) -> PageOfModels:
    """Pure: lay out a page; those that are reloading come first, newest first."""
    running = sorted(running, key=lambda reload: reload.asked_at, reverse=True)
    shown = running[first : first + most]
    return PageOfModels(
        [reload.model for reload in running], shown, max(0, first - len(running)), most - len(shown)
    )


class Store(Protocol):
    """The bot's storage. All verbs raise StoreTrouble when storage fails."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes use it, too: then there may be `news` at any time."""
        ...

    @property
    def fault(self) -> str:
        """A problem with the stored data, as a sentence for the self-hoster; empty: none is known."""
        ...

    @property
    def is_outdated(self) -> bool:
        """Whether a newer version is using it: then this process takes on nothing new."""
        ...

    async def news(self) -> News:
        """Take over open reloads that nobody looks after; return them, and what has happened to our own."""
        ...

    async def hold(self, id_: int, /, *, renew: bool = False) -> None:
        """Return once this process may show something of a reload. Raises Taken.

        `renew`: what was known before this call does not count.
        """
        ...

    def holds(self, id_: int, /) -> bool:
        """Return whether an open reload is ours to look after: a claimed one only once `news` has said so."""
        ...

    async def release(self) -> None:
        """Leave open reloads to others; nothing more of them may be shown here."""
        ...

    async def ask(self, new: Reload, limit: float) -> Reload | None:
        """Store `new`, or add its asker to the reload of the same server and model that can be joined.

        Returns the stored reload: an ID other than `new.id` means that it was joined. None: this very
        interaction was seen before. Raises NoKey, TooManyOpen, and StoreSlow after `limit` seconds.
        """
        ...

    async def notify(self, id_: int, asker: Asker, *, wanted: bool) -> Reload | None:
        """Add an asker to a reload that can be joined, or stop pinging one; None if it can't be."""
        ...

    async def test_ahead(self, id_: int, user: int, test: ImageTest | None) -> Reload | None:
        """Keep somebody's test image for the end of a reload that can be joined; None: take theirs back.

        If the same person asks several times, the first stays. The place of one that is taken back, or that a
        step drops, is given back. None if it can't be joined. Raises NoTestNow if somebody else has asked.
        """
        ...

    async def step(
        self, id_: int, from_: Collection[State], to: State, **facts: Unpack[Facts]
    ) -> Reload | None:
        """Take a legal step if the reload is in one of the states `from_`; None if it is not.

        A step to REMOVED deletes the row. Raises IllegalStep, and Taken for another process's reload.
        """
        ...

    async def try_again(self, servers: Collection[int], threads: Collection[int]) -> None:
        """Have other processes retry their endings that could not be shown there: theirs become news."""
        ...

    async def open(self) -> list[Reload]:
        """Return all reloads of all servers with something still to be shown: an ending, a test image."""
        ...

    async def find(self, server: int, id_: int) -> Reload | None:
        """Return a reload of this server, or None."""
        ...

    async def history(self, server: int, model: str | None = None, most: int = HISTORY_MOST) -> list[Reload]:
        """Return the newest reloads of a server, or of one of its models, newest first."""
        ...

    async def recent(self, server: int, most: int) -> list[tuple[str, float]]:
        """Return model and time of a server's newest reloads, without models that the API doesn't know."""
        ...

    async def models(self, server: int, first: int, most: int) -> tuple[int, list[Reload]]:
        """Return how many models a server has, and the `most` to list, from number `first` on.

        First those that are reloading, then by last use. Each comes with its newest reload and the one that
        last used it; IDs that the API doesn't know, or no longer knows, are left out.
        """
        ...

    async def about(self, server: int, model: str, most: int) -> list[Reload]:
        """Return the newest `most` reloads of a server's model and what `models` has of it; newest first."""
        ...

    async def key(self, server: int) -> KeyRow | None:
        """Return the server's sealed key, or None."""
        ...

    def all_keys(self) -> AsyncIterator[tuple[int, KeyRow]]:
        """Yield all servers that have a key, with it; there may be very many."""
        ...

    async def set_key(self, server: int, row: KeyRow) -> None:
        """Store a key; the bytes of the one it replaces are removed from disk."""
        ...

    async def replace_key(self, server: int, was: KeyRow, row: KeyRow) -> bool:
        """Store a key in place of another; return False, and change nothing, if that is no longer there."""
        ...

    async def remove_key(self, server: int, set_until: float = math.inf) -> bool:
        """Delete a key that was set by then, its bytes on disk included; return False if there was none."""
        ...

    async def settings(self, server: int) -> ServerSettings:
        """Return what the server's moderators chose; the defaults if they chose nothing."""
        ...

    async def change_settings(self, server: int, **changes: Any) -> ServerSettings:
        """Store what they chose, and leave the rest as it is; return all of it. Raises OneChannelForBoth."""
        ...

    async def watch(self, server: int, model: str) -> Watch | None:
        """Return who watches a model of this server and what was announced about it, or None."""
        ...

    def all_watches(self) -> AsyncIterator[Watch]:
        """Yield all watched models of all servers; there may be very many."""
        ...

    async def set_watch(self, watch: Watch, *, new: bool = False) -> bool:
        """Store what was announced about a watched model; its watchers stay as they are stored.

        `new`: begin the watch, or have its first watcher join it. False: nothing was stored. Raises
        TooManyWatched, TooManyWatchers.
        """
        ...

    async def remove_watch(self, server: int, model: str, users: Collection[int] | None = None) -> bool:
        """Remove these people from a model's watchers, or all; return False if none of them watched it."""
        ...

    async def reserve_call(self, server: int, name: str, call: PaidCall, most: int | None) -> bool:
        """Store a call that costs before it goes out; return False if this one was stored before.

        Raises NoTestsLeft if its member has made `most` others in 24 hours; None: no limit.
        """
        ...

    async def give_back_call(self, server: int, name: str) -> None:
        """Delete a call that did not go out."""
        ...

    async def paid_calls(self, server: int) -> list[PaidCall]:
        """Return a server's calls that cost: those of the last 24 hours, and perhaps some earlier ones."""
        ...

    async def expire_rows(self, now: float) -> int:
        """Delete calls that no longer count, and events that are too old.

        It deletes a part of them at a time; return how many, 0 when all is done.
        """
        ...

    async def add_event(self, server: int, event: Event) -> bool:
        """Store an event for moderators; return False if it is no news, or too soon to announce again."""
        ...

    async def events(self, server: int) -> list[Event]:
        """Return a server's events for moderators, newest first."""
        ...

    async def servers(self) -> set[int]:
        """Return all servers about which anything is stored."""
        ...

    async def expire(self, ended_before: float, fade_before: float) -> int:
        """Delete reloads that ended before a time, and strip tokens and channels from those before another.

        A test image counts as an end. It does a part of them at a time, so that nobody waits long behind it;
        return how many, 0 when all is done.
        """
        ...

    async def forget(self, server: int) -> int:
        """Delete a server's key, settings, watches, open and newest reloads, and hide the rest, in one write.

        Return how many reloads were deleted; `sweep` deletes the rest.
        """
        ...

    async def sweep(self) -> int:
        """Delete some reloads of servers that were forgotten; return how many, 0 when all is done.

        Then their bytes are gone from disk.
        """
        ...

    async def crowded(self, most: int) -> list[int]:
        """Return the servers with more than this many reloads."""
        ...

    async def trim(self, server: int, most: int, asked_before: float, used_before: float) -> int:
        """Delete some of a server's oldest reloads beyond `most`; return how many, 0 when all is done.

        Open reloads stay, and so do those requested after `asked_before`, and each that last used a model
        after `used_before`.
        """
        ...

    async def inspect(self) -> float | None:
        """Check a page of what is stored, and bring it up to date if an older version wrote it.

        Return how many seconds later the next page may follow; None when all has been checked.
        """
        ...

    async def value(self, name: str) -> Any:
        """Return a small named value, or None."""
        ...

    async def set_value(self, name: str, value: Any) -> None:
        """Store a small named value that JSON can hold."""
        ...

    async def change_value(self, name: str, change: Callable[[Any], Any], /) -> Any:
        """Store what a pure `change` makes of a small named value, or of None; return that."""
        ...

    def close(self) -> None:
        """Finish what is being written, and let go."""
        ...
