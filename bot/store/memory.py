"""Pure: what a store holds in memory; its verbs, and what they have changed since the last write."""

import math
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

from bot.domain.askers import check_limits, join, mute
from bot.domain.errors import NoKey, NoTestNow, TooManyWatched
from bot.domain.reload import JOINABLE, Asker, ImageTest, Reload, State
from bot.domain.rows import (
    WATCHED_PER_SERVER,
    KeyRow,
    ServerSettings,
    Watch,
    Watcher,
    joined,
    watched_by,
    without,
)
from bot.domain.steps import Facts, faded
from bot.domain.steps import step as take_step
from bot.store.rows import FORGOTTEN, KEY, RELOAD, SETTINGS, VALUE, WATCH, Kind, StoredRow, kind_of

REDELIVERY_AGE = 900.0
"""How long Discord's token answers an interaction, and how long one may be delivered again."""


class Memory:
    """Rows by address ("reload:<id>", "key:<server>", "value:<name>" …), and the verbs that change them.

    One verb runs at a time. `changed` is what the disk does not have yet; `undo` takes it back. A verb finds
    what has ended if it was remembered, or between `load` and `settle`.
    """

    def __init__(self) -> None:
        self.reloads: dict[int, Reload] = {}
        self.of_server: dict[int, dict[int, Reload]] = {}
        self.keys: dict[int, KeyRow] = {}
        self.settings: dict[int, ServerSettings] = {}
        self.watches: dict[tuple[int, str], Watch] = {}
        self.values: dict[str, Any] = {}
        self.forgotten: dict[int, int] = {}
        """Servers whose reloads up to this id are hidden, until all of them are deleted."""
        self.changed: dict[str, Any] = {}
        """None: deleted."""
        self._before: dict[str, Any] = {}
        self._touched: set[int] = set()
        self._joined: dict[int, None] = {}
        """Reloads that somebody joined, and that have ended: a join may be delivered again."""

    def begin(self) -> None:
        """What has changed so far is on disk."""
        self.changed, self._before = {}, {}

    def undo(self) -> None:
        """Take back what has changed since `begin`."""
        for address, value in self._before.items():
            self.remember(address, value)

    def _table(self, address: str) -> tuple[dict[Any, Any], Any]:
        """Where the row of an address stands."""
        kind = kind_of(address)
        number, name = kind.place(address)
        tables: dict[Kind[Any], tuple[dict[Any, Any], Any]] = {
            RELOAD: (self.reloads, number),
            KEY: (self.keys, number),
            SETTINGS: (self.settings, number),
            WATCH: (self.watches, (number, name)),
            VALUE: (self.values, name),
            FORGOTTEN: (self.forgotten, number),
        }
        return tables[kind]

    def known(self, address: str) -> StoredRow | None:
        """The row at an address, or None."""
        table, place = self._table(address)
        return table.get(place)

    def remember(self, address: str, value: StoredRow | None) -> None:
        """Hold a row that the disk has; None: it has none."""
        table, place = self._table(address)
        if value is not None:  # in one go: the other thread reads meanwhile
            table[place] = value
        elif isinstance(gone := table.pop(place, None), Reload):
            of_server = self.of_server[gone.server]
            del of_server[gone.id]
            if not of_server:
                del self.of_server[gone.server]
        if isinstance(value, Reload):
            self.of_server.setdefault(value.server, {})[value.id] = value

    def change(self, address: str, value: StoredRow | None) -> None:
        """Change memory, and note it for the disk; None deletes. Undone if the disk fails."""
        self._before.setdefault(address, self.known(address))
        self.changed[address] = value
        self.remember(address, value)
        if isinstance(value, Reload):
            self._touched.add(value.id)

    def load(self, reloads: Iterable[Reload]) -> None:
        """Hold what was read for the verbs of this turn."""
        for reload in reloads:
            self._touched.add(reload.id)
            self.remember(RELOAD.address(reload.id), reload)

    def settle(self) -> None:
        """Let go of what has ended; what somebody joined stays for a while."""
        for id_ in self._touched:
            known = self.reloads.get(id_)
            if known is None or known.is_open:
                continue
            self._joined.pop(id_, None)
            if len(known.askers) > 1:
                self._joined[id_] = None
            else:
                self.remember(RELOAD.address(id_), None)
        self._touched.clear()

    def hidden(self, server: int) -> int:
        """The highest id that does not count any more of a server's reloads."""
        return self.forgotten.get(server, -1)

    def ask(self, new: Reload) -> Reload | None:
        """The verb of `bot.store.base`."""
        self._let_go_of_joined(new.asked_at - REDELIVERY_AGE)
        mine = self.of_server.get(new.server, {})
        running = [reload for reload in mine.values() if reload.state in JOINABLE]
        recent = [reload for reload in mine.values() if reload.asked_at > new.asked_at - REDELIVERY_AGE]
        if new.id in mine or any(a.token == new.owner.token for r in recent for a in r.askers):
            return None
        if new.server not in self.keys:
            raise NoKey
        twin = next((reload for reload in running if reload.model == new.model), None)
        if twin is None:
            check_limits(new, running)
        after = new if twin is None else _joined(twin, new)
        self.change(RELOAD.address(after.id), after)
        return after

    def notify(self, id_: int, asker: Asker, wanted: bool) -> Reload | None:
        known = self.reloads.get(id_)
        if known is None or known.state not in JOINABLE:
            return None
        after = join(known, asker) if wanted else mute(known, asker.user)
        if after != known:
            self.change(RELOAD.address(id_), after)
        return after

    def test_ahead(self, id_: int, user: int, test: ImageTest | None) -> Reload | None:
        known = self.reloads.get(id_)
        if known is None or known.state not in JOINABLE:
            return None
        if known.test is not None and known.test.by.user != user:
            raise NoTestNow("asked")
        after = replace(known, test=test)
        if after != known:
            self.change(RELOAD.address(id_), after)
        return after

    def step(self, id_: int, from_: Collection[State], to: State, facts: Facts) -> Reload | None:
        known = self.reloads.get(id_)
        if known is None or known.state not in from_:
            return None
        after = take_step(known, to, **facts)
        self.change(RELOAD.address(id_), None if to is State.REMOVED else after)
        return after

    def set_key(self, server: int, row: KeyRow) -> None:
        self.change(KEY.address(server), row)

    def replace_key(self, server: int, was: KeyRow, row: KeyRow) -> bool:
        is_there = self.keys.get(server) == was
        if is_there:
            self.set_key(server, row)
        return is_there

    def remove_key(self, server: int) -> bool:
        existed = server in self.keys
        if existed:
            self.change(KEY.address(server), None)
        return existed

    def _let_go_of_joined(self, before: float) -> None:
        for id_ in list(self._joined):
            known = self.reloads.get(id_)
            if known is not None and not known.is_open and known.asked_at > before:
                return
            del self._joined[id_]
            if known is not None and not known.is_open:
                self.remember(RELOAD.address(id_), None)

    def expire(self, old: Iterable[int], fading: Iterable[Reload], ended_before: float) -> int:
        """Delete and fade what was found on disk, unless memory knows better; return how many."""
        done = 0
        for id_ in old:
            known = self.reloads.get(id_)
            if known is None or (known.last_at or math.inf) < ended_before:
                self.change(RELOAD.address(id_), None)
                done += 1
        for found in fading:
            newest = self.reloads.get(found.id, found)
            if newest.last_at == found.last_at and newest.has_tokens and not newest.is_testing:
                self.change(RELOAD.address(found.id), faded(newest))
                done += 1
        return done

    def remove(self, ids: Iterable[int]) -> int:
        """Delete reloads, but for those that are open; return how many."""
        ended = [id_ for id_ in ids if id_ not in self.reloads or not self.reloads[id_].is_open]
        for id_ in ended:
            self.change(RELOAD.address(id_), None)
        return len(ended)

    def change_settings(self, server: int, changes: dict[str, Any]) -> ServerSettings:
        after = replace(self.settings.get(server, ServerSettings()), **changes)
        self.change(SETTINGS.address(server), after)
        return after

    def set_watch(self, watch: Watch, anew: bool) -> bool:
        known = self.watches.get((watch.server, watch.model))
        if known is not None and anew:
            after = joined(known, Watcher(watch.by, watch.channel))
        elif known is not None:  # somebody may have come or gone meanwhile
            after = watched_by(watch, known.watchers[0], known.others)
        elif not anew:
            return False
        elif sum(server == watch.server for server, _ in self.watches) >= WATCHED_PER_SERVER:
            raise TooManyWatched(WATCHED_PER_SERVER)
        else:
            after = watch
        if after == known:
            return not anew
        self.change(WATCH.address(watch.server, watch.model), after)
        return True

    def remove_watch(self, server: int, model: str, users: Collection[int] | None = None) -> bool:
        known = self.watches.get((server, model))
        after = without(known, users) if known is not None and users is not None else None
        if after == known:
            return False
        self.change(WATCH.address(server, model), after)
        return True

    def forget(self, server: int, ids: Iterable[int], highest: int) -> None:
        """Delete all of a server but its reloads, of which these; up to the highest id they are hidden."""
        if server in self.settings:
            self.change(SETTINGS.address(server), None)
        for of, model in [place for place in self.watches if place[0] == server]:
            self.remove_watch(of, model)
        for id_ in dict.fromkeys((*ids, *self.of_server.get(server, {}))):
            self.change(RELOAD.address(id_), None)
        self.remove_key(server)
        self.change(FORGOTTEN.address(server), max(highest, self.hidden(server)))


def _joined(twin: Reload, new: Reload) -> Reload:
    """Where only who presses *Notify me* is pinged, a second asker is not."""
    known = any(asker.user == new.owner.user for asker in twin.askers)
    muted = new.muted and (not known or new.owner.user in twin.muted)
    after = join(twin, new.owner)
    return mute(after, new.owner.user) if muted else after
