"""Runs all reloads of this process: starts them, keeps their tasks, resumes and stops them."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import structlog

from bot.domain.errors import AlreadyEnded, Refusal, StoreSlow, StoreTrouble, TooManyCalls
from bot.domain.reload import JOINABLE, Asker, ImageTest, Outcome, Reload, State
from bot.logs import new_ref
from bot.reloads.image_tests import ImageTests
from bot.reloads.services import Services
from bot.reloads.story import Story
from bot.reloads.tasks import ReloadTasks, is_defect

ASK_TIMEOUT = 1.0
"""Seconds for the store, of Discord's 3 s."""
RESUME_SPREAD = 4.0
NEWS_INTERVAL = 0.5
TAKE_OVER_SPREAD = 1.0
CALLS_OUT_TIMEOUT = 6.0
"""Seconds that a stop waits for open calls: a cancelled one would end as unknown."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Runner:
    """All reloads of this process, with one task each."""

    def __init__(self, services: Services, seconds: float) -> None:
        self._services = services
        self.seconds = seconds
        services.metrics.open.set_function(lambda: len(self._stories))
        self._stories: dict[int, Story] = {}
        self._tasks = ReloadTasks(services.is_stopping)
        self.image_tests = ImageTests(services, self._tasks)
        self._starting: dict[int, Reload] = {}
        """Requested but not started: their first response is on its way."""
        self._changed: set[tuple[int, int | None]] = set()
        """Servers, and threads of them, where other processes may have endings that could not be shown."""

    async def ask(self, new: Reload) -> Reload | None:
        """Store a reload, or join the one that is running: then the result has another ID.

        None: this interaction was delivered before. Raises NoKey, TooManyOpen, TooManyCalls, Restarting,
        StoreTrouble.
        """
        self._services.check_taking_on()
        first = new.id not in self._starting  # the same event may come twice
        stays, counted_at = False, None
        self._starting.setdefault(new.id, new)
        try:
            counted_at = await self._count_call(new) if first else None
            stored = await self._services.store.ask(new, ASK_TIMEOUT)
            stays = stored is not None and stored.id == new.id
        except StoreSlow as slow:
            stays = True
            self._tasks.keep(new, self._take_back(new, slow.landing), "take-back")
            raise
        finally:
            if first and not stays:
                del self._starting[new.id]
            if counted_at is not None and not stays:
                self._services.member_calls.uncount(new.server, new.owner.user, counted_at)
        if stored is not None and stored.id != new.id:
            self._join(stored)
        return stored

    async def _count_call(self, new: Reload) -> float | None:
        """Count the call; None: there will be none, because this joins, or was delivered before.

        Raises TooManyCalls, StoreTrouble.
        """
        try:
            return self._services.member_calls.count(new.server, new.owner.user)
        except TooManyCalls:
            store = self._services.store
            newest = await store.history(new.server, new.model, most=1)
            joins = any(known.state in JOINABLE for known in newest)
            if joins or await store.find(new.server, new.id) is not None:
                return None
            raise

    async def notify(self, id_: int, asker: Asker, *, wanted: bool) -> Reload:
        """Have somebody pinged at the end of a reload, or not.

        Raises AlreadyEnded, Restarting, StoreTrouble.
        """
        self._services.check_taking_on()
        stored = await self._services.store.notify(id_, asker, wanted=wanted)
        if stored is None:
            raise AlreadyEnded
        self._join(stored)
        return stored

    async def test_ahead(self, reload: Reload, user: int, test: ImageTest | None) -> Reload:
        """Keep somebody's test image for the end of a countdown; None: take theirs back.

        Raises AlreadyEnded, NoTestNow, NoTestsLeft, Restarting, StoreTrouble.
        """
        self._services.check_taking_on()
        stored = await self.image_tests.ahead(reload, user, test)
        if stored is None:
            raise AlreadyEnded
        self._join(stored)
        return stored

    def _join(self, stored: Reload) -> None:
        story = self._stories.get(stored.id)
        if story is not None:
            story.life.joined(stored)
        elif stored.id in self._starting:
            self._starting[stored.id] = stored
        elif stored.state in JOINABLE and self._services.store.holds(stored.id):
            self._spawn(stored, Story.resume)  # no process looks after it, so we do

    def start(self, reload: Reload, message: int | None) -> None:
        """Continue a reload whose first response is out; None: find out whether it arrived."""
        self._spawn(reload, lambda story: story.begin(message))

    def withdraw(self, reload: Reload) -> None:
        """Drop a reload that nobody was shown; if somebody joined it, end it visibly."""
        self._spawn(reload, Story.withdraw)

    async def resume(self) -> int:
        """Resume everything that the last process left open, most overdue first; return how many."""
        try:
            taken, _, _ = await self._services.store.news()
        except StoreTrouble as error:  # a shared store is asked again soon
            log.warning("reloads.no_news", error=str(error))
            return 0
        self._take_over(taken, RESUME_SPREAD)
        return len(taken)

    async def share(self) -> None:
        """Take over, forever, what no process looks after, if other processes use the store, too."""
        while self._services.store.is_shared:
            await asyncio.sleep(NEWS_INTERVAL)
            try:
                await self._pass_on()
                taken, changed, lost = await self._services.store.news()
            except StoreTrouble as error:
                log.warning("reloads.no_news", error=str(error))
                continue
            self._let_go(lost)
            for reload in changed:
                if reload.state is State.ANNOUNCING:
                    self._services.untold.changed(reload.server)
                with suppress(StoreTrouble):  # the ending has been announced already
                    self._join(reload)
            self._take_over(taken, TAKE_OVER_SPREAD)
            if taken or lost:
                log.info("reloads.shared", taken=len(taken), lost=len(lost))

    def changed(self, server: int, thread: int | None) -> None:
        """Try again to show endings in a server, or in one of its threads: something changed there."""
        self._services.untold.changed(server, thread)
        if self._services.store.is_shared:
            self._changed.add((server, thread))

    async def _pass_on(self) -> None:
        """Notify the processes whose endings could not be shown in servers that have changed.

        Raises StoreTrouble.
        """
        if self._changed:
            servers = [server for server, thread in self._changed if thread is None]
            threads = [thread for _, thread in self._changed if thread is not None]
            await self._services.store.try_again(servers, threads)
            self._changed.clear()

    def _let_go(self, lost: frozenset[int]) -> None:
        """Stop what another process looks after now; a reload whose call is out stops once it is answered."""
        self._tasks.cancel(lambda reload: reload.id in lost and not self._is_calling(reload))

    def _take_over(self, taken: list[Reload], spread: float) -> None:
        ids = {reload.id for reload in taken}
        # If it was ours before, another process has had it since, so what we knew of it is outdated.
        self._tasks.cancel(lambda reload: reload.id in ids)
        for place, reload in enumerate(taken):
            if reload.state is State.ENDED:
                self.image_tests.resume(reload)
                continue
            pause = spread * place / len(taken)
            self._spawn(reload, functools.partial(Story.resume, pause=pause))

    def pause(self, server: int) -> None:
        """Stop everything of a server; nothing is deleted."""
        self._tasks.cancel(lambda reload: reload.server == server)

    async def go_on(self, server: int) -> None:
        """Resume what is open of a server. Raises StoreTrouble."""
        mine = await self._services.store.open()
        self._take_over([r for r in mine if r.server == server and self._services.store.holds(r.id)], 0.0)

    async def forget(self, server: int) -> None:
        """Stop everything of a server and delete its data. Raises StoreTrouble."""
        self.pause(server)
        await self._services.store.forget(server)
        while await self._services.store.sweep():
            pass

    async def stop(self) -> None:
        """Let open calls come back, then stop; what is open goes on at the next start."""
        self._services.stop()
        self._tasks.cancel(lambda reload: not self._is_calling(reload))
        if calling := self._tasks.where(self._is_calling):
            await asyncio.wait(calling, timeout=CALLS_OUT_TIMEOUT)
        rest = self._tasks.where(lambda _: True)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _take_back(self, reload: Reload, landing: asyncio.Future[Reload | None]) -> None:
        """Undo a request that was answered with an error of the storage: its write may land after all."""
        try:
            landed = await landing
        except (StoreTrouble, Refusal):
            landed = None
        if landed is not None and landed.id == reload.id:
            self.withdraw(reload)
        else:
            self._starting.pop(reload.id, None)

    def _spawn(self, reload: Reload, tell: Callable[[Story], Coroutine[Any, Any, None]]) -> None:
        newest = self._starting.pop(reload.id, reload)  # somebody may have joined in the meantime
        story = self._stories[reload.id] = Story(self._services, newest)
        task = self._tasks.keep(newest, tell(story), "reload")
        if task is not None:
            task.add_done_callback(lambda task: self._after(task, story))

    def _after(self, task: asyncio.Task[None], story: Story) -> None:
        """After a bug of ours, leave nobody waiting: end visibly, with a reference."""
        reload, rescue = story.life.reload, None
        if is_defect(task):
            ref = new_ref()
            log.error("reload.rescued", reload=reload.id, ref=ref, state=reload.state)
            if reload.state in JOINABLE:
                outcome = Outcome.NOT_SENT if reload.state is State.ASKED else Outcome.INTERRUPTED
                rescue = self._tasks.keep(reload, story.end(outcome, ref=ref), "rescue")
            elif reload.state is State.ANNOUNCING:
                rescue = self._tasks.keep(reload, story.last_words(ref), "rescue")
        if not task.cancelled() and reload.state is State.ENDED and reload.is_testing:
            self.image_tests.resume(reload, story.reply)  # it was requested during the countdown
        if rescue is None:
            self._close(story)
        else:  # until then, anyone who joins must not start a second story
            rescue.add_done_callback(lambda _: self._close(story))

    def _close(self, story: Story) -> None:
        if self._stories.get(story.life.reload.id) is story:
            del self._stories[story.life.reload.id]

    def _is_calling(self, reload: Reload) -> bool:
        if (of_test := self.image_tests.is_calling(reload)) is not None:
            return of_test
        story = self._stories.get(reload.id)
        return story is not None and story.life.reload.state is State.CALLING
