"""Tells moderators about the key and settings, in a channel of their own; `/key status` has the last ten."""

import asyncio
import functools
import itertools
from collections.abc import Callable

import discord
import structlog

from bot.backoff import retry_pause
from bot.discord_api.calls import CALL_TIMEOUT, Calls, Result
from bot.discord_api.limiter import Limiter
from bot.domain.askers import nonce_of
from bot.domain.errors import StoreSlow, StoreTrouble
from bot.domain.events import What, is_news, said_by
from bot.domain.person import storable
from bot.domain.reload import Outcome
from bot.domain.rows import Event, ServerSettings
from bot.languages import Languages
from bot.logs import log_failure
from bot.metrics import Metrics
from bot.store.base import Store
from bot.words.moderators import event_text

TURN_TIMEOUT = 30.0
RETRY_DELAYS = (2.0, 10.0, 30.0)
"""Seconds before each retry, within the few minutes for which Discord remembers a nonce."""
LONGEST_WAIT = 60.0
"""Seconds of the longest wait that Discord may ask for; beyond that the event is only in `/key status`."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Moderators:
    """Records events. Each is stored before it is announced, so that it is announced once."""

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
        self._tasks: set[asyncio.Task[None]] = set()

    def heard(self, server: int, outcome: Outcome, detail: str = "") -> None:
        """Record what the API has said about a server's key; `detail`: OF_IMAGE, or empty."""
        if (what := said_by(outcome)) is not None:
            self._note(server, Event(what, self._now(), detail=detail))

    def changed(
        self, server: int, what: What, by: int, by_name: str, detail: str = "", left: int | None = None
    ) -> None:
        """Record what somebody has changed; `left`: the moderators' channel, if they no longer use it."""
        self._note(server, Event(what, self._now(), by, storable(by_name), detail), left)

    def _note(self, server: int, event: Event, left: int | None = None) -> None:
        task = asyncio.create_task(self._tell(server, event, left), name=f"moderators-{server}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(log_failure)

    async def stop(self) -> None:
        """Stop announcing; what is stored is in `/key status`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _tell(self, server: int, event: Event, left: int | None) -> None:
        """Store and announce an event.

        Retry until it is stored if somebody changed something; the API repeats what it says anyway.
        """
        for attempt in itertools.count():
            guild = self._bot.get_guild(server)
            try:
                chosen = await self._keep(server, event)
                break
            except StoreTrouble as error:
                log.error("moderators.not_noted", server=server, error=str(error))  # noqa: TRY400  # no news in a traceback
                if not event.by or guild is None:
                    return
                await asyncio.sleep(retry_pause(attempt))
        if chosen is None:
            return
        say = self._languages.of(chosen.locale(guild.preferred_locale if guild is not None else None))
        for channel in filter(None, dict.fromkeys((left, chosen.news_channel))):
            await self._send(server, channel, event_text(event, say), _nonce(event, channel))

    async def _keep(self, server: int, event: Event) -> ServerSettings | None:
        """Store it; return the server's settings if it is to be announced. Raises StoreTrouble."""
        if not is_news(await self._store.events(server), event):  # usual: a model was reloaded once more
            return None
        chosen = await self._store.settings(server)
        try:
            is_due = await self._store.add_event(server, event)
        except StoreSlow as slow:  # it may land, and then nobody else announces it
            is_due = await slow.landing
        return chosen if is_due else None

    async def _send(self, server: int, channel: int, text: str, nonce: str) -> None:
        quiet = discord.AllowedMentions.none()
        send = functools.partial(
            self._bot.get_partial_messageable(channel).send, text, nonce=nonce, allowed_mentions=quiet
        )
        calls = Calls(self._limiter, self._metrics)
        for pause in (*RETRY_DELAYS, None):
            if not await calls.turn(server, channel, TURN_TIMEOUT):
                break
            tried = await calls.make("moderators", CALL_TIMEOUT, send)
            if tried.result is not Result.LATER or pause is None or tried.wait > LONGEST_WAIT:
                log.info("moderators.told", server=server, result=tried.result.name)
                return
            await asyncio.sleep(max(pause, tried.wait))
        log.warning("moderators.not_told", server=server)


def _nonce(event: Event, channel: int) -> str:
    """Return what Discord knows the message by, among all that the bot has sent anywhere."""
    return nonce_of(f"{channel}:{event.at}:{event.what}")
