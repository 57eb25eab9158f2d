"""Watches models: says on the sixth day without use that one goes cold, and after the seventh that it has.

It never calls the model API. What is to be said is stored before it is sent, so that nothing is said twice.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, NoReturn

import discord
import structlog

from bot import view, words
from bot.calls import Calls, Result, Tried
from bot.errors import StoreTrouble, TooManyWatched
from bot.languages import Languages
from bot.metrics import Metrics
from bot.models import Model, models_of
from bot.pace import Pace
from bot.reload import WARM_SECONDS, Reload
from bot.routes import CALL_SECONDS
from bot.store.base import Store, Watch

LOOK_SECONDS = 3600.0
FIRST_SECONDS = 30.0
SOON_SECONDS = WARM_SECONDS - 86400.0
TOO_LATE_SECONDS = 2 * WARM_SECONDS
"""So long after its last use nobody wants to hear of a model any more."""
WATCHED_PER_SERVER = 25
TURN_SECONDS = 30.0
Due = Literal["soon", "cold"]

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def due(watch: Watch, now: float) -> Due | None:
    """Pure: what is to be said of a model at `now`, if it has not been said."""
    if watch.used_at is None:
        return None
    idle, said = now - watch.used_at, watch.said_of == watch.used_at
    if SOON_SECONDS <= idle < WARM_SECONDS and not said:
        return "soon"
    if WARM_SECONDS <= idle < TOO_LATE_SECONDS and not (said and watch.said_cold):
        return "cold"
    return None


class Ledger:
    """Looks at all watched models every hour."""

    def __init__(
        self,
        bot: discord.Client,
        store: Store,
        languages: Languages,
        pace: Pace,
        metrics: Metrics,
        now: Callable[[], float],
    ) -> None:
        self._bot = bot
        self._store = store
        self._languages = languages
        self._calls = Calls(pace, metrics)
        self._now = now
        self._seen_due: dict[tuple[int, str], tuple[Due, float | None]] = {}

    async def watch(self, server: int, model: str, by: int, channel: int) -> None:
        """Watch a model of a server. Raises TooManyWatched, StoreTrouble."""
        mine = [watch for watch in await self._store.watches() if watch.server == server]
        if len(mine) >= WATCHED_PER_SERVER:
            raise TooManyWatched(WATCHED_PER_SERVER)
        if all(watch.model != model for watch in mine):
            await self._store.set_watch(Watch(server, model, by, channel), anew=True)

    async def run(self) -> NoReturn:
        """Look, for ever; with storage in trouble, the next look is another try."""
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            try:
                await self.look()
            except StoreTrouble as error:
                log.warning("ledger.not_looked", error=type(error).__name__)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Say what is due, and was due at the last look: a clock that jumps and comes back says nothing."""
        seen: dict[tuple[int, str], tuple[Due, float | None]] = {}
        for watch in await self._store.watches():
            model = await self._model(watch)
            seen_used = (watch.used_at, model.used_at if model is not None else None)
            used_at = max((at for at in seen_used if at is not None), default=None)
            if used_at != watch.used_at:
                watch = replace(watch, used_at=used_at)  # noqa: PLW2901  # the same one, up to date
                await self._store.set_watch(watch)
            what = due(watch, self._now())
            if what is None:
                continue
            place = watch.server, watch.model
            seen[place] = (what, used_at)
            if self._seen_due.get(place) == seen[place]:
                await self._say(watch, what, model)
        self._seen_due = seen

    async def _model(self, watch: Watch) -> Model | None:
        history = await self._store.history(watch.server)
        mine = (reload for reload in history if reload.model == watch.model)
        return next(iter(models_of(mine, self._now())), None)

    async def _say(self, watch: Watch, what: Due, model: Model | None) -> None:
        """Store that it is said, then say it: a crash in between loses it, and never says it twice."""
        chosen = await self._store.settings(watch.server)
        server = self._bot.get_guild(watch.server)
        say = self._languages.of(chosen.language or (server.preferred_locale if server is not None else ""))
        sayer = words.went_cold if what == "cold" else words.goes_cold
        text = sayer(watch, watch.used_at or 0.0, say)
        layout = view.ledger(text, _last_ready(model), say, cold=what == "cold")
        said = replace(watch, said_of=watch.used_at, said_cold=what == "cold")
        if not await self._store.set_watch(said):
            return
        if watch.said_of == watch.used_at and watch.message is not None and watch.place is not None:
            await self._edit(watch.place, watch.message, layout, watch.server)
            return
        place = chosen.ledger_channel or watch.channel
        tried, message = await self._send(watch, place, layout)
        log.info("ledger.said", server=watch.server, what=what, result=tried.result.name)
        if message is not None:
            await self._store.set_watch(replace(said, message=message, place=place))
        elif tried.result is Result.LATER and not (tried.unanswered or tried.broken):
            await self._store.set_watch(watch)  # nothing was said: the next look is another try

    async def _send(
        self, watch: Watch, place: int, layout: discord.ui.LayoutView
    ) -> tuple[Tried, int | None]:
        if not await self._calls.turn(watch.server, place, TURN_SECONDS):
            return Tried(Result.LATER), None
        mentions = discord.AllowedMentions(everyone=False, roles=False, users=[discord.Object(watch.by)])
        sent: list[int] = []

        async def send() -> None:
            channel = self._bot.get_partial_messageable(place)
            sent.append((await channel.send(view=layout, allowed_mentions=mentions)).id)

        tried = await self._calls.make("ledger", CALL_SECONDS, send)
        return tried, sent[0] if sent else None

    async def _edit(self, place: int, message: int, layout: discord.ui.LayoutView, server: int) -> None:
        """The message of the sixth day; where it is gone, or in trouble, so be it: it has said so before."""
        if await self._calls.turn(server, place, TURN_SECONDS):
            quiet = discord.AllowedMentions.none()
            target = self._bot.get_partial_messageable(place).get_partial_message(message)
            await self._calls.make(
                "ledger", CALL_SECONDS, lambda: target.edit(view=layout, allowed_mentions=quiet)
            )


def _last_ready(model: Model | None) -> Reload | None:
    """The reload that a button can build upon."""
    reloads = model.reloads if model is not None else ()
    return next((reload for reload in reloads if reload.used_at is not None), None)
