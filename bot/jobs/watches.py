"""Watches models: says on the sixth day without use that one goes cold, and after the seventh that it has.

It never calls the model API. What is to be said is stored before it is sent, so that nothing is said twice.
"""

import asyncio
import functools
import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, NoReturn

import discord
import structlog

from bot import view
from bot.discord_api.calls import CALL_TIMEOUT, Calls, Result, Tried
from bot.discord_api.limiter import Limiter
from bot.domain.errors import StoreTrouble
from bot.domain.reload import LATE_AGE, WARM_AGE, Reload
from bot.domain.rows import Watch
from bot.domain.server_models import Model, models_of
from bot.jobs.periodically import periodically
from bot.languages import Languages
from bot.metrics import Metrics
from bot.store.base import Store
from bot.words.watches import goes_cold_text, went_cold_text

LOOK_INTERVAL = 3600.0
FIRST_DELAY = 30.0
SOON_AGE = WARM_AGE - 86400.0
TOO_LATE_AGE = 2 * WARM_AGE
"""So long after its last use nobody wants to hear of a model any more."""
TURN_TIMEOUT = 30.0
RETRY_DELAYS = (2.0, 10.0, 30.0)
"""Within the few minutes for which Discord remembers a nonce."""
Due = Literal["soon", "cold"]

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def due(watch: Watch, now: float) -> Due | None:
    """Pure: what is to be said of a model at `now`, if it has not been said."""
    if watch.used_at is None:
        return None
    idle, said = now - watch.used_at, watch.said_of == watch.used_at
    if SOON_AGE <= idle < WARM_AGE and not said:
        return "soon"
    if WARM_AGE <= idle < TOO_LATE_AGE and not (said and watch.said_cold):
        return "cold"
    return None


class Watches:
    """Looks at all watched models every hour."""

    def __init__(
        self,
        bot: discord.Client,
        store: Store,
        languages: Languages,
        limiter: Limiter,
        metrics: Metrics,
        now: Callable[[], float],
    ) -> None:
        self._bot = bot
        self._store = store
        self._languages = languages
        self._calls = Calls(limiter, metrics)
        self._now = now
        self._looking = asyncio.Lock()
        self._seen_due: dict[tuple[int, str], tuple[Due, float | None]] = {}

    async def watch(self, server: int, model: str, by: int, channel: int) -> None:
        """Watch a model of a server. Raises TooManyWatched, StoreTrouble."""
        await self._store.set_watch(Watch(server, model, by, channel), anew=True)

    async def run(self) -> NoReturn:
        """Look, for ever; with storage in trouble, the next look is another try."""
        await periodically(FIRST_DELAY, LOOK_INTERVAL, self.look, "ledger.not_looked")

    async def look(self) -> None:
        """Say what is due, and was due at the last look: a clock that jumps and comes back says nothing."""
        async with self._looking:
            seen: dict[tuple[int, str], tuple[Due, float | None]] = {}
            async for known in self._store.all_watches():
                if self._store.is_shared and self._bot.get_guild(known.server) is None:
                    continue  # of another process's shards: it looks
                await asyncio.sleep(0)  # there may be thousands, and nothing to wait for
                try:
                    await self._look_at(known, seen)
                except StoreTrouble as error:  # one server's row: the others are looked at
                    log.warning("ledger.not_looked", server=known.server, error=type(error).__name__)
            self._seen_due = seen

    async def _look_at(self, known: Watch, seen: dict[tuple[int, str], tuple[Due, float | None]]) -> None:
        model, now, place = await self._model(known), self._now(), (known.server, known.model)
        uses = (known.used_at, *((reload.used_at for reload in model.reloads) if model is not None else ()))
        used_at = max((at for at in uses if at is not None and at <= now + LATE_AGE), default=None)
        if (used_at is None and model is None) or (used_at is not None and now - used_at >= TOO_LATE_AGE):
            await self._store.remove_watch(*place)  # nobody wants to hear of it any more
            return
        watch = replace(known, used_at=used_at)
        if watch != known:
            await self._store.set_watch(watch)
        what = due(watch, now)
        if what is not None:
            seen[place] = (what, used_at)
            if self._seen_due.get(place) == seen[place]:
                await self._say(watch, what, model)

    async def _model(self, watch: Watch) -> Model | None:
        history = await self._store.history(watch.server, watch.model)
        return next(iter(models_of(history, self._now())), None)

    async def _say(self, watch: Watch, what: Due, model: Model | None) -> None:
        """Store that it is said, then say it: a crash in between loses it, and never says it twice."""
        chosen = await self._store.settings(watch.server)
        server = self._bot.get_guild(watch.server)
        say = self._languages.of(chosen.locale(server.preferred_locale if server is not None else None))
        last, used_at = _last_ready(model), watch.used_at or 0.0
        if what == "cold":
            text = went_cold_text(watch, used_at, say)
        else:
            text = goes_cold_text(watch, used_at, say, button=last is not None)
        layout = view.watch_message(text, last, say, cold=what == "cold")
        said = replace(watch, said_of=watch.used_at, said_cold=what == "cold")
        if watch.said_of == watch.used_at and watch.message is not None and watch.place is not None:
            result = await self._edit(watch.place, watch.message, layout, watch.server)
            if result is not Result.LATER:
                await self._store.set_watch(said)  # an edit may be done twice, so it is stored afterwards
            return
        said = replace(said, message=None, place=None)
        for place in filter(None, dict.fromkeys((chosen.ledger_channel or watch.channel, watch.channel))):
            if not await self._calls.turn(watch.server, place, TURN_TIMEOUT):
                return  # the next look is another try
            if not await self._store.set_watch(said):
                return
            tried, message = await self._send(said, place, layout)
            log.info("ledger.said", server=watch.server, what=what, result=tried.result.name)
            if message is not None:
                await self._store.set_watch(replace(said, message=message, place=place))
            elif tried.result is Result.LATER and not (tried.unanswered or tried.broken):
                await self._store.set_watch(watch)  # nothing was said: the next look is another try
            if tried.result in (Result.DONE, Result.LATER):
                return

    async def _send(
        self, watch: Watch, place: int, layout: discord.ui.LayoutView
    ) -> tuple[Tried, int | None]:
        """Return also the message's id, where it was sent; tried again at once, guarded by a nonce."""
        mentions = discord.AllowedMentions(everyone=False, roles=False, users=[discord.Object(watch.by)])
        about = f"{watch.server}:{watch.model}:{watch.said_of}:{watch.said_cold}"
        nonce = hashlib.sha256(about.encode()).hexdigest()[:25]
        channel = self._bot.get_partial_messageable(place)
        send = functools.partial(channel.send, view=layout, nonce=nonce, allowed_mentions=mentions)
        perhaps = False
        for pause in (*RETRY_DELAYS, None):
            tried = await self._calls.make("ledger", CALL_TIMEOUT, send)
            perhaps = perhaps or tried.unanswered or tried.broken
            if tried.result is not Result.LATER or pause is None:
                break
            await asyncio.sleep(max(pause, min(tried.wait, LOOK_INTERVAL)))
        return tried._replace(unanswered=perhaps), tried.sent.id if tried.sent is not None else None

    async def _edit(self, place: int, message: int, layout: discord.ui.LayoutView, server: int) -> Result:
        """The message of the sixth day; where it is gone, so be it: it has said so before."""
        if not await self._calls.turn(server, place, TURN_TIMEOUT):
            return Result.LATER
        quiet = discord.AllowedMentions.none()
        target = self._bot.get_partial_messageable(place).get_partial_message(message)
        tried = await self._calls.make(
            "ledger", CALL_TIMEOUT, lambda: target.edit(view=layout, allowed_mentions=quiet)
        )
        return tried.result


def _last_ready(model: Model | None) -> Reload | None:
    """The reload that a button can build upon."""
    reloads = model.reloads if model is not None else ()
    return next((reload for reload in reloads if reload.used_at is not None), None)
