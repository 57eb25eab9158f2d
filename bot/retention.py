"""Deletes by age: ended reloads after HISTORY_DAYS, and what tells where they were asked for after a day."""

import asyncio
from collections.abc import Callable
from typing import NoReturn

import structlog

from bot.errors import StoreTrouble
from bot.store.base import Store

FADE_SECONDS = 86400.0
"""So long after its end a reload keeps Discord's tokens, channel and message ids."""
FIRST_SECONDS = 60.0
EVERY_SECONDS = 3600.0
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
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            try:
                if expired := await self._expire():
                    log.info("reloads.expired", count=expired)
            except StoreTrouble as error:
                log.warning("reloads.not_expired", error=type(error).__name__)
            await asyncio.sleep(EVERY_SECONDS)

    async def _expire(self) -> int:
        expired, now = 0, self._now()
        while done := await self._store.expire(now - self._keep_seconds, now - FADE_SECONDS):
            expired += done
        return expired
