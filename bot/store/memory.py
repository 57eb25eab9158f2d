"""Pure: all that a store holds, in memory; its verbs, and what they have changed since the last write."""

import math
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from bot.domain.allowance import check_allowance, counts
from bot.domain.askers import check_limits, join, mute
from bot.domain.errors import NoKey, TooManyWatched
from bot.domain.events import EVENTS_AGE, is_news, is_told, name_of, superfluous
from bot.domain.reload import JOINABLE, Asker, Reload, State
from bot.domain.rows import WATCHED_PER_SERVER, Event, KeyRow, PaidCall, ServerSettings, Watch
from bot.domain.steps import Facts, faded
from bot.domain.steps import step as take_step
from bot.store.rows import EVENT, KEY, PAID, RELOAD, SETTINGS, VALUE, WATCH, Kind, StoredRow, kind_of

REDELIVERY_AGE = 900.0
"""How long Discord's token answers an interaction, and how long one may be delivered again."""


class Memory:
    """Rows by address ("reload:<id>", "key:<server>", "value:<name>" …), and the verbs that change them.

    One verb runs at a time. `changed` is what the disk does not have yet; `undo` takes it back.
    """

    def __init__(self) -> None:
        self.reloads: dict[int, Reload] = {}
        self.of_server: dict[int, dict[int, Reload]] = {}
        self.keys: dict[int, KeyRow] = {}
        self.settings: dict[int, ServerSettings] = {}
        self.watches: dict[tuple[int, str], Watch] = {}
        self.paid_calls: dict[tuple[int, str], PaidCall] = {}
        self.events: dict[tuple[int, str], Event] = {}
        self.values: dict[str, Any] = {}
        self.changed: dict[str, Any] = {}
        """None: deleted."""
        self._before: dict[str, Any] = {}

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
            PAID: (self.paid_calls, (number, name)),
            EVENT: (self.events, (number, name)),
            VALUE: (self.values, name),
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
            del self.of_server[gone.server][gone.id]
        if isinstance(value, Reload):
            self.of_server.setdefault(value.server, {})[value.id] = value

    def change(self, address: str, value: StoredRow | None) -> None:
        """Change memory, and note it for the disk; None deletes. Undone if the disk fails."""
        self._before.setdefault(address, self.known(address))
        self.changed[address] = value
        self.remember(address, value)

    def ask(self, new: Reload) -> Reload | None:
        """The verb of `bot.store.base`."""
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

    def remove_key(self, server: int, set_until: float = math.inf) -> bool:
        row = self.keys.get(server)
        if row is None or row.at > set_until:
            return False
        self.change(KEY.address(server), None)
        return True

    def expire(self, ended_before: float, fade_before: float, most: int) -> int:
        over = (State.ENDED, State.ANNOUNCING)  # also what nobody could be told of for so long
        ended = [(r.last_at, r) for r in self.reloads.values() if r.state in over and r.last_at]
        old = [r for at, r in ended if at < ended_before]
        resting = [r for at, r in ended if ended_before <= at < fade_before and not r.is_testing]
        fading = [r for r in resting if r.has_tokens]
        for reload in old[:most]:
            self.change(RELOAD.address(reload.id), None)
        for reload in fading[: most - len(old[:most])]:
            self.change(RELOAD.address(reload.id), faded(reload))
        return min(most, len(old) + len(fading))

    def change_settings(self, server: int, changes: dict[str, Any]) -> ServerSettings:
        after = replace(self.settings.get(server, ServerSettings()), **changes)
        self.change(SETTINGS.address(server), after)
        return after

    def set_watch(self, watch: Watch, anew: bool) -> bool:
        known = (watch.server, watch.model) in self.watches
        if known is anew:
            return False
        if anew and sum(server == watch.server for server, _ in self.watches) >= WATCHED_PER_SERVER:
            raise TooManyWatched(WATCHED_PER_SERVER)
        self.change(WATCH.address(watch.server, watch.model), watch)
        return True

    def remove_watch(self, server: int, model: str) -> bool:
        existed = (server, model) in self.watches
        if existed:
            self.change(WATCH.address(server, model), None)
        return existed

    def reserve_call(self, server: int, name: str, call: PaidCall, most: int | None) -> bool:
        if (server, name) in self.paid_calls:
            return False
        mine = (known for (of, _), known in self.paid_calls.items() if of == server)
        check_allowance(mine, call.by, call.at, most)
        self.change(PAID.address(server, name), call)
        return True

    def give_back_call(self, server: int, name: str) -> None:
        if (server, name) in self.paid_calls:
            self.change(PAID.address(server, name), None)

    def expire_rows(self, now: float) -> None:
        for place in [place for place, call in self.paid_calls.items() if not counts(call, now)]:
            self.give_back_call(*place)
        for place in [place for place, event in self.events.items() if abs(now - event.at) >= EVENTS_AGE]:
            self.change(EVENT.address(*place), None)

    def add_event(self, server: int, event: Event) -> bool:
        mine = {name: known for (of, name), known in self.events.items() if of == server}
        if not is_news(mine.values(), event):
            return False
        self.change(EVENT.address(server, name_of(event)), event)
        for name in superfluous({**mine, name_of(event): event}):
            self.change(EVENT.address(server, name), None)
        return not is_told(mine.values(), event)

    def forget(self, server: int) -> None:
        if server in self.settings:
            self.change(SETTINGS.address(server), None)
        for place in [place for place in self.paid_calls if place[0] == server]:
            self.give_back_call(*place)
        for place in [place for place in self.events if place[0] == server]:
            self.change(EVENT.address(*place), None)
        for of, model in [place for place in self.watches if place[0] == server]:
            self.remove_watch(of, model)
        for id_ in list(self.of_server.get(server, {})):
            self.change(RELOAD.address(id_), None)
        self.remove_key(server)


def _joined(twin: Reload, new: Reload) -> Reload:
    """Where only who presses *Notify me* is pinged, a second asker is not."""
    known = any(asker.user == new.owner.user for asker in twin.askers)
    muted = new.muted and (not known or new.owner.user in twin.muted)
    after = join(twin, new.owner)
    return mute(after, new.owner.user) if muted else after
