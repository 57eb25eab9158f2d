"""One live reload, in memory and in the store, which may be slow or failing."""

import asyncio
import itertools
from collections import deque
from dataclasses import replace
from typing import Unpack

import structlog

from bot.backoff import retry_pause
from bot.domain.askers import pings
from bot.domain.errors import StoreSlow, StoreTrouble
from bot.domain.reload import JOINABLE, Reload, State
from bot.domain.steps import Facts, IllegalStep, step
from bot.store.base import Store

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Life:
    """Holds a reload, and takes its steps in memory first, then in the store.

    Steps that the store could not write are written, in order, before the next one: memory may run ahead of a
    failing disk, and once the disk recovers, it is soon up to date.
    """

    def __init__(self, store: Store, reload: Reload) -> None:
        self._store = store
        self._stored = reload.state
        self._unsaved: deque[tuple[State, Facts]] = deque()
        self._landing: asyncio.Future[Reload | None] | None = None
        """The first unsaved step, if it is on its way to a slow disk."""
        self._ending = False
        """Whether the step to the ending is on its way, while nobody has heard of it."""
        self._writing = asyncio.Lock()
        self.reload = reload

    async def hold(self) -> None:
        """Return once this process may act on the reload. Raises Taken if it no longer may."""
        await self._store.hold(self.reload.id)

    async def step(self, to: State, **facts: Unpack[Facts]) -> bool:
        """Take a step; return True once it is stored, False if only memory has it. Raises IllegalStep."""
        after = step(self.reload, to, **facts)
        self._ending = to is State.ANNOUNCING and self.reload.state in JOINABLE
        self.reload = after
        self._unsaved.append((to, facts))
        stored = await self.save()
        self._ending = False
        if not stored:
            if self._landing is not None:
                log.info("reload.stored_late", to=to)  # if it fails in the end, the store logs an error
            else:
                log.error("reload.not_stored", to=to)
            return False
        log.debug("reload.step", to=to)
        return True

    async def step_to_show(self, to: State, **facts: Unpack[Facts]) -> None:
        """Take a step that is shown next; if it can't be stored, make sure that the reload is still ours.

        Otherwise another process might resume from the stored state and show something else. Raises Taken.
        """
        if await self.step(to, **facts):
            return
        holding = asyncio.create_task(self._store.hold(self.reload.id, renew=True), name="hold")
        try:  # a slow database takes the step sooner than it renews a lease
            landing = () if self._landing is None else (self._landing,)
            await asyncio.wait({holding, *landing}, return_when=asyncio.FIRST_COMPLETED)
            if not await self.save():
                await holding
                await self.save()
        finally:
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)

    async def catch_up(self) -> None:
        """Write what is unsaved, however long that takes: a row that stays open would block its model."""
        for attempt in itertools.count():
            if await self.save() or not self._unsaved:
                return
            await asyncio.sleep(retry_pause(attempt))

    async def save(self) -> bool:
        """Write what is unsaved, as far as that is possible now; return True if nothing is left."""
        async with self._writing:  # pings in several channels are marked together
            while self._unsaved:
                if not await self._save_next():
                    return False
            return True

    async def _save_next(self) -> bool:
        to, facts = self._unsaved[0]
        if self._landing is not None and not self._landing.done():
            return False
        try:
            row = await (self._landing or self._store.step(self.reload.id, {self._stored}, to, **facts))
        except StoreSlow as slow:
            self._landing = slow.landing
            return False
        except StoreTrouble:
            if self._landing is None:
                return False
            self._landing = None  # it failed in the end: write it again
            return await self._save_next()
        except IllegalStep:
            row = None
        self._landing = None
        self._unsaved.popleft()
        if row is None:  # the row is gone or has moved on without us, so there is nothing to catch up with
            return False
        self._stored = to
        self.reload = self._with_askers(row) if self._unsaved else row
        return True

    def joined(self, row: Reload) -> None:
        """Take over the askers and pings after somebody joined or was muted.

        Raises StoreTrouble if the ending has been announced and only the disk does not know it yet.
        """
        if self.reload.state not in JOINABLE and not self._ending:
            raise StoreTrouble("the row of an ended reload is not written yet")
        self.reload = self._with_askers(row)
        if self._ending:
            self.reload = replace(self.reload, pings=pings(self.reload))

    def _with_askers(self, row: Reload) -> Reload:
        at_end = self.reload.state in JOINABLE or self._ending  # later its test goes its own way
        test = row.test if at_end else self.reload.test
        return replace(self.reload, askers=row.askers, muted=row.muted, test=test)
