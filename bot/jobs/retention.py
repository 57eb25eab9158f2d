"""Deletes old data by age and number.

Ended reloads are deleted after HISTORY_DAYS, and lose their channels and tokens after a day. Beyond
RELOADS_PER_SERVER a server's oldest are deleted sooner.
"""

from collections.abc import Callable
from typing import NoReturn

import structlog

from bot.domain.reload import FADE_AGE, WARM_AGE
from bot.jobs.periodically import periodically
from bot.store.base import Store

FIRST_DELAY = 60.0
EXPIRE_INTERVAL = 3600.0
RELOADS_PER_SERVER = 20_000
"""Reloads kept per server, even if HISTORY_DAYS would keep more."""
NEEDED_AGE = 86400.0
"""Seconds for which a reload stays, however many there are."""
USED_AGE = 2 * WARM_AGE
"""Seconds for which the last use of a model says whether it is warm or went cold."""
_DAY = 86400.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Retention:
    """Looks every hour for data that is too old."""

    def __init__(
        self, store: Store, now: Callable[[], float], history_days: int, most: int = RELOADS_PER_SERVER
    ) -> None:
        self._store = store
        self._now = now
        self._keep_seconds = history_days * _DAY
        self._most = most

    async def run(self) -> NoReturn:
        """Delete what is due, forever; if the storage fails, try again an hour later."""
        await periodically(FIRST_DELAY, EXPIRE_INTERVAL, self._expire, "reloads.not_expired")

    async def _expire(self) -> None:
        expired, now = 0, self._now()
        while await self._store.sweep():  # a process ended while it was forgetting a server
            pass
        while await self._store.expire_rows(now):
            pass
        while done := await self._store.expire(now - self._keep_seconds, now - FADE_AGE):
            expired += done
        if expired:
            log.info("reloads.expired", count=expired)
        for server in await self._store.crowded(self._most):
            await self._trim(server)

    async def _trim(self, server: int) -> None:
        trimmed, now = 0, self._now()
        while done := await self._store.trim(server, self._most, now - NEEDED_AGE, now - USED_AGE):
            trimmed += done
        if trimmed:
            log.info("reloads.trimmed", server=server, count=trimmed, kept=self._most)
