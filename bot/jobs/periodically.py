"""Runs a job again and again; if the storage fails, it waits for the next turn."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

from bot.domain.errors import StoreTrouble

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def periodically(
    first: float, every: float, work: Callable[[], Awaitable[float | None]], failed: str
) -> NoReturn:
    """Do some work after `first` seconds, then after `every` seconds or as many as the work returns.

    `failed`: the event that is logged when the storage fails.
    """
    await asyncio.sleep(first)
    while True:
        pause = None
        try:
            pause = await work()
        except StoreTrouble as error:
            log.warning(failed, error=type(error).__name__)
        await asyncio.sleep(every if pause is None else pause)
