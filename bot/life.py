"""One reload while it lives: in memory, and in the store, which may be slow or failing."""

from collections import deque
from dataclasses import replace
from typing import Unpack

import structlog

from bot.errors import StoreSlow, StoreTrouble
from bot.reload import Facts, IllegalStep, Reload, State, step
from bot.store.base import Store

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Life:
    """Holds a reload, and takes its steps in memory first, then in the store.

    Steps that the store could not write are written, in their order, before the next one: memory may run
    ahead of a failing disk, and a disk that recovers is soon right again.
    """

    def __init__(self, store: Store, reload: Reload) -> None:
        self._store = store
        self._unsaved: deque[tuple[State, Facts]] = deque()
        self._stored = {reload.state}
        """The states that the row may be in: more than one where a slow write may have landed or not."""
        self.reload = reload

    async def step(self, to: State, **facts: Unpack[Facts]) -> bool:
        """Take a step; True once it is stored, False where only memory has it. Raises IllegalStep."""
        self.reload = step(self.reload, to, **facts)
        self._unsaved.append((to, facts))
        while self._unsaved:
            if not await self._save(*self._unsaved[0]):
                log.error("reload.not_stored", reload=self.reload.id, to=to)
                return False
        log.info("reload.step", reload=self.reload.id, to=to)
        return True

    async def _save(self, to: State, facts: Facts) -> bool:
        try:
            row = await self._store.step(self.reload.id, self._stored, to, **facts)
        except StoreSlow:
            self._unsaved.popleft()
            self._stored.add(to)
            return False
        except StoreTrouble:
            return False
        except IllegalStep:
            row = None
        self._unsaved.popleft()
        self._stored = {to}
        if row is None:
            return False  # the row is gone or has moved on: nothing to catch up with
        self.joined(row)
        if not self._unsaved:
            self.reload = row
        return True

    def joined(self, row: Reload) -> None:
        """Somebody joined: take over who asked."""
        self.reload = replace(self.reload, askers=row.askers)
