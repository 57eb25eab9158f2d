"""Pure: the part of a store in memory; its verbs, and what they have changed since the last write."""

import math
from collections.abc import Collection, Iterable
from dataclasses import replace

from bot.domain.allowance import freed
from bot.domain.askers import check_limits, join, mute
from bot.domain.errors import NoKey, NoTestNow
from bot.domain.reload import JOINABLE, Asker, ImageTest, Reload, State
from bot.domain.steps import Facts, faded
from bot.domain.steps import step as take_step
from bot.store.rows import FORGOTTEN, RELOAD
from bot.store.server_verbs import ServerVerbs

REDELIVERY_AGE = 900.0
"""Seconds for which Discord's token answers an interaction, and for which one may be delivered again."""


class Memory(ServerVerbs):
    """The verbs that change memory; one runs at a time.

    A verb finds an ended reload if it was remembered, or between `load` and `settle`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._joined: dict[int, None] = {}
        """Ended reloads that somebody joined: a join may be delivered again."""

    def load(self, reloads: Iterable[Reload]) -> None:
        """Hold what was read for this turn's verbs."""
        for reload in reloads:
            self._touched.add(reload.id)
            self.remember(RELOAD.address(reload.id), reload)

    def settle(self) -> None:
        """Drop ended reloads; those that somebody joined stay for a while."""
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
        """Return the highest ID of a server's reloads that no longer count."""
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
        if (known.test is None) is (test is None):  # their first press counts
            return known
        return self._put(known, replace(known, test=test))

    def step(self, id_: int, from_: Collection[State], to: State, facts: Facts) -> Reload | None:
        known = self.reloads.get(id_)
        if known is None or known.state not in from_:
            return None
        after = take_step(known, to, **facts)
        if to is State.REMOVED:
            self.change(RELOAD.address(id_), None)
            return after
        return self._put(known, after)

    def _put(self, known: Reload, after: Reload) -> Reload:
        """Store a reload; if its test image is no longer wanted, give the image's place back."""
        self.change(RELOAD.address(after.id), after)
        if (name := freed(known, after)) is not None:
            self.give_back_call(after.server, name)
        return after

    def _let_go_of_joined(self, before: float) -> None:
        for id_ in list(self._joined):
            known = self.reloads.get(id_)
            if known is not None and not known.is_open and known.asked_at > before:
                return
            del self._joined[id_]
            if known is not None and not known.is_open:
                self.remember(RELOAD.address(id_), None)

    def expire(self, old: Iterable[int], fading: Iterable[Reload], ended_before: float) -> int:
        """Delete and strip what was found on disk, unless memory knows better; return how many."""
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
        """Delete reloads, except open ones; return how many."""
        ended = [id_ for id_ in ids if id_ not in self.reloads or not self.reloads[id_].is_open]
        for id_ in ended:
            self.change(RELOAD.address(id_), None)
        return len(ended)

    def forget(self, server: int, ids: Iterable[int], highest: int) -> None:
        """Delete everything about a server, and these of its reloads; hide the rest up to the highest ID."""
        self.forget_rows(server)
        for id_ in dict.fromkeys((*ids, *self.of_server.get(server, {}))):
            self.change(RELOAD.address(id_), None)
        self.change(FORGOTTEN.address(server), max(highest, self.hidden(server)))


def _joined(twin: Reload, new: Reload) -> Reload:
    """Add an asker; a second one is not pinged if only people who press *Notify me* are."""
    known = any(asker.user == new.owner.user for asker in twin.askers)
    muted = new.muted and (not known or new.owner.user in twin.muted)
    after = join(twin, new.owner)
    return mute(after, new.owner.user) if muted else after
