"""The story of one reload, top to bottom: start, call, count, announce; and its continuation after a restart.

It holds plain data, never an Interaction, and waits only by sleeping, so that a live and a resumed reload
take the same path. It is cancelled, never signalled.
"""

import asyncio
import itertools
from contextlib import suppress
from typing import Unpack

import structlog

from bot.backoff import retry_pause
from bot.discord_api.calls import EDIT_TIMEOUT
from bot.discord_api.responses import NeverAcknowledged
from bot.domain.errors import StoreTrouble
from bot.domain.reload import (
    FADE_AGE,
    LATE_AGE,
    NAMED_WAITS,
    SPAM_FILTER_AGE,
    Outcome,
    Reload,
    State,
    time_left,
)
from bot.domain.steps import Facts, IllegalStep
from bot.logs import new_ref
from bot.model_api.answer import LONGEST_NAMED_WAIT, Answer
from bot.reloads.calling import UNCALLED, Calling
from bot.reloads.countdown import NEAR_SECONDS, QUIET_SECONDS, RELOAD_COSTS, WAIT_COSTS
from bot.reloads.life import Life
from bot.reloads.retries import Retries
from bot.reloads.services import Services

SPAM_FILTER_LOOK = 20
"""How many of a model's newest reloads are looked at: those that never called don't count."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Story:
    """One reload's story; `life` holds its state."""

    def __init__(self, services: Services, reload: Reload) -> None:
        self._services = services
        self.life = Life(services.store, reload)
        self.reply = services.replies.of(reload)
        self._calling = Calling(services, self.life, self.reply)

    async def last_words(self, ref: str) -> None:
        """Send one plain message to those who asked, after announcing itself has failed."""
        await self.reply.last_words(self.life.reload, ref)

    async def begin(self, message: int | None) -> None:
        """Continue after the first response; None: find out which message it is, if it arrived at all."""
        if message is None:
            try:
                message = await self._services.responses.find_message(self.life.reload)
            except NeverAcknowledged:
                await self.withdraw()
                return
        if message is None:
            await self.end(Outcome.NOT_SENT)
            return
        wait_until = await self._spam_filter_ends(self.life.reload)
        if wait_until is not None:
            await self.life.step(State.ASKED, message=message, not_before=wait_until)
        await self._call(message)

    async def _call(self, message: int | None) -> None:
        """Wait for our turn, call, and call again if the API names a wait; then count, or end."""
        while True:
            if self.life.reload.not_before is not None and not self._services.is_stopping():
                await self._show_until(self.life.reload.not_before, LONGEST_NAMED_WAIT, WAIT_COSTS)
            called_before = self.life.reload.called_at
            answer = await self._calling.call(message)
            if answer is None:
                return
            self._services.heard(self.life.reload.server, answer.outcome, "")
            if not (answer.named and self.life.reload.waits < NAMED_WAITS):
                break
            again = self._services.now() + (answer.wait or 0)
            await self.life.step(State.ASKED, not_before=again, waits=self.life.reload.waits + 1)
        if answer.outcome is Outcome.ACCEPTED:
            await self.life.step(State.COUNTING, deadline=self._services.now() + self.life.reload.seconds)
            await self._calling.confirm()
            await self._count()
        elif answer.outcome in UNCALLED:
            await self._end_uncalled(answer.outcome, message=message, called_at=called_before)
        else:
            await self._end_refused(answer, called_before)

    async def _end_uncalled(self, why: Outcome, **facts: Unpack[Facts]) -> None:
        if why is Outcome.STORAGE:
            facts["ref"] = new_ref()
            log.error("reload.not_called", ref=facts["ref"], why="storage")
        await self.end(why, **facts)

    async def _count(self) -> None:
        if self._services.is_stopping():
            return
        loop, now = asyncio.get_running_loop(), self._services.now
        deadline, ahead = self.life.reload.deadline or 0.0, now() - loop.time()
        late = deadline < now()
        await self._show_until(deadline, self.life.reload.seconds, RELOAD_COSTS)
        jump = now() - loop.time() - ahead
        if abs(jump) > LATE_AGE:  # the clock was set in the meantime: by its new time, this isn't late
            deadline += jump
        await self.end(Outcome.ACCEPTED, late=late, deadline=min(deadline, now()))

    async def _show_until(self, moment: float, longest: float, costs: int) -> None:
        """Show the reply, and again every few seconds, until a moment in wall-clock seconds.

        The wall clock is read once; from then on the loop's clock counts, as the other may jump. It may have
        been set back since the moment was fixed, so `longest` limits the wait, in seconds.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + min(longest, time_left(moment, self._services.now()))
        due = loop.time() if ends - loop.time() > QUIET_SECONDS else None
        countdown = self._services.countdowns.begin(costs)
        places = (
            self._services.first_edits
        )  # their own edits: "thinking" need not wait in line with a slow crowd
        try:
            while due is not None:
                await asyncio.sleep(due - loop.time())
                if ends - loop.time() <= QUIET_SECONDS:  # the machine slept
                    break
                await self._show_in_turn(places, moment, ends)
                places = self._services.ticks
                if ends - loop.time() > QUIET_SECONDS:  # a restart resumes where the store says
                    await self.life.save()
                due = countdown.next_edit(ends - loop.time(), loop.time())
            await asyncio.sleep(max(0.0, ends - loop.time()))
        finally:
            countdown.end()

    async def _show_in_turn(self, places: asyncio.Semaphore, moment: float, ends: float) -> None:
        """Show the countdown, unless so many edits hang that its turn would come too late."""
        loop = asyncio.get_running_loop()
        latest = max(ends - NEAR_SECONDS, loop.time() + EDIT_TIMEOUT)  # near its end it has its own turns
        try:
            async with asyncio.timeout_at(min(ends - QUIET_SECONDS, latest)):
                await places.acquire()
        except TimeoutError:
            return
        try:
            left = ends - loop.time()
            await self.reply.show(self.life.reload, moment - left, min(EDIT_TIMEOUT, left))
        finally:
            places.release()

    async def _end_refused(self, answer: Answer, called_before: float | None) -> None:
        again = None if answer.wait is None else self._services.now() + answer.wait
        nothing_sent = answer.outcome is Outcome.NO_CONNECTION
        called_at = called_before if nothing_sent else self.life.reload.called_at
        await self.end(answer.outcome, said=answer.said, again_at=again, called_at=called_at)

    async def end(self, why: Outcome, **facts: Unpack[Facts]) -> None:
        """Store the ending, show it, ping."""
        facts["outcome"], facts["ended_at"] = why, self._services.now()
        await self.life.step_to_show(State.ANNOUNCING, **facts)
        await self._tell()

    async def _tell(self) -> None:
        told = {user for ping in self.life.reload.pings for user in ping.users}
        age = min(max(0.0, self._services.now() - (self.life.reload.ended_at or 0.0)), FADE_AGE)
        ended_at = asyncio.get_running_loop().time() - age
        channels = frozenset(asker.channel for asker in self.life.reload.askers)
        with self._services.untold.watching(self.life.reload.server, channels) as changed:
            retries = Retries(self.life.reload.refused)
            await asyncio.sleep(retries.rest(age))
            is_told = await self.reply.tell(self.life.reload, self._sent)
            await self.life.catch_up()  # until then people may join through another process
            if not await self.reply.tell_late(self.life.reload, told):
                log.error("reload.not_told", late=True)
            is_told = is_told or await self._tell_again(changed, ended_at, retries)
        if is_told:
            self._services.metrics.ended.labels(self.life.reload.ending).inc()
            log.info("reload.ended", ending=self.life.reload.ending)
            await self.life.step(State.ENDED)
            await self.life.catch_up()
        elif self.life.reload.test is not None:  # nothing is tested any more, and its tokens fade
            await self.life.step(State.ANNOUNCING, test=None)
            await self.life.catch_up()

    async def _tell_again(self, changed: asyncio.Event, ended_at: float, retries: Retries) -> bool:
        """Retry, for a day, an ending that could not be shown; return False once that is over.

        `ended_at` is by the loop's clock.
        """
        loop, is_told = asyncio.get_running_loop(), False

        def age() -> float:
            return round(loop.time() - ended_at, 3)  # a timer may go off a rounding early

        while not is_told:
            retries.tried(self.reply.refused)
            await self.life.step(State.ANNOUNCING, refused=self.reply.refused)
            if (pause := retries.pause(age())) is None:
                log.error("reload.given_up")
                return False
            log.error("reload.not_told", refused=self.reply.refused, again_in=round(sum(pause)))
            await asyncio.sleep(pause.rest)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause.wait):
                    await changed.wait()
            changed.clear()
            if age() < FADE_AGE:
                is_told = await self.reply.tell(self.life.reload, self._sent)
        return True

    async def _sent(self, number: int) -> None:
        await self.life.step(State.ANNOUNCING, pinged=(*self.life.reload.pinged, number))

    async def resume(self, pause: float = 0.0) -> None:
        """Resume where the last process stopped, after a pause in seconds."""
        await asyncio.sleep(pause)
        reload = self.life.reload
        match reload.state:
            case State.ASKED if reload.message is None:
                await self._find_out()
            case State.ASKED:
                await self._call(reload.message)
            case State.CALLING:
                await self.end(Outcome.INTERRUPTED)
            case State.COUNTING:
                await self._count()
            case _:
                await self._tell()

    async def _find_out(self) -> None:
        """Find the reply, if there is one, and end it there: nothing was sent to the API."""
        try:
            message = await self._services.responses.find_message(self.life.reload)
        except NeverAcknowledged:
            await self.withdraw()
            return
        await self.end(Outcome.NOT_SENT, message=message)

    async def withdraw(self) -> None:
        """Drop a reload that nobody was shown; if somebody joined it, end it visibly instead."""
        for attempt in itertools.count():
            try:
                await self._services.store.step(self.life.reload.id, {State.ASKED}, State.REMOVED)
            except IllegalStep:  # somebody joined and was promised an ending
                await self.end(Outcome.NOT_SENT)
            except StoreTrouble as error:
                log.error("reload.not_withdrawn", error=str(error))  # noqa: TRY400
                await asyncio.sleep(retry_pause(attempt))
                continue
            return

    async def _spam_filter_ends(self, reload: Reload) -> float | None:
        try:
            past = await self._services.store.history(reload.server, reload.model, SPAM_FILTER_LOOK)
        except StoreTrouble:  # if it lasts, nothing will be sent
            return None
        calls = [known.called_at for known in past if known.called_at is not None]
        now = self._services.now()
        ends = min(max(calls, default=0.0), now) + SPAM_FILTER_AGE  # the clock may have been set back
        return ends if ends > now else None
