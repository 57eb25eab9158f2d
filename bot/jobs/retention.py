"""By age: ended reloads after HISTORY_DAYS; after a day where they were asked for, and calls that cost."""

from collections.abc import Callable
from typing import NoReturn

import structlog

from bot.domain.reload import FADE_AGE
from bot.jobs.periodically import periodically
from bot.store.base import Store

FIRST_DELAY = 60.0
EXPIRE_INTERVAL = 3600.0
_DAY = 86400.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Retention:
    """Looks every hour for what is too old."""

    def __init__(self, store: Store, now: Callable[[], float], history_days: int) -> None:
        self._store = store
        self._now = now
        self._keep_seconds = history_days * _DAY

    async def run(self) -> NoReturn:
        """Delete what is due, for ever; with storage in trouble, the next hour's turn is another try."""
        await periodically(FIRST_DELAY, EXPIRE_INTERVAL, self._expire, "reloads.not_expired")

    async def _expire(self) -> None:
        expired, now = 0, self._now()
        while done := await self._store.expire(now - self._keep_seconds, now - FADE_AGE):
            expired += done
        await self._store.expire_rows(now)
        if expired:
            log.info("reloads.expired", count=expired)
