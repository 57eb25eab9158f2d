"""Runs all reloads of this process: takes them on, keeps their tasks, resumes and stops them."""

import asyncio
import contextvars
import functools
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import structlog

from bot.errors import (
    AlreadyEnded,
    NoTestNow,
    Refusal,
    Restarting,
    StoreSlow,
    StoreTrouble,
    Taken,
    TooManyOpen,
)
from bot.image_test import ImageTestStory
from bot.reload import (
    JOINABLE,
    OPEN_PER_MEMBER,
    OPEN_PER_SERVER,
    Asker,
    IllegalStep,
    ImageTest,
    Outcome,
    Reload,
    State,
)
from bot.story import Story, Storyteller, new_ref

FIRST_ANSWER_SECONDS = 1.0
"""The store's share of Discord's 3 s."""
RESUME_SPREAD_SECONDS = 4.0
NEWS_SECONDS = 0.5
TAKE_OVER_SPREAD_SECONDS = 1.0
STOP_SECONDS = 6.0
"""How long a stop waits for calls that are out: a cancelled one would end as unknown."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Runner:
    """All reloads of this process, one task each."""

    def __init__(self, by: Storyteller, seconds: float) -> None:
        self._by = by
        self.seconds = seconds
        by.metrics.open.set_function(lambda: len(self._stories))
        self._stories: dict[int, Story] = {}
        self._tests: dict[int, ImageTestStory] = {}
        self._testing: dict[int, tuple[int, int]] = {}
        """Server and member of each test image that is being made, by reload."""
        self._tasks: dict[asyncio.Task[None], Reload] = {}
        self._starting: dict[int, Reload] = {}
        """Asked and not yet started: their first answer is on its way."""

    async def ask(self, new: Reload) -> Reload | None:
        """Store a reload, or join the one that runs: then the answer has another id.

        None: this interaction was delivered before. Raises NoKey, TooManyOpen, Restarting, StoreTrouble.
        """
        if self._by.is_stopping():
            raise Restarting
        first = new.id not in self._starting  # the same event may come twice
        stays = False
        self._starting.setdefault(new.id, new)
        try:
            stored = await self._by.store.ask(new, FIRST_ANSWER_SECONDS)
            stays = stored is not None and stored.id == new.id
        except StoreSlow as slow:
            stays = True
            self._keep(new, self._take_back(new, slow.landing), "take-back")
            raise
        finally:
            if first and not stays:
                del self._starting[new.id]
        if stored is not None and stored.id != new.id:
            self._join(stored)
        return stored

    async def notify(self, id_: int, asker: Asker, *, wanted: bool) -> Reload:
        """Have somebody pinged at the end of a reload, or not.

        Raises AlreadyEnded, Restarting, StoreTrouble.
        """
        if self._by.is_stopping():
            raise Restarting
        stored = await self._by.store.notify(id_, asker, wanted=wanted)
        if stored is None:
            raise AlreadyEnded
        self._join(stored)
        return stored

    async def begin_test(self, reload: Reload, test: ImageTest, message: int, locale: str) -> Reload:
        """Store a test image that is to be made, so that there is no second one.

        Raises NoTestNow, TooManyOpen, Restarting, StoreTrouble.
        """
        if self._by.is_stopping():
            raise Restarting
        self._check_tests(reload, test)
        self._testing[reload.id] = (reload.server, test.by.user)
        stored = None
        try:
            stored = await self._by.store.step(
                reload.id, {State.ENDED}, State.ENDED, test=test, message=message, locale=locale
            )
        except (IllegalStep, Taken):
            pass
        except StoreSlow as slow:
            self._keep(reload, self._take_back_test(slow.landing), "take-back")
            raise
        finally:
            if stored is None:
                del self._testing[reload.id]
        if stored is None:
            raise NoTestNow("running")
        return stored

    def _check_tests(self, reload: Reload, test: ImageTest) -> None:
        """As many test images at once as reloads, and of a reload one."""
        if reload.id in self._testing:
            raise NoTestNow("running")
        places = list(self._testing.values())
        if sum(server == reload.server for server, _ in places) >= OPEN_PER_SERVER:
            raise TooManyOpen("server", OPEN_PER_SERVER, None)
        if places.count((reload.server, test.by.user)) >= OPEN_PER_MEMBER:
            raise TooManyOpen("member", OPEN_PER_MEMBER, None)

    def start_test(self, reload: Reload, prompt: str) -> None:
        """Make the test image that was begun."""
        self._spawn_test(reload, lambda story: story.begin(prompt))

    def drop_test(self, reload: Reload, why: Outcome) -> None:
        """End a test image that was begun, and for which nothing was sent."""
        self._spawn_test(reload, lambda story: story.end(why))

    async def _take_back_test(self, landing: asyncio.Future[Reload | None]) -> None:
        with suppress(StoreTrouble, IllegalStep):
            if (landed := await landing) is not None:
                self.drop_test(landed, Outcome.STORAGE)

    def _spawn_test(
        self, reload: Reload, tell: Callable[[ImageTestStory], Coroutine[Any, Any, None]]
    ) -> None:
        story = self._tests[reload.id] = ImageTestStory(self._by, reload)
        self._testing[reload.id] = (reload.server, story.test.by.user)
        task = self._keep(reload, tell(story), "image-test")
        if task is not None:
            task.add_done_callback(lambda task: self._after_test(task, story))

    def _after_test(self, task: asyncio.Task[None], story: ImageTestStory) -> None:
        """A defect of ours must not leave anybody waiting for a picture."""
        reload = story.life.reload
        if self._tests.get(reload.id) is story:  # the disk may be behind, and the next one begun
            del self._tests[reload.id], self._testing[reload.id]
        if _is_defect(task) and reload.is_testing:
            self._keep(reload, ImageTestStory(self._by, reload).end(Outcome.INTERRUPTED), "rescue")

    def _join(self, stored: Reload) -> None:
        story = self._stories.get(stored.id)
        if story is not None:
            story.life.joined(stored)
        elif stored.id in self._starting:
            self._starting[stored.id] = stored
        elif self._by.store.holds(stored.id):
            self._spawn(stored, Story.resume)  # nobody looks after it: we do

    def start(self, reload: Reload, message: int | None) -> None:
        """Go on with a reload whose first answer is out; None: whether it arrived is to be found out."""
        self._spawn(reload, lambda story: story.begin(message))

    def withdraw(self, reload: Reload) -> None:
        """Drop a reload that nobody was shown; if somebody joined it, end it in sight."""
        self._spawn(reload, Story.withdraw)

    async def resume(self) -> int:
        """Go on with everything that the last process left open, most overdue first; answers how many."""
        try:
            taken, _, _ = await self._by.store.news()
        except StoreTrouble as error:  # a shared store is asked again soon
            log.warning("reloads.no_news", error=str(error))
            return 0
        self._take_over(taken, RESUME_SPREAD_SECONDS)
        return len(taken)

    async def share(self) -> None:
        """For ever, where other processes use the store, too: take over what nobody looks after any more."""
        while self._by.store.is_shared:
            await asyncio.sleep(NEWS_SECONDS)
            try:
                taken, changed, lost = await self._by.store.news()
            except StoreTrouble as error:
                log.warning("reloads.no_news", error=str(error))
                continue
            for task in [task for task, reload in self._tasks.items() if reload.id in lost]:
                if not self._is_calling(self._tasks[task]):  # that one ends when its answer comes
                    task.cancel()
            for reload in changed:
                with suppress(StoreTrouble):  # the ending is told already
                    self._join(reload)
            self._take_over(taken, TAKE_OVER_SPREAD_SECONDS)
            if taken or lost:
                log.info("reloads.shared", taken=len(taken), lost=len(lost))

    def _take_over(self, taken: list[Reload], spread: float) -> None:
        ids = {reload.id for reload in taken}
        for task in [task for task, known in self._tasks.items() if known.id in ids]:
            task.cancel()  # it was ours before, and another's since: what we knew of it is old
        for place, reload in enumerate(taken):
            if reload.state is State.ENDED:
                self._spawn_test(reload, ImageTestStory.resume)
                continue
            pause = spread * place / len(taken)
            self._spawn(reload, functools.partial(Story.resume, pause=pause))

    async def forget(self, server: int) -> None:
        """Stop everything of a server and delete its data."""
        for task in [task for task, reload in self._tasks.items() if reload.server == server]:
            task.cancel()
        await self._by.store.forget(server)

    async def stop(self) -> None:
        """Let calls that are out come back, then stop; what is open goes on at the next start."""
        self._by.stop()
        calling = {task for task, reload in self._tasks.items() if self._is_calling(reload)}
        for task in self._tasks.keys() - calling:
            task.cancel()
        if calling:
            await asyncio.wait(calling, timeout=STOP_SECONDS)
        rest = list(self._tasks)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _take_back(self, reload: Reload, landing: asyncio.Future[Reload | None]) -> None:
        """The person was told that storage is in trouble: a write that lands after all must not run."""
        try:
            landed = await landing
        except (StoreTrouble, Refusal):
            landed = None
        if landed is not None and landed.id == reload.id:
            self.withdraw(reload)
        else:
            self._starting.pop(reload.id, None)

    # Tasks: each is kept, named, and its failure seen.

    def _spawn(self, reload: Reload, tell: Callable[[Story], Coroutine[Any, Any, None]]) -> None:
        newest = self._starting.pop(reload.id, reload)  # somebody may have joined meanwhile
        story = self._stories[reload.id] = Story(self._by, newest)
        task = self._keep(newest, tell(story), "reload")
        if task is not None:
            task.add_done_callback(lambda task: self._after(task, story))

    def _keep(self, reload: Reload, told: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None] | None:
        if self._by.is_stopping():  # the next start goes on with what is stored
            told.close()
            return None
        of_reload = contextvars.copy_context()  # each line that is logged on the way says whose it is
        of_reload.run(structlog.contextvars.bind_contextvars, reload=reload.id)
        task = asyncio.create_task(told, name=f"{name}-{reload.id}", context=of_reload)
        self._tasks[task] = reload
        task.add_done_callback(self._drop)
        return task

    def _drop(self, task: asyncio.Task[None]) -> None:
        reload = self._tasks.pop(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, Taken):
            log.info("reload.taken", reload=reload.id, task=task.get_name())
        else:
            log.error("reload.defect", reload=reload.id, task=task.get_name(), exc_info=error)

    def _after(self, task: asyncio.Task[None], story: Story) -> None:
        """A defect of ours must not leave anybody waiting: end in sight, with a reference."""
        reload, rescue = story.life.reload, None
        if _is_defect(task):
            ref = new_ref()
            log.error("reload.rescued", reload=reload.id, ref=ref, state=reload.state)
            if reload.state in JOINABLE:
                outcome = Outcome.NOT_SENT if reload.state is State.ASKED else Outcome.INTERRUPTED
                rescue = self._keep(reload, story.end(outcome, ref=ref), "rescue")
            elif reload.state is State.ANNOUNCING:
                rescue = self._keep(reload, story.last_words(ref), "rescue")
        if rescue is None:
            self._close(story)
        else:  # until then, who joins must not start a second story of it
            rescue.add_done_callback(lambda _: self._close(story))

    def _close(self, story: Story) -> None:
        if self._stories.get(story.life.reload.id) is story:
            del self._stories[story.life.reload.id]

    def _is_calling(self, reload: Reload) -> bool:
        test = self._tests.get(reload.id)
        if test is not None:
            return test.is_calling()
        story = self._stories.get(reload.id)
        return story is not None and story.life.reload.state is State.CALLING


def _is_defect(task: asyncio.Task[None]) -> bool:
    """Whether a task failed by a fault of ours, not because its reload is another process's now."""
    return not task.cancelled() and not isinstance(task.exception(), Taken | None)
