"""Goes through the store once after a start, while the bot runs: finishes an upgrade, and finds damage."""

import asyncio

import structlog

from bot.domain.errors import StoreTrouble
from bot.store.base import Store

FIRST_DELAY = 5.0
"""Seconds before it starts: a start has better things to do."""
TROUBLE_DELAY = 30.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def look_through(store: Store) -> None:
    """Go from page to page, and let everybody else in between."""
    pause: float | None = FIRST_DELAY
    while pause is not None:
        await asyncio.sleep(pause)
        try:
            pause = await store.inspect()
        except StoreTrouble as error:
            log.warning("store.not_inspected", error=type(error).__name__)
            pause = TROUBLE_DELAY
