"""The story of one test image: asked for, rendered, fetched, shown; and how it goes on after a restart.

Asked for once, as it costs a generation; its picture is then asked for again and again, which costs nothing.
"""

import asyncio
from dataclasses import replace
from typing import Any

import structlog

from bot.answer import Rendering
from bot.errors import NoKey
from bot.life import Life
from bot.picture import Picture
from bot.reload import ImageTest, Outcome, Reload, State
from bot.story import SHOW_CALLING_SECONDS, Storyteller
from bot.trace import clock

FETCH_EVERY = 8.0
FETCH_SECONDS = 180.0
_MAY_PASS = (
    Outcome.RENDERING,
    Outcome.NO_USABLE_ANSWER,
    Outcome.NO_CONNECTION,
    Outcome.VENDOR_TROUBLE,
    Outcome.SLOW_DOWN,
)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class ImageTestStory:
    """One test image's story; its test is stored, as running, before it begins."""

    def __init__(self, by: Storyteller, reload: Reload) -> None:
        self._by = by
        self.life = Life(by.store, reload)
        self._reply = by.delivery.reply(reload)

    @property
    def test(self) -> ImageTest:
        """How it stands."""
        if self.life.reload.test is None:
            raise ValueError("a reload without a test image")
        return self.life.reload.test

    def is_calling(self) -> bool:
        """Whether the call that costs is out, so that a stop would lose what comes of it."""
        return self.test.outcome is None and not (self.test.job or self.test.picture)

    async def begin(self, prompt: str) -> None:
        """Ask for the picture, once; then wait for it and show it."""
        try:
            key = await self._by.keys.open(self.life.reload.server)
        except NoKey:
            await self.end(Outcome.KEY_GONE)
            return
        await self._reply.show(self.life.reload, self._by.now(), SHOW_CALLING_SECONDS)
        answer = await self._by.api.render(key, self.life.reload.model, prompt)
        log.info("image_test.answer", outcome=answer.outcome)
        if answer.outcome is Outcome.RENDERING:
            await self._note(job=answer.job)
            answer = await self._wait_for(answer)
        await self._finish(answer)

    async def resume(self) -> None:
        """Go on where the last process stopped."""
        if self.test.picture:
            await self._finish(Rendering(Outcome.RENDERED, picture=self.test.picture))
        elif self.test.job:
            await self._finish(await self._wait_for(Rendering(Outcome.RENDERING, job=self.test.job)))
        else:
            await self.end(Outcome.INTERRUPTED)

    async def _wait_for(self, answer: Rendering) -> Rendering:
        until, job = clock() + FETCH_SECONDS, answer.job
        while answer.outcome in _MAY_PASS:
            if clock() >= until:
                return Rendering(Outcome.TOOK_TOO_LONG)
            await asyncio.sleep(answer.wait or FETCH_EVERY)
            try:
                key = await self._by.keys.open(self.life.reload.server)
            except NoKey:
                return Rendering(Outcome.KEY_GONE)
            answer = replace(await self._by.api.rendered(key, self.life.reload.model, job), wait=FETCH_EVERY)
        return answer

    async def _finish(self, answer: Rendering) -> None:
        if answer.outcome is not Outcome.RENDERED:
            await self.end(answer.outcome, answer.said)
            return
        await self._note(picture=answer.picture)
        picture = await self._by.api.picture(answer.picture)
        if picture is None:
            await self.end(Outcome.NO_PICTURE)
        else:
            await self.end(Outcome.RENDERED, picture=picture)

    async def end(self, why: Outcome, said: str = "", picture: Picture | None = None) -> None:
        """Show what came of it, then store that: after a crash in between it is shown once more."""
        done = replace(self.life.reload, test=replace(self.test, outcome=why, said=said))
        if not await self._reply.show_test(done, picture) and picture is not None:
            log.warning("image_test.not_shown")
            done = replace(done, test=replace(self.test, outcome=Outcome.NO_PICTURE))
            await self._reply.show_test(done)
        await self._note(outcome=done.test.outcome if done.test else why, said=said)
        log.info("image_test.ended", outcome=self.test.outcome)
        await self.life.catch_up()

    async def _note(self, **changes: Any) -> None:
        await self.life.step(State.ENDED, test=replace(self.test, **changes))
