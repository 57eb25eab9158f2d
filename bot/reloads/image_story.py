"""The story of one test image: requested, rendered, fetched, shown, and continued after a restart.

It is requested once, since it costs a generation; its picture is then asked for repeatedly, which is free.
"""

import asyncio
import functools
from dataclasses import replace
from typing import Any

import structlog

from bot.backoff import retry_pause
from bot.discord_api.reply import Reply
from bot.domain.askers import STILL_LOOKING_AGE
from bot.domain.errors import NoKey, NoTestsLeft, PermissionsUnknown, StoreTrouble
from bot.domain.events import OF_IMAGE
from bot.domain.picture import Picture
from bot.domain.reload import ImageTest, Outcome, Reload, State
from bot.keys import ServerKey
from bot.model_api.answer import LONGEST_NAMED_WAIT, Rendering
from bot.reloads.allowance import give_back, reserve
from bot.reloads.life import Life
from bot.reloads.services import SHOW_CALLING_TIMEOUT, Services
from bot.words.buttons import TEST_PROMPT

FETCH_INTERVAL = 8.0
RENDERING_TIMEOUT = 180.0
PERMISSION_TRIES = 3
TOO_LATE_AGE = 600.0
"""Seconds after the countdown's end until which an image requested ahead is still made."""
_NOTHING_SENT = (Outcome.NOT_SENT, Outcome.STORAGE, Outcome.NO_CONNECTION)
"""Outcomes with nothing sent, whatever is stored: "called" is stored before the call."""
_MAY_PASS = (
    Outcome.RENDERING,
    Outcome.NO_USABLE_ANSWER,
    Outcome.NO_CONNECTION,
    Outcome.NO_PLACE,
    Outcome.VENDOR_TROUBLE,
    Outcome.SLOW_DOWN,
)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class ImageTestStory:
    """One test image's story; its test is stored, as running, before it begins.

    `reply` is that of the reload's own story if the test follows it: it knows which routes are open, and how
    old the tokens are, whatever the clock was set to in the meantime.
    """

    def __init__(self, services: Services, reload: Reload, reply: Reply | None = None) -> None:
        self._services = services
        self.life = Life(services.store, reload)
        self._reply = reply or services.replies.of(reload)

    @property
    def test(self) -> ImageTest:
        """Its current state."""
        if self.life.reload.test is None:
            raise ValueError("a reload without a test image")
        return self.life.reload.test

    def is_calling(self) -> bool:
        """Whether the call that costs is out, so that a stop would lose its result."""
        test = self.test
        return test.called and test.outcome is None and not (test.job or test.picture)

    async def begin(self, prompt: str) -> None:
        """Request the picture, once; then wait for it and show it."""
        reload = self.life.reload
        await self._reply.show(reload, self._services.now(), SHOW_CALLING_TIMEOUT)
        answer = await self._ask(prompt)
        log.info("image_test.answer", outcome=answer.outcome)
        self._services.heard(reload.server, answer.outcome, OF_IMAGE)
        if answer.outcome is Outcome.RENDERING:
            await self._note(job=answer.job)
            answer = await self._wait_for(answer)
        await self._finish(answer)

    async def _ask(self, prompt: str) -> Rendering:
        """Request the picture when our turn comes; NO_PLACE, KEY_GONE or STORAGE: nothing was sent."""
        reload = self.life.reload
        try:
            async with self._services.hosts.places.turn(reload.server):
                key = await self._services.keys.open(reload.server)
                if not await self._note(called=True):
                    return Rendering(Outcome.STORAGE)
                return await key.api.render(key.secret, reload.model, prompt, self.life.hold)
        except TimeoutError:
            return Rendering(Outcome.NO_PLACE)
        except NoKey:
            return Rendering(Outcome.KEY_GONE)
        except StoreTrouble:
            return Rendering(Outcome.STORAGE)

    async def _begin_ahead(self) -> None:
        """Make what was requested during the countdown, if that is still allowed."""
        reload, by = self.life.reload, self.test.by
        if self._services.now() - (reload.deadline or 0.0) > TOO_LATE_AGE:
            await self.end(Outcome.TOO_LATE)
            return
        for attempt in range(PERMISSION_TRIES):
            try:
                may = await self._services.permissions.may_still(reload.server, by.user, by.channel, "reload")
                break
            except PermissionsUnknown:
                may = False
                await asyncio.sleep(retry_pause(attempt))
        if not may:
            await self.end(Outcome.NOT_ALLOWED)
            return
        try:
            await reserve(self._services.store, reload, self.test)
        except NoTestsLeft:  # the place was reserved, but moderators now allow fewer
            await self.end(Outcome.NO_TESTS_LEFT)
        except StoreTrouble:
            await self.end(Outcome.STORAGE)
        else:
            await self.begin(TEST_PROMPT)

    async def resume(self) -> None:
        """Resume where the last process stopped, or where the countdown has ended."""
        test = self.test
        if test.outcome is Outcome.RENDERED:  # it is in the reply
            await self._tell(test)
        elif test.outcome is not None:
            await self.end(test.outcome, test.said)
        elif test.picture:
            await self._finish(Rendering(Outcome.RENDERED, picture=test.picture))
        elif test.job:
            await self._finish(await self._wait_for(Rendering(Outcome.RENDERING, job=test.job)))
        elif test.ahead and not test.called:
            await self._begin_ahead()
        else:
            await self.end(Outcome.INTERRUPTED if test.called else Outcome.NOT_SENT)

    async def _wait_for(self, answer: Rendering) -> Rendering:
        loop, job = asyncio.get_running_loop(), answer.job
        until = loop.time() + RENDERING_TIMEOUT
        while answer.outcome in _MAY_PASS:
            if loop.time() >= until:
                return Rendering(Outcome.TOOK_TOO_LONG)
            await asyncio.sleep(min(answer.wait or FETCH_INTERVAL, LONGEST_NAMED_WAIT))
            try:
                key = await self._services.keys.open(self.life.reload.server)
            except NoKey:
                return Rendering(Outcome.KEY_GONE)
            except StoreTrouble as error:  # the picture can wait
                log.warning("image_test.no_key", error=str(error))
                continue
            answer = await self._look(key, job)
            answer = replace(answer, wait=max(answer.wait, FETCH_INTERVAL))
        if answer.outcome is Outcome.UNKNOWN_MODEL:  # it is the picture that it can't find
            return Rendering(Outcome.NO_USABLE_ANSWER)
        return answer

    async def _look(self, key: ServerKey, job: str) -> Rendering:
        try:
            async with self._services.hosts.places.turn(self.life.reload.server):
                return await key.api.rendered(key.secret, self.life.reload.model, job)
        except TimeoutError:
            return Rendering(Outcome.NO_PLACE)

    async def _finish(self, answer: Rendering) -> None:
        if answer.outcome is not Outcome.RENDERED:
            await self.end(answer.outcome, answer.said)
            return
        if answer.picture != self.test.picture:
            await self._note(picture=answer.picture)
        hosts = self._services.hosts
        turn = functools.partial(hosts.places.turn, self.life.reload.server)
        picture = await hosts.current.picture(answer.picture, turn)
        if picture is None or not await self._show(picture):
            await self.end(Outcome.NO_PICTURE)

    async def _show(self, picture: Picture) -> bool:
        """Show it, then store that it was rendered: after a crash in between it is fetched once more."""
        done = replace(self.test, outcome=Outcome.RENDERED)
        if not await self._reply.show_test(replace(self.life.reload, test=done), picture):
            log.warning("image_test.not_shown")
            return False
        await self._tell(done)
        return True

    async def _tell(self, test: ImageTest, *, is_shown: bool = True) -> None:
        """Ping the person who requested it, unless they saw it arrive; then store that they know."""
        waited = self._services.now() - test.at
        saw_it = is_shown and 0 <= waited <= STILL_LOOKING_AGE  # below 0: the clock was set back
        if test.ahead or not saw_it:
            if test != self.test:
                await self._note(outcome=test.outcome)
            if not await self._reply.ping_test(replace(self.life.reload, test=test)):
                log.warning("image_test.not_pinged")
        await self._note(outcome=test.outcome, shown=True)
        log.info("image_test.ended", outcome=test.outcome)
        await self.life.catch_up()

    async def end(self, why: Outcome, said: str = "") -> None:
        """Store that there is no picture, and why; then show that."""
        if self.test.outcome is None:
            await self.life.step_to_show(State.ENDED, test=replace(self.test, outcome=why, said=said))
        await asyncio.gather(self._show_end(), self._give_back(why))

    async def _show_end(self) -> None:
        is_shown = await self._reply.show_test(self.life.reload)
        await self._tell(self.test, is_shown=is_shown)

    async def _give_back(self, why: Outcome) -> None:
        if why in _NOTHING_SENT or not self.test.called:
            await give_back(self._services.store, self.life.reload, self.test)

    async def _note(self, **changes: Any) -> bool:
        return await self.life.step(State.ENDED, test=replace(self.test, **changes))
