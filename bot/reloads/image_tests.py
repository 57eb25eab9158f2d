"""All test images that this process makes: one at a time per reload, and as many together as reloads."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from bot.discord_api.reply import Reply
from bot.domain.askers import OPEN_PER_MEMBER, OPEN_PER_SERVER
from bot.domain.errors import NoTestNow, StoreSlow, StoreTrouble, Taken, TooManyOpen
from bot.domain.reload import ImageTest, Outcome, Reload, State
from bot.domain.steps import IllegalStep
from bot.reloads import allowance
from bot.reloads.image_story import ImageTestStory
from bot.reloads.services import Services
from bot.reloads.tasks import ReloadTasks, is_defect


class ImageTests:
    """Starts test images, and keeps their stories."""

    def __init__(self, services: Services, tasks: ReloadTasks) -> None:
        self._services = services
        self._tasks = tasks
        self._stories: dict[int, ImageTestStory] = {}
        self._testing: dict[int, tuple[int, int]] = {}
        """Server and member of each test image in progress, by reload."""

    async def begin(self, reload: Reload, test: ImageTest, message: int, locale: str) -> Reload:
        """Store a test image that is to be made, so that there is no second one; its call counts from now on.

        Raises NoTestNow, NoTestsLeft, TooManyOpen, TooManyCalls, Restarting, StoreTrouble.
        """
        self._services.check_taking_on()
        self._check_limits(reload, test)
        counted_at = self._services.member_calls.count(reload.server, test.by.user)
        self._testing[reload.id] = (reload.server, test.by.user)
        stored = None
        try:
            if not await self._reserve(reload, test):
                raise NoTestNow("running")
            stored = await self._store(reload, test, message, locale)
        finally:
            if stored is None:
                del self._testing[reload.id]
                self._services.member_calls.uncount(reload.server, test.by.user, counted_at)
        return stored

    async def _reserve(self, reload: Reload, test: ImageTest) -> bool:
        try:
            return await allowance.reserve(self._services.store, reload, test)
        except StoreTrouble as error:
            self._give_back(reload, test, error.landing if isinstance(error, StoreSlow) else None)
            raise

    async def _store(self, reload: Reload, test: ImageTest, message: int, locale: str) -> Reload:
        stored = None
        try:
            stored = await self._services.store.step(
                reload.id, {State.ENDED}, State.ENDED, test=test, message=message, locale=locale
            )
        except (IllegalStep, Taken):
            pass
        except StoreSlow as slow:
            self._tasks.keep(reload, self._take_back(reload, test, slow.landing), "take-back")
            raise
        except StoreTrouble:
            self._give_back(reload, test)
            raise
        if stored is None:
            self._give_back(reload, test)
            raise NoTestNow("running")
        return stored

    async def ahead(self, reload: Reload, user: int, test: ImageTest | None) -> Reload | None:
        """Keep somebody's test image for the end of a countdown; its call counts from now on.

        `test` is None: take theirs back. Returns None if the countdown is over. Raises NoTestNow,
        NoTestsLeft, StoreTrouble.
        """
        store, stored = self._services.store, None
        if test is None:
            return await store.test_ahead(reload.id, user, None)
        is_new, late = await self._reserve(reload, test), None
        try:
            stored = await store.test_ahead(reload.id, user, test)
        except StoreSlow as slow:
            late = slow.landing
            raise
        finally:
            if stored is None and is_new:
                self._tasks.keep(reload, self._give_back_unless(late, reload, test), "give-back")
        return stored

    async def _give_back_unless(
        self, late: asyncio.Future[Reload | None] | None, reload: Reload, test: ImageTest
    ) -> None:
        """Give a place back, unless the late write lands after all: then the image is made, and counts."""
        if await _landed(late) is None:
            await allowance.give_back(self._services.store, reload, test)

    def _give_back(self, reload: Reload, test: ImageTest, landing: asyncio.Future[Any] | None = None) -> None:
        giving = allowance.give_back(self._services.store, reload, test, landing)
        self._tasks.keep(reload, giving, "give-back")

    def _check_limits(self, reload: Reload, test: ImageTest) -> None:
        """Allow as many test images together as reloads, and one per reload."""
        if reload.id in self._testing:
            raise NoTestNow("running")
        places = list(self._testing.values())
        if sum(server == reload.server for server, _ in places) >= OPEN_PER_SERVER:
            raise TooManyOpen("server", OPEN_PER_SERVER, None)
        if places.count((reload.server, test.by.user)) >= OPEN_PER_MEMBER:
            raise TooManyOpen("member", OPEN_PER_MEMBER, None)

    async def check_allowance(self, server: int, by: int) -> None:
        """Raise NoTestsLeft if a member may have no test image made now; StoreTrouble."""
        await allowance.look(self._services.store, server, by, self._services.now())

    def start(self, reload: Reload, prompt: str) -> None:
        """Make the test image that was begun."""
        self._spawn(reload, lambda story: story.begin(prompt))

    def drop(self, reload: Reload, why: Outcome) -> None:
        """End a test image that was begun, but for which nothing was sent."""
        self._spawn(reload, lambda story: story.end(why))

    def resume(self, reload: Reload, reply: Reply | None = None) -> None:
        """Resume a test image where the last process stopped, or where its countdown has ended."""
        self._spawn(reload, ImageTestStory.resume, reply)

    def is_calling(self, reload: Reload) -> bool | None:
        """Return whether the call that costs is out; None if no test image of this reload is in progress."""
        story = self._stories.get(reload.id)
        return story.is_calling() if story is not None else None

    async def _take_back(
        self, reload: Reload, test: ImageTest, landing: asyncio.Future[Reload | None]
    ) -> None:
        if (landed := await _landed(landing)) is not None:
            self.drop(landed, Outcome.STORAGE)
        else:
            await allowance.give_back(self._services.store, reload, test)

    def _spawn(
        self,
        reload: Reload,
        tell: Callable[[ImageTestStory], Coroutine[Any, Any, None]],
        reply: Reply | None = None,
    ) -> None:
        story = self._stories[reload.id] = ImageTestStory(self._services, reload, reply)
        self._testing[reload.id] = (reload.server, story.test.by.user)
        task = self._tasks.keep(reload, tell(story), "image-test")
        if task is not None:
            task.add_done_callback(lambda task: self._after(task, story))

    def _after(self, task: asyncio.Task[None], story: ImageTestStory) -> None:
        """Log a bug of ours, and leave nobody waiting for a picture."""
        reload = story.life.reload
        if self._stories.get(reload.id) is story:  # the disk may be behind, and the next one started
            del self._stories[reload.id], self._testing[reload.id]
        if is_defect(task) and reload.is_testing:
            self._tasks.keep(
                reload, ImageTestStory(self._services, reload).end(Outcome.INTERRUPTED), "rescue"
            )


async def _landed(late: asyncio.Future[Reload | None] | None) -> Reload | None:
    """Return what a late write has stored; None if it failed, was refused, or there is none."""
    if late is not None:
        with suppress(StoreTrouble, IllegalStep, NoTestNow):
            return await late
    return None
