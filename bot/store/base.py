"""The store's verbs, each atomic, each durable once it has returned."""

import math
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any, NamedTuple, Protocol, Unpack

from bot.domain.reload import Asker, ImageTest, Reload, State
from bot.domain.rows import Event, KeyRow, PaidCall, ServerSettings, Watch
from bot.domain.steps import Facts

MISSING_SERVERS = "missing_servers"
"""The name of the value that holds which servers were missing from Discord's list, and since when."""


ENCRYPTION_CHECK = "encryption_check"
"""The name of the value that tells whether the encryption keys are those of this store."""


HISTORY_MOST = 1000
"""Reloads that are read at once."""


class News(NamedTuple):
    """What a process has to know of reloads that it shares with others."""

    taken: list[Reload]
    """Nobody looked after these: now this process does. Most overdue first."""
    changed: list[Reload]
    """Its own, which somebody joined, or was muted in, by way of another process; or whose ending another
    process wants tried again."""
    lost: frozenset[int]
    """Ids of those that it had: another process has taken them over."""


class PageOfModels(NamedTuple):
    """What a page of a server's models shows of those that are reloading, and which others it needs."""

    running: list[str]
    """All models that are reloading."""
    reloads: list[Reload]
    first: int
    most: int


def page_of_models(running: list[Reload], first: int, most: int) -> PageOfModels:
    """Pure: those that are reloading come first, the newest of them on top."""
    running = sorted(running, key=lambda reload: reload.asked_at, reverse=True)
    shown = running[first : first + most]
    return PageOfModels(
        [reload.model for reload in running], shown, max(0, first - len(running)), most - len(shown)
    )


class Store(Protocol):
    """What the bot needs kept. All verbs raise StoreTrouble when storage fails."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes use it, too: then there may be `news` at any time."""
        ...

    @property
    def fault(self) -> str:
        """What is wrong with what is stored, as a sentence for the self-hoster; empty: nothing is known."""
        ...

    @property
    def is_outdated(self) -> bool:
        """Whether a newer version uses it by now: then nothing more is taken on here."""
        ...

    async def news(self) -> News:
        """Take over open reloads that nobody looks after; and what has happened to our own."""
        ...

    async def hold(self, id_: int, /, *, renew: bool = False) -> None:
        """Return once this process may show something of a reload. Raises Taken.

        `renew`: what was known before this call does not count.
        """
        ...

    def holds(self, id_: int, /) -> bool:
        """Whether an open reload is ours to look after, and `news` has told of it if it was claimed."""
        ...

    async def release(self) -> None:
        """Leave what is open to others; nothing more may be shown of it here."""
        ...

    async def ask(self, new: Reload, limit: float) -> Reload | None:
        """Store `new`, or add its asker to the reload of the same server and model that can be joined.

        Returns the stored reload: another id than `new.id` means joined. None: this very interaction was
        seen before. Raises NoKey, TooManyOpen, and StoreSlow after `limit` seconds.
        """
        ...

    async def notify(self, id_: int, asker: Asker, *, wanted: bool) -> Reload | None:
        """Add an asker to a reload that can be joined, or have somebody not pinged; None if it cannot."""
        ...

    async def test_ahead(self, id_: int, user: int, test: ImageTest | None) -> Reload | None:
        """Keep somebody's test image for the end of a reload that can be joined; None: take theirs back.

        Of several of the same person the first stays. The place of one that is taken back, or that a step
        drops, is given back. None if it cannot be joined. Raises NoTestNow where somebody else has asked.
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
        """Have other processes try the endings that could not be shown there again: theirs have news."""
        ...

    async def open(self) -> list[Reload]:
        """All reloads of which something has yet to be shown, of all servers: an ending, a test image."""
        ...

    async def find(self, server: int, id_: int) -> Reload | None:
        """A reload of this server, or None."""
        ...

    async def history(self, server: int, model: str | None = None, most: int = HISTORY_MOST) -> list[Reload]:
        """The newest reloads of a server, or those of one model, newest first."""
        ...

    async def recent(self, server: int, most: int) -> list[tuple[str, float]]:
        """The model and the time of a server's newest reloads, without those that the API does not know."""
        ...

    async def models(self, server: int, first: int, most: int) -> tuple[int, list[Reload]]:
        """How many models a server has, and what to list of `most` of them, from number `first` on.

        First those that are reloading, then by last use. Of each the newest reload, and that by which it was
        last used; ids that the API does not know are left out.
        """
        ...

    async def about(self, server: int, model: str, most: int) -> list[Reload]:
        """The newest `most` reloads of a server's model, and what `models` has of it; newest first."""
        ...

    async def key(self, server: int) -> KeyRow | None:
        """The server's sealed key, or None."""
        ...

    def all_keys(self) -> AsyncIterator[tuple[int, KeyRow]]:
        """All servers that have a key, with it; there may be very many."""
        ...

    async def set_key(self, server: int, row: KeyRow) -> None:
        """Store a key; the bytes of the one it replaces are gone from disk."""
        ...

    async def replace_key(self, server: int, was: KeyRow, row: KeyRow) -> bool:
        """Store a key in the place of another; False: that is not there any more, and nothing happens."""
        ...

    async def remove_key(self, server: int, set_until: float = math.inf) -> bool:
        """Delete a key set until then so that its bytes are gone from disk; False if there was none."""
        ...

    async def settings(self, server: int) -> ServerSettings:
        """What the server's moderators chose; the usual where they chose nothing."""
        ...

    async def change_settings(self, server: int, **changes: Any) -> ServerSettings:
        """Store what they chose, and leave the rest as it is; return all of it."""
        ...

    async def watch(self, server: int, model: str) -> Watch | None:
        """Who watches a model of this server and what was said of it, or None."""
        ...

    def all_watches(self) -> AsyncIterator[Watch]:
        """All watched models, of all servers; there may be very many."""
        ...

    async def set_watch(self, watch: Watch, *, new: bool = False) -> bool:
        """Store what was said of a watched model; who watches it stays as it is stored.

        `new`: begin the watch, or have its first watcher join it. False: nothing was stored. Raises
        TooManyWatched, TooManyWatchers.
        """
        ...

    async def remove_watch(self, server: int, model: str, users: Collection[int] | None = None) -> bool:
        """Have these people watch a model no more, or nobody any more; False if none of them did."""
        ...

    async def reserve_call(self, server: int, name: str, call: PaidCall, most: int | None) -> bool:
        """Store a call that costs before it goes out; False: this one was stored before.

        Raises NoTestsLeft where its member has made `most` others in 24 hours; None: as many as they like.
        """
        ...

    async def give_back_call(self, server: int, name: str) -> None:
        """Delete a call that did not go out."""
        ...

    async def paid_calls(self, server: int) -> list[PaidCall]:
        """The calls that cost of a server, those of the last 24 hours and perhaps some before."""
        ...

    async def expire_rows(self, now: float) -> int:
        """Delete the calls that do not count any more, and the events that are too old.

        A part of them at once; return how many, 0 when all is done.
        """
        ...

    async def add_event(self, server: int, event: Event) -> bool:
        """Keep what moderators are told; False: it is no news, or cannot be told again so soon."""
        ...

    async def events(self, server: int) -> list[Event]:
        """What moderators of a server were told, newest first."""
        ...

    async def servers(self) -> set[int]:
        """All servers of which anything is stored."""
        ...

    async def expire(self, ended_before: float, fade_before: float) -> int:
        """Delete reloads that ended before a time, and take tokens and channels out of those before another.

        A test image counts as an end.
        A part of them at once, so that nobody waits long behind it; return how many, 0 when all is done.
        """
        ...

    async def forget(self, server: int) -> int:
        """Delete a server's key, settings, watches, open and newest reloads, and hide the rest, in one write.

        Return how many reloads were deleted; `sweep` deletes the rest.
        """
        ...

    async def sweep(self) -> int:
        """Delete some of the reloads of servers that were forgotten; return how many, 0 when all is done.

        Then their bytes are gone from disk.
        """
        ...

    async def crowded(self, most: int) -> list[int]:
        """The servers with more than so many reloads."""
        ...

    async def trim(self, server: int, most: int, asked_before: float, used_before: float) -> int:
        """Delete some of the oldest reloads of a server beyond `most`; return how many, 0 when all is done.

        What is open or was asked for later stays, and each by which a model was last used later than a time.
        """
        ...

    async def inspect(self) -> float | None:
        """Look through a page of what is stored, and bring it up to date where an older version wrote it.

        Return how many seconds later the next page may follow; None when all has been looked at.
        """
        ...

    async def value(self, name: str) -> Any:
        """A small named value, or None."""
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
