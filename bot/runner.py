"""The story of one reload, top to bottom: ask, call, count, tell; and how it goes on after a restart.

One task per reload. It holds plain data, never an Interaction, and waits only by sleep, so that a live
and a resumed reload take the same path.
"""

import asyncio
import functools
import itertools
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, Unpack

import structlog

from bot import words
from bot.cadence import EDIT_LIMIT, QUIET_SECONDS, next_edit, retry_pause
from bot.delivery import Delivery, NeverAcknowledged
from bot.errors import NoKey, Refusal, Restarting, StoreSlow, StoreTrouble
from bot.keys import Keys
from bot.life import Life
from bot.model_api import Answer, ModelApi
from bot.reload import (
    JOINABLE,
    NAMED_WAITS,
    SPAM_FILTER_SECONDS,
    Facts,
    IllegalStep,
    Outcome,
    Reload,
    State,
    time_left,
)
from bot.reply import Reply
from bot.store.base import Store

FIRST_ANSWER_SECONDS = 1.0
"""The store's share of Discord's 3 s."""
RESUME_SPREAD_SECONDS = 4.0
SHOW_CALLING_SECONDS = 1.0
STOP_SECONDS = 6.0
"""How long a stop waits for calls that are out: a cancelled one would end as unknown."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Runner:
    """Runs all reloads of this process."""

    def __init__(
        self,
        store: Store,
        keys: Keys,
        api: ModelApi,
        delivery: Delivery,
        now: Callable[[], float],
        seconds: float,
    ) -> None:
        self._store = store
        self._keys = keys
        self._api = api
        self._delivery = delivery
        self._now = now
        self.seconds = seconds
        self._lives: dict[int, Life] = {}
        self._tasks: dict[asyncio.Task[None], Reload] = {}
        self._starting: set[int] = set()
        """Asked and not yet started: their first answer is on its way."""
        self._stopping = False

    # What the cogs ask for.

    async def ask(self, new: Reload) -> Reload | None:
        """Store a reload, or join the one that runs: then the answer has another id.

        None: this interaction was delivered before. Raises NoKey, TooManyOpen, Restarting, StoreTrouble.
        """
        if self._stopping:
            raise Restarting
        if not await self._keys.has(new.server):
            raise NoKey
        self._starting.add(new.id)
        try:
            stored = await self._store.ask(new, FIRST_ANSWER_SECONDS)
        except StoreSlow as slow:
            self._keep(new, self._take_back(new, slow.landing), "take-back")
            raise
        if stored is not None and stored.id != new.id:
            self._starting.discard(new.id)
            self._join(stored)
        return stored

    def _join(self, stored: Reload) -> None:
        life = self._lives.get(stored.id)
        if life is None and stored.id not in self._starting:
            self._spawn(stored, functools.partial(self._resume, pause=0.0))  # nobody looks after it: we do
        elif life is not None and life.reload.state in JOINABLE:
            life.joined(stored)
        elif life is not None:
            raise StoreTrouble("the row of an ended reload is not written yet")

    def start(self, reload: Reload, message: int | None) -> None:
        """Go on with a reload whose first answer is out; None: whether it arrived is to be found out."""
        self._spawn(reload, functools.partial(self._begin, message=message))

    def withdraw(self, reload: Reload) -> None:
        """Drop a reload that nobody was shown; if somebody joined it, end it in sight."""
        self._spawn(reload, self._withdraw)

    async def resume(self) -> int:
        """Go on with everything that the last process left open, most overdue first; answers how many."""
        left = sorted(await self._store.open(), key=lambda reload: reload.deadline or reload.asked_at)
        for place, reload in enumerate(left):
            pause = RESUME_SPREAD_SECONDS * place / len(left)
            self._spawn(reload, functools.partial(self._resume, pause=pause))
        return len(left)

    async def forget(self, server: int) -> None:
        """Stop everything of a server and delete its data."""
        for task in [task for task, reload in self._tasks.items() if reload.server == server]:
            task.cancel()
        await self._store.forget(server)

    async def stop(self) -> None:
        """Let calls that are out come back, then stop; what is open goes on at the next start."""
        self._stopping = True
        calling = {task for task, reload in self._tasks.items() if self._is_calling(reload)}
        for task in self._tasks.keys() - calling:
            task.cancel()
        if calling:
            await asyncio.wait(calling, timeout=STOP_SECONDS)
        rest = list(self._tasks)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    # The story.

    async def _begin(self, life: Life, reply: Reply, message: int | None) -> None:
        if message is None:
            try:
                message = await self._delivery.find_message(life.reload)
            except NeverAcknowledged:
                await self._withdraw(life, reply)
                return
        if message is None:
            await self._end(life, reply, Outcome.NOT_SENT)
            return
        wait_until = await self._spam_filter_ends(life.reload)
        if wait_until is not None:
            await life.step(State.ASKED, message=message, not_before=wait_until)
        await self._call(life, reply, message)

    async def _call(self, life: Life, reply: Reply, message: int | None) -> None:
        """Wait for our turn, call, and again where the API names a wait; then count, or end."""
        while True:
            if life.reload.not_before is not None:
                await self._show_until(life, reply, life.reload.not_before)
            try:
                key = await self._keys.open(life.reload.server)
            except NoKey:
                await self._end(life, reply, Outcome.KEY_GONE, message=message)
                return
            called_before = life.reload.called_at
            if not await life.step(State.CALLING, message=message, called_at=self._now()):
                ref = _new_ref()
                log.error("reload.not_called", reload=life.reload.id, ref=ref, why="storage")
                await self._end(life, reply, Outcome.STORAGE, called_at=called_before, ref=ref)
                return
            if life.reload.not_before is not None:  # take "starts in 5 s" away
                await reply.show(life.reload, self._now(), SHOW_CALLING_SECONDS)
            answer = await self._api.reload(key, life.reload.model)
            log.info("reload.answer", reload=life.reload.id, outcome=answer.outcome, wait=answer.wait)
            if not (answer.named and life.reload.waits < NAMED_WAITS):
                break
            again = self._now() + (answer.wait or 0)
            await life.step(State.ASKED, not_before=again, waits=life.reload.waits + 1)
        if answer.outcome is Outcome.ACCEPTED:
            await life.step(State.COUNTING, deadline=self._now() + life.reload.seconds)
            await self._count(life, reply)
        else:
            await self._end_refused(life, reply, answer)

    async def _count(self, life: Life, reply: Reply) -> None:
        if self._stopping:
            return
        deadline = life.reload.deadline or 0.0
        late = deadline < self._now()
        await self._show_until(life, reply, deadline)
        await self._end(life, reply, Outcome.ACCEPTED, late=late)

    async def _show_until(self, life: Life, reply: Reply, moment: float) -> None:
        """Show the reply, and again every few seconds, until a moment in wall-clock seconds.

        The clock is read once: from then on the monotonic one counts, as the other may jump.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + time_left(moment, self._now())
        pause = 0.0 if ends - loop.time() > QUIET_SECONDS else None
        while pause is not None:
            await asyncio.sleep(pause)
            left = ends - loop.time()
            await reply.show(life.reload, moment - left, min(EDIT_LIMIT, left))
            pause = next_edit(ends - loop.time())
        await asyncio.sleep(max(0.0, ends - loop.time()))

    async def _end_refused(self, life: Life, reply: Reply, answer: Answer) -> None:
        again = None if answer.wait is None else self._now() + answer.wait
        nothing_sent = answer.outcome is Outcome.NO_CONNECTION
        called_at = None if nothing_sent else life.reload.called_at
        await self._end(life, reply, answer.outcome, said=answer.said, again_at=again, called_at=called_at)

    async def _end(self, life: Life, reply: Reply, why: Outcome, **facts: Unpack[Facts]) -> None:
        facts["outcome"], facts["ended_at"] = why, self._now()
        await life.step(State.ANNOUNCING, **facts)
        await self._tell(life, reply)

    async def _tell(self, life: Life, reply: Reply) -> None:
        async def sent(number: int) -> None:
            await life.step(State.ANNOUNCING, pinged=(*life.reload.pinged, number))

        if await reply.tell(life.reload, sent):
            await life.step(State.ENDED)
        else:
            log.error("reload.not_told", reload=life.reload.id)
        await life.catch_up()

    # After a restart, or after doubt.

    async def _resume(self, life: Life, reply: Reply, pause: float) -> None:
        await asyncio.sleep(pause)
        reload = life.reload
        match reload.state:
            case State.ASKED if reload.message is None:
                await self._find_out(life, reply)
            case State.ASKED:
                await self._call(life, reply, reload.message)
            case State.CALLING:
                await self._end(life, reply, Outcome.INTERRUPTED)
            case State.COUNTING:
                await self._count(life, reply)
            case _:
                await self._tell(life, reply)

    async def _find_out(self, life: Life, reply: Reply) -> None:
        """Nothing was sent to the API; find the reply, if there is one, and end it there."""
        try:
            message = await self._delivery.find_message(life.reload)
        except NeverAcknowledged:
            await self._withdraw(life, reply)
            return
        await self._end(life, reply, Outcome.NOT_SENT, message=message)

    async def _withdraw(self, life: Life, reply: Reply) -> None:
        for attempt in itertools.count():
            try:
                await self._store.step(life.reload.id, {State.ASKED}, State.REMOVED)
            except IllegalStep:  # somebody joined, and was promised an ending
                await self._end(life, reply, Outcome.NOT_SENT)
            except StoreTrouble as error:
                log.error("reload.not_withdrawn", reload=life.reload.id, error=str(error))  # noqa: TRY400
                await asyncio.sleep(retry_pause(attempt))
                continue
            return

    async def _take_back(self, reload: Reload, landing: asyncio.Future[Reload | None]) -> None:
        """The person was told that storage is in trouble: a write that lands after all must not run."""
        try:
            landed = await landing
        except (StoreTrouble, Refusal):
            return
        if landed is not None and landed.id == reload.id:
            self.withdraw(reload)

    async def _spam_filter_ends(self, reload: Reload) -> float | None:
        calls = [
            past.called_at
            for past in await self._store.history(reload.server)
            if past.model == reload.model and past.called_at is not None
        ]
        now = self._now()
        ends = min(max(calls, default=0.0), now) + SPAM_FILTER_SECONDS  # the clock may have been set back
        return ends if ends > now else None

    # Tasks: each is kept, named, and its failure seen.

    def _spawn(self, reload: Reload, story: Callable[[Life, Reply], Coroutine[Any, Any, None]]) -> None:
        self._starting.discard(reload.id)
        life = self._lives[reload.id] = Life(self._store, reload)
        reply = self._delivery.reply(reload)
        task = self._keep(reload, story(life, reply), "reload")
        task.add_done_callback(lambda task: self._after(task, life, reply))

    def _keep(self, reload: Reload, story: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(story, name=f"{name}-{reload.id}")
        self._tasks[task] = reload
        task.add_done_callback(self._drop)
        return task

    def _drop(self, task: asyncio.Task[None]) -> None:
        reload = self._tasks.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("reload.defect", reload=reload.id, task=task.get_name(), exc_info=error)

    def _after(self, task: asyncio.Task[None], life: Life, reply: Reply) -> None:
        """A defect of ours must not leave anybody waiting: end in sight, with a reference."""
        if self._lives.get(life.reload.id) is life:
            del self._lives[life.reload.id]
        if task.cancelled() or task.exception() is None:
            return
        ref = _new_ref()
        log.error("reload.rescued", reload=life.reload.id, ref=ref, state=life.reload.state)
        if life.reload.state in JOINABLE:
            outcome = Outcome.NOT_SENT if life.reload.state is State.ASKED else Outcome.INTERRUPTED
            self._keep(life.reload, self._end(life, reply, outcome, ref=ref), "rescue")
        elif life.reload.state is State.ANNOUNCING:
            self._keep(life.reload, reply.last_words(life.reload, words.broken(ref)), "rescue")

    def _is_calling(self, reload: Reload) -> bool:
        life = self._lives.get(reload.id)
        return life is not None and life.reload.state is State.CALLING


def _new_ref() -> str:
    return secrets.token_hex(2).upper()
