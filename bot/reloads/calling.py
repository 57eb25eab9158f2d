"""One reload's call to the model API: its place among the others, its key, and the key's host."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import structlog

from bot.discord_api.reply import Reply
from bot.domain.errors import NoKey, StoreTrouble
from bot.domain.reload import Outcome, State
from bot.keys import ServerKey
from bot.model_api.answer import Answer
from bot.model_api.places import PLACE_TIMEOUT
from bot.reloads.countdown import EDIT_INTERVAL
from bot.reloads.life import Life
from bot.reloads.services import SHOW_CALLING_TIMEOUT, Services

PLACE_PATIENCE = 1.0
"""Seconds that a call waits for its place before its reply says so."""
UNCALLED = (Outcome.NO_PLACE, Outcome.KEY_GONE, Outcome.STORAGE)
"""Outcomes that mean that there was no call."""
_KEY_IS_TAKEN = (
    Outcome.ACCEPTED,
    Outcome.UNKNOWN_MODEL,
    Outcome.NO_CREDITS,
    Outcome.PLAN_TOO_SMALL,
    Outcome.SLOW_DOWN,
)
_NO_HELP = (Outcome.WRONG_KEY, Outcome.NO_CONNECTION, Outcome.ADDRESS_GONE)
"""Answers of the other host that mean that it did nothing: then the first host's refusal is announced."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Calling:
    """Makes the calls of one reload."""

    def __init__(self, services: Services, life: Life, reply: Reply) -> None:
        self._services = services
        self._life = life
        self._reply = reply
        self._used: ServerKey | None = None
        """The key of the last call."""
        self._has_moved = False
        """Whether the key was refused and then tried at the other host."""

    async def call(self, message: int | None) -> Answer | None:
        """Wait for a place, and call.

        None: a stop came first, and the next start goes on. An outcome in UNCALLED: nothing was sent.
        """
        with self._services.hosts.places.line(self._life.reload.server) as turn:
            has_waited = await self._wait_for(turn, message)
            if self._services.is_stopping():
                return None
            return (
                await self._call(message, has_waited=has_waited) if turn.done() else Answer(Outcome.NO_PLACE)
            )

    async def _wait_for(self, turn: asyncio.Future[None], message: int | None) -> bool:
        """Wait for a place; return True if that took long enough for the reply to say so."""
        if not turn.done():
            await asyncio.wait({turn}, timeout=PLACE_PATIENCE)
        if turn.done() or self._services.is_stopping():
            return False
        loop, is_shown = asyncio.get_running_loop(), False
        ends = loop.time() + PLACE_TIMEOUT - PLACE_PATIENCE
        until = self._services.now() + ends - loop.time()
        await self._life.step(State.ASKED, message=message)
        log.info("reload.waits", why="no place")
        while not turn.done() and loop.time() < ends and not self._services.is_stopping():
            if not is_shown:
                is_shown = await self._show_waiting(until)
            await asyncio.wait({turn}, timeout=min(EDIT_INTERVAL, max(0.0, ends - loop.time())))
        return is_shown

    async def _show_waiting(self, until: float) -> bool:
        """Say so in the reply within a second; waiting longer would hold a place that comes, for nothing."""
        waiting = replace(self._life.reload, outcome=Outcome.NO_PLACE, not_before=until)
        with suppress(TimeoutError):
            async with asyncio.timeout(SHOW_CALLING_TIMEOUT), self._services.ticks:
                return await self._reply.show(waiting, self._services.now(), SHOW_CALLING_TIMEOUT)
        return False

    async def _call(self, message: int | None, *, has_waited: bool) -> Answer | None:
        """Store the call, then make it."""
        try:
            key = await self._services.keys.open(self._life.reload.server)
        except (NoKey, StoreTrouble) as error:
            return Answer(Outcome.KEY_GONE if isinstance(error, NoKey) else Outcome.STORAGE)
        called_before = self._life.reload.called_at
        if not await self._life.step(State.CALLING, message=message, called_at=self._services.now()):
            return Answer(Outcome.STORAGE)
        if has_waited or self._life.reload.not_before is not None:  # remove "starts in 5 s"
            await self._reply.show(self._life.reload, self._services.now(), SHOW_CALLING_TIMEOUT)
        if self._services.is_stopping():  # the stop has begun in the meantime
            await self._life.step(State.ASKED, called_at=called_before)
            return None
        return await self._ask(key)

    async def _ask(self, key: ServerKey) -> Answer:
        """Call; if the key is refused explicitly, which had no effect, call once more at the other host."""
        answer = await self._reload(key)
        is_refused = answer.outcome is Outcome.WRONG_KEY and answer.in_words
        if is_refused and not self._has_moved and not self._services.is_stopping():
            self._has_moved = True
            answer = await self._ask_elsewhere(key) or answer
        return answer

    async def _ask_elsewhere(self, key: ServerKey) -> Answer | None:
        """Remember the other host, store the second call, and make it; None: the first answer stands."""
        server, keys = self._life.reload.server, self._services.keys
        answer = None
        try:
            moved = await keys.move(server, key)
            if moved is None:
                return None
            if await self._life.step(State.CALLING, called_at=self._services.now()):
                answer = await self._reload(moved)
            if answer is None or answer.outcome not in _KEY_IS_TAKEN:
                await keys.move_back(server, key, moved)
        except StoreTrouble as error:
            log.warning("key.not_moved", error=str(error))
        return None if answer is None or answer.outcome in _NO_HELP else answer

    async def _reload(self, key: ServerKey) -> Answer:
        self._used = key
        answer = await key.api.reload(key.secret, self._life.reload.model, self._life.hold)
        log.info("reload.answer", outcome=answer.outcome, wait=answer.wait, version=key.api.version)
        return answer

    async def confirm(self) -> None:
        """Remember that the API has accepted the key."""
        try:
            if self._used is not None:
                await self._services.keys.confirm(self._life.reload.server, self._used)
        except StoreTrouble as error:
            log.warning("key.not_confirmed", error=str(error))
