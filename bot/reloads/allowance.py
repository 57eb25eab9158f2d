"""The calls for test images that a member may have made in 24 hours, reserved before they go out."""

import asyncio
import itertools
from contextlib import suppress
from typing import Any

import structlog

from bot.backoff import retry_pause
from bot.domain.allowance import call_name, check_allowance
from bot.domain.errors import NoTestsLeft, StoreTrouble
from bot.domain.reload import ImageTest, Reload
from bot.domain.rows import PaidCall
from bot.store.base import Store

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def look(store: Store, server: int, by: int, now: float) -> None:
    """Raise NoTestsLeft if a member may have no test image made now; StoreTrouble."""
    chosen = await store.settings(server)
    check_allowance(await store.paid_calls(server), by, now, chosen.tests_per_day)


async def reserve(store: Store, reload: Reload, test: ImageTest) -> bool:
    """Store that the call for a test image may go out; return False if this very call was stored before.

    Raises NoTestsLeft, also if moderators now allow fewer; StoreTrouble.
    """
    chosen, call = await store.settings(reload.server), PaidCall(test.by.user, test.at)
    return await store.reserve_call(reload.server, call_name(reload, test), call, chosen.tests_per_day)


async def give_back(
    store: Store, reload: Reload, test: ImageTest, landing: asyncio.Future[Any] | None = None
) -> None:
    """Withdraw that a call may have gone out, retrying until it works; `landing`: the late write, if any."""
    if landing is not None:
        with suppress(StoreTrouble, NoTestsLeft):
            await landing
    for attempt in itertools.count():
        try:
            await store.give_back_call(reload.server, call_name(reload, test))
        except StoreTrouble as error:
            log.error("image_test.not_given_back", error=str(error))  # noqa: TRY400  # no news in a traceback
            await asyncio.sleep(retry_pause(attempt))
        else:
            return
