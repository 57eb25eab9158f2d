"""Pure: a store's verbs about a server's other data, and about small values."""

import itertools
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Any

from bot.domain.allowance import check_allowance, counts
from bot.domain.errors import OneChannelForBoth, TooManyWatched
from bot.domain.events import EVENTS_AGE, is_due, is_news, name_of, superfluous
from bot.domain.rows import (
    WATCHED_PER_SERVER,
    Event,
    KeyRow,
    PaidCall,
    ServerSettings,
    Watch,
    Watcher,
    joined,
    watched_by,
    without,
)
from bot.store.rows import EVENT, KEY, PAID, SETTINGS, VALUE, WATCH
from bot.store.tables import Tables


class ServerVerbs(Tables):
    """The verbs of `bot.store.base` about servers."""

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

    def change_value(self, name: str, change: Callable[[Any], Any]) -> Any:
        after = change(self.values.get(name))
        self.change(VALUE.address(name=name), after)
        return after

    def change_settings(self, server: int, changes: dict[str, Any]) -> ServerSettings:
        after = replace(self.settings.get(server, ServerSettings()), **changes)
        if after.news_channel is not None and after.news_channel == after.ledger_channel:
            raise OneChannelForBoth
        self.change(SETTINGS.address(server), after)
        return after

    def set_watch(self, watch: Watch, new: bool) -> bool:
        known = self.watches.get((watch.server, watch.model))
        if known is not None and new:
            after = joined(known, Watcher(watch.by, watch.channel))
        elif known is not None:  # watchers may have come or gone in the meantime
            after = watched_by(watch, known.watchers[0], known.others)
        elif not new:
            return False
        elif sum(server == watch.server for server, _ in self.watches) >= WATCHED_PER_SERVER:
            raise TooManyWatched(WATCHED_PER_SERVER)
        else:
            after = watch
        if after == known:
            return not new
        self.change(WATCH.address(watch.server, watch.model), after)
        return True

    def remove_watch(self, server: int, model: str, users: Collection[int] | None = None) -> bool:
        known = self.watches.get((server, model))
        after = without(known, users) if known is not None and users is not None else None
        if after == known:
            return False
        self.change(WATCH.address(server, model), after)
        return True

    def reserve_call(self, server: int, name: str, call: PaidCall, most: int | None) -> bool:
        mine = self.paid_calls.get(server, {})
        check_allowance((known for of, known in mine.items() if of != name), call.by, call.at, most)
        if name in mine:
            return False
        self.change(PAID.address(server, name), call)
        return True

    def give_back_call(self, server: int, name: str) -> None:
        if name in self.paid_calls.get(server, {}):
            self.change(PAID.address(server, name), None)

    def expire_rows(self, now: float, most: int) -> int:
        old = list(itertools.islice(self._outdated(now), most))
        for address in old:
            self.change(address, None)
        return len(old)

    def _outdated(self, now: float) -> Iterator[str]:
        for server, calls in self.paid_calls.items():
            yield from (PAID.address(server, name) for name, call in calls.items() if not counts(call, now))
        for server, events in self.events.items():
            for name, event in events.items():
                if abs(now - event.at) >= EVENTS_AGE:
                    yield EVENT.address(server, name)

    def add_event(self, server: int, event: Event) -> bool:
        mine = self.events.get(server, {})
        event = replace(event, told=is_due(mine.values(), event))
        if not is_news(mine.values(), event):
            return False
        self.change(EVENT.address(server, name_of(event)), event)
        for name in superfluous(self.events[server]):
            self.change(EVENT.address(server, name), None)
        return event.told

    def forget_rows(self, server: int) -> None:
        """Delete everything about a server except its reloads."""
        if server in self.settings:
            self.change(SETTINGS.address(server), None)
        for name in list(self.paid_calls.get(server, {})):
            self.change(PAID.address(server, name), None)
        for name in list(self.events.get(server, {})):
            self.change(EVENT.address(server, name), None)
        for of, model in [place for place in self.watches if place[0] == server]:
            self.remove_watch(of, model)
        self.remove_key(server)
