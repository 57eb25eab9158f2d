"""Watches models: after six days without use it warns that one will go cold, after seven that it has.

It never calls the model API. An announcement is stored before it is sent, so that none is sent twice.
"""

import asyncio
import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, NoReturn

import discord
import structlog

from bot import view
from bot.discord_api.calls import CALL_TIMEOUT, Calls, Result, Tried
from bot.discord_api.limiter import Limiter
from bot.discord_api.mentions import only
from bot.domain.askers import nonce_of
from bot.domain.errors import StoreTrouble
from bot.domain.reload import LATE_AGE, WARM_AGE, Reload
from bot.domain.rows import Watch, watched_by
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
"""Seconds after its last use in which a model's going cold is still news."""
MOST_LOOKED_AT = 5
"""How many of a model's reloads are looked at, besides the one that last used it: the clock may have been set
back."""
TURN_TIMEOUT = 30.0
RETRY_DELAYS = (2.0, 10.0, 30.0)
"""Seconds before each retry, within the few minutes for which Discord remembers a nonce."""
LONGEST_WAIT = 60.0
"""Seconds of the longest wait that Discord may ask for; a longer one is left to the next look."""
MAX_CONCURRENT_TURNS = 10
"""Announcements in line for the bot's own calls at the same time: more of them would delay pings."""
Due = Literal["soon", "cold"]
Say = tuple[Watch, Due, Model | None]
"""An announcement: the watch, whether the model goes or has gone cold, and the model."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def due(watch: Watch, now: float) -> Due | None:
    """Pure: return what to announce about a model at `now`, if it has not been announced."""
    if watch.used_at is None:
        return None
    idle, said = now - watch.used_at, watch.said_of == watch.used_at
    if SOON_AGE <= idle < WARM_AGE and not said:
        return "soon"
    if WARM_AGE <= idle < TOO_LATE_AGE and not (said and watch.said_cold):
        return "cold"
    return None


class Watches:
    """Checks all watched models every hour."""

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
        self._limiter = limiter
        self._metrics = metrics
        self._now = now
        self._turns = asyncio.Semaphore(MAX_CONCURRENT_TURNS)
        self._looking = asyncio.Lock()
        self._seen_due: dict[tuple[int, str], tuple[Due, float | None]] = {}

    async def watch(self, server: int, model: str, by: int, channel: int) -> None:
        """Watch a model, alone or with others. Raises TooManyWatched, TooManyWatchers, StoreTrouble."""
        watch = Watch(server, model, by, channel)
        _, known = await self._about(watch)
        if known is not None and known.warm_until is not None and known.warm_until <= self._now():
            # That it has gone cold is no news.
            watch = replace(watch, used_at=known.used_at, said_of=known.used_at, said_cold=True)
        await self._store.set_watch(watch, new=True)

    async def run(self) -> NoReturn:
        """Look, forever; if the storage fails, try again at the next look."""
        await periodically(FIRST_DELAY, LOOK_INTERVAL, self.look, "ledger.not_looked")

    async def look(self) -> None:
        """Announce what is due and was due at the last look: so a clock that jumps and returns is no news."""
        async with self._looking:
            seen: dict[tuple[int, str], tuple[Due, float | None]] = {}
            found: dict[int, list[Say]] = {}
            async for known in self._store.all_watches():
                if self._store.is_shared and self._bot.get_guild(known.server) is None:
                    continue  # another process's shards: that process checks it
                await asyncio.sleep(0)  # there may be thousands, with nothing to wait for
                try:
                    found.setdefault(known.server, []).extend(await self._look_at(known, seen))
                except StoreTrouble as error:  # one server's row; the others are checked
                    log.warning("ledger.not_looked", server=known.server, error=type(error).__name__)
            self._seen_due = seen
            async with asyncio.TaskGroup() as group:  # a server's failing channel delays no other
                for server, to_say in found.items():
                    if to_say:
                        group.create_task(self._say_all(to_say), name=f"watches-{server}")

    async def _look_at(
        self, known: Watch, seen: dict[tuple[int, str], tuple[Due, float | None]]
    ) -> Sequence[Say]:
        """Store when it was last used; return what to announce about it, if anything."""
        reloads, model = await self._about(known)
        now, place = self._now(), (known.server, known.model)
        uses = (known.used_at, *((reload.used_at for reload in model.reloads) if model is not None else ()))
        used_at = max((at for at in uses if at is not None and at <= now + LATE_AGE), default=None)
        # Cold when the watch began, it waits for a use; a model that is in no list has no page to stop it on.
        waits = known.said_cold and known.message is None and used_at == known.said_of
        is_old = used_at is not None and now - used_at >= TOO_LATE_AGE and not waits
        is_unknown = model is None and (used_at is None or waits)
        if is_unknown or is_old:
            await self._store.remove_watch(*place)  # it is no longer news to anybody
            return ()
        if model is None and reloads:
            return ()  # the API no longer knows it: nothing goes cold, and reloading doesn't help
        watch = replace(known, used_at=used_at)
        if watch != known:
            await self._store.set_watch(watch)
        what = due(watch, now)
        if what is None:
            return ()
        seen[place] = (what, used_at)
        return [(watch, what, model)] if self._seen_due.get(place) == seen[place] else ()

    async def _about(self, watch: Watch) -> tuple[Sequence[Reload], Model | None]:
        reloads = await self._store.about(watch.server, watch.model, MOST_LOOKED_AT)
        return reloads, next(iter(models_of(reloads, self._now())), None)

    async def _say_all(self, to_say: Sequence[Say]) -> None:
        """Announce it for the models of one server, one after another: people come and go meanwhile."""
        calls = Calls(self._limiter, self._metrics)
        for watch, what, model in to_say:
            try:
                newest = await self._store.watch(watch.server, watch.model)
                if newest is not None:
                    watched = watched_by(watch, newest.watchers[0], newest.others)
                    await self._say(calls, watched, what, model)
            except StoreTrouble as error:
                log.warning("ledger.not_looked", server=watch.server, error=type(error).__name__)

    async def _turn(self, calls: Calls, server: int, place: int) -> bool:
        async with self._turns:
            return await calls.turn(server, place, TURN_TIMEOUT)

    async def _say(self, calls: Calls, watch: Watch, what: Due, model: Model | None) -> None:
        """Store the announcement, then make it: a crash in between loses it, but never repeats it."""
        chosen = await self._store.settings(watch.server)
        server = self._bot.get_guild(watch.server)
        say = self._languages.of(chosen.locale(server.preferred_locale if server is not None else None))
        last, used_at = _last_ready(model), watch.used_at or 0.0
        if what == "cold":
            text = went_cold_text(watch, used_at, say)
        else:
            text = goes_cold_text(watch, used_at, say, button=last is not None)
        said = replace(watch, said_of=watch.used_at, said_cold=what == "cold")
        if watch.said_of == watch.used_at and watch.message is not None and watch.place is not None:
            layout = view.watch_layout(text, last, say, cold=what == "cold")
            result = await self._edit(calls, watch, watch.place, watch.message, layout)
            if result is not Result.LATER:
                await self._store.set_watch(said)  # an edit may be repeated, so it is stored afterwards
            return
        said = replace(said, message=None, place=None)
        buttons = view.watch_buttons(last, say, cold=what == "cold")
        places = (chosen.ledger_channel, *(watcher.channel for watcher in watch.watchers))
        for place in filter(None, dict.fromkeys(places)):
            if not await self._turn(calls, watch.server, place):
                return  # the next look tries again
            if not await self._store.set_watch(said):
                return
            tried, message = await self._send(calls, said, place, text, buttons)
            log.info("ledger.said", server=watch.server, what=what, result=tried.result.name)
            if message is not None:
                await self._store.set_watch(replace(said, message=message, place=place))
            elif tried.result is Result.LATER and not (tried.unanswered or tried.broken):
                await self._store.set_watch(watch)  # nothing was announced: the next look tries again
            if tried.result in (Result.DONE, Result.LATER):
                return

    async def _send(
        self, calls: Calls, watch: Watch, place: int, text: str, buttons: discord.ui.View | None
    ) -> tuple[Tried, int | None]:
        """Send a message, retrying under a nonce; return the result and the message's ID, if it was sent."""
        mentions = only(watch.users)
        nonce = nonce_of(f"{watch.server}:{watch.model}:{watch.said_of}:{watch.said_cold}")
        channel = self._bot.get_partial_messageable(place)
        send = functools.partial(channel.send, text, view=buttons, nonce=nonce, allowed_mentions=mentions)
        perhaps = False
        for pause in (*RETRY_DELAYS, None):
            tried = await calls.make("ledger", CALL_TIMEOUT, send)
            perhaps = perhaps or tried.unanswered or tried.broken
            if tried.result is not Result.LATER or pause is None or tried.wait > LONGEST_WAIT:
                break
            await asyncio.sleep(max(pause, tried.wait))
        return tried._replace(unanswered=perhaps), tried.sent.id if tried.sent is not None else None

    async def _edit(
        self, calls: Calls, watch: Watch, place: int, message: int, layout: discord.ui.LayoutView
    ) -> Result:
        """Edit the message of the sixth day; if that is gone, so be it: it did its job."""
        if not await self._turn(calls, watch.server, place):
            return Result.LATER
        named = only(watch.users)
        target = self._bot.get_partial_messageable(place).get_partial_message(message)
        tried = await calls.make(
            "ledger", CALL_TIMEOUT, lambda: target.edit(content=None, view=layout, allowed_mentions=named)
        )
        return tried.result


def _last_ready(model: Model | None) -> Reload | None:
    """Return the last Ready reload, which a button can build on."""
    reloads = model.reloads if model is not None else ()
    return next((reload for reload in reloads if reload.used_at is not None), None)
