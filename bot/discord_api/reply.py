"""One reload's message in Discord and its pings: a countdown, then an ending, announced until it arrives."""

import asyncio
import functools
import itertools
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace

from bot import view
from bot.backoff import asleep_pause, retry_pause
from bot.discord_api.calls import CALL_TIMEOUT, EDIT_TIMEOUT, Calls, Result
from bot.discord_api.client import PatientBot
from bot.discord_api.edits import Edit, Edits
from bot.discord_api.http_trace import clock
from bot.discord_api.limiter import Limiter
from bot.discord_api.pings import Pings
from bot.domain.askers import image_nonce, ping_nonce
from bot.domain.picture import Picture
from bot.domain.reload import FADE_AGE, Ping, Reload
from bot.languages import Languages
from bot.metrics import Metrics
from bot.words.common import mentions, pushed_id
from bot.words.errors import broken
from bot.words.language import Language
from bot.words.reload import image_ping_text, ping_text

FIRST_TRY_TIMEOUT = 2.0
"""Seconds for the first try to show an ending: a stuck route must not hold up the ping."""
RETRY_PATIENCE = 600.0
"""Seconds for which the tries are close together; after that, the seconds between two tries."""

UPLOAD_TIMEOUT = 30.0
"""Seconds that one edit with a picture may take."""

Sent = Callable[[int], Awaitable[None]]


class Replies:
    """Makes replies; shared by all reloads. `hold` is `Store.hold`."""

    def __init__(
        self,
        bot: PatientBot,
        languages: Languages,
        limiter: Limiter,
        metrics: Metrics,
        hold: Callable[[int], Awaitable[None]],
        now: Callable[[], float],
    ) -> None:
        self._bot = bot
        self._languages = languages
        self._limiter = limiter
        self._metrics = metrics
        self._hold = hold
        self._now = now

    def of(self, reload: Reload) -> "Reply":
        """Return the reply of a reload, live or resumed."""
        hold = functools.partial(self._hold, reload.id)
        calls = Calls(self._limiter, self._metrics, hold, refused=reload.refused)
        return Reply(self._bot, calls, self._metrics, self._languages.of(reload.locale), self._now)


class Reply:
    """Shows and announces one reload, live or resumed."""

    def __init__(
        self,
        bot: PatientBot,
        calls: Calls,
        metrics: Metrics,
        say: Language,
        now: Callable[[], float],
    ) -> None:
        self._calls = calls
        steady = _steady(now)
        self._edits = Edits(bot, steady, calls)
        self._pings = Pings(bot, steady, calls, self._edits)
        self._metrics = metrics
        self._say = say
        self._now = now
        self._shown = Result.LATER
        self._tests_pinged: set[str] = set()
        """Nonces of the pings of test images that went out."""

    @property
    def refused(self) -> int:
        """How many calls of this reload Discord has refused, even before a restart."""
        return self._calls.refused

    async def show(self, reload: Reload, now: float, limit: float) -> bool:
        """Show the countdown as of `now`, within `limit` seconds or not at all; True: it is shown."""
        layout = view.render(reload, now, self._say)
        edit = Edit(layout, min(limit, EDIT_TIMEOUT), drawn_at=clock())
        return await self._edits.make(reload, edit) is Result.DONE

    async def tell(self, reload: Reload, sent: Sent) -> bool:
        """Show the ending and ping: edit first, then ping; retry after trouble.

        `sent` is called with the number of each ping that went out. False: somebody could not be reached
        although the place still exists, so this may be called again.
        """
        until = clock() + RETRY_PATIENCE
        self._edits.reopen()
        self._pings.reopen()
        shown, all_told, instead = self._shown, True, _ping_instead(reload)
        due = {number: ping for number, ping in enumerate(reload.pings) if number not in reload.pinged}
        if reload.is_late(self._now()) and any(ping.users for ping in instead.values()):
            # The owner is no longer looking at the reply.
            due, instead = due | {n: p for n, p in instead.items() if n not in reload.pinged}, {}
        for attempt in itertools.count():
            if shown is Result.LATER:
                shown = await self._show_end(reload, CALL_TIMEOUT if attempt else FIRST_TRY_TIMEOUT)
                if shown is Result.DONE:
                    self._metrics.late.observe(max(0.0, self._now() - (reload.due or 0.0)))
                elif shown is not Result.LATER:
                    due |= {n: ping for n, ping in instead.items() if n not in reload.pinged}
                    instead = {}
            results = await self._ping_all(reload, due, sent, alone=shown is not Result.DONE)
            all_told = all_told and Result.CLOSED not in results.values()
            if shown is Result.ASLEEP:  # a ping there may have woken the thread up
                there = {results[n] for n, ping in due.items() if ping.channel == reload.owner.channel}
                shown = Result.LATER if there & {Result.LATER, Result.DONE} else Result.CLOSED
            due = {number: ping for number, ping in due.items() if results[number] is Result.LATER}
            if shown is not Result.LATER and not due:
                break
            await asyncio.sleep(retry_pause(attempt) if clock() < until else RETRY_PATIENCE)
        self._shown = Result.DONE if shown is Result.DONE else Result.LATER
        await self._settle(reload, CALL_TIMEOUT)
        return all_told

    async def tell_late(self, reload: Reload, told: Collection[int]) -> bool:
        """Ping those who joined after the ending was announced but before the store knew of it.

        False: somebody could not be pinged for ten minutes.
        """

        async def sent(_: int) -> None:
            """Note nothing: the reload is over."""

        due = {}
        for number, ping in enumerate(reload.pings, len(reload.pings) + 1):  # beyond what `tell` uses
            if late := tuple(user for user in ping.users if user not in told):
                due[number] = Ping(ping.channel, late)
        until = clock() + RETRY_PATIENCE
        for attempt in itertools.count():
            results = await self._ping_all(reload, due, sent, alone=False)
            due = {number: ping for number, ping in due.items() if results[number] is Result.LATER}
            if not due or clock() >= until:
                break
            await asyncio.sleep(retry_pause(attempt))
        return not due

    async def show_test(self, reload: Reload, picture: Picture | None = None) -> bool:
        """Show the outcome of a test image, retrying until it is shown; False if it can't be."""
        until = clock() + RETRY_PATIENCE
        limit = UPLOAD_TIMEOUT if picture is not None else CALL_TIMEOUT
        for attempt in itertools.count():
            self._edits.reopen()
            result = await self._show_end(reload, limit, picture)
            if result not in (Result.LATER, Result.ASLEEP):  # an archived thread may be woken up
                break
            pause = retry_pause(attempt) if clock() < until else RETRY_PATIENCE
            if result is Result.ASLEEP and not await self._wake_up(reload):
                pause = asleep_pause(attempt)
            await asyncio.sleep(pause)
        if result is Result.DONE:
            await self._settle(reload, limit, picture)
        return result is Result.DONE

    async def ping_test(self, reload: Reload) -> bool:
        """Ping the person who asked for a test image, retrying for a day; False if it can't be sent."""
        began = clock()
        for attempt in itertools.count():
            self._pings.reopen()
            result = await self._send_test_ping(reload)
            waited = clock() - began
            if result is not Result.LATER or waited > FADE_AGE:
                break
            await asyncio.sleep(retry_pause(attempt) if waited < RETRY_PATIENCE else RETRY_PATIENCE)
        return result is Result.DONE

    async def _wake_up(self, reload: Reload) -> bool:
        """Wake a thread up by the ping of its test image; False if that did not go out, or did before."""
        before = len(self._tests_pinged)
        await self._send_test_ping(reload)
        return len(self._tests_pinged) > before

    async def _send_test_ping(self, reload: Reload) -> Result:
        """Ping once for each outcome."""
        nonce, test = image_nonce(reload), reload.test
        if test is None or nonce in self._tests_pinged:
            return Result.DONE
        text = image_ping_text(reload, test, self._say)
        ping = Ping(test.by.channel, (test.by.user,))
        asked = replace(reload, askers=(test.by,), asked_at=test.at)  # it goes out as if they had asked then
        self._edits.has_landed = self._edits.is_token_open = True  # their token is for a reply that is there
        result = await self._pings.send(asked, nonce, ping, lambda: text)
        if result is Result.DONE:
            self._tests_pinged.add(nonce)
        return result

    async def _show_end(self, reload: Reload, limit: float, picture: Picture | None = None) -> Result:
        layout = view.render(reload, self._now(), self._say, picture)
        return await self._edits.make(reload, Edit(layout, limit, picture=picture))

    async def _settle(self, reload: Reload, limit: float, picture: Picture | None = None) -> None:
        """Show the ending once more if an edit was just dropped in flight: it could still land over it."""
        if self._calls.dropped_within(2 * EDIT_TIMEOUT):
            await asyncio.sleep(EDIT_TIMEOUT)
            await self._show_end(reload, limit, picture)

    async def _ping_all(
        self, reload: Reload, due: dict[int, Ping], sent: Sent, *, alone: bool
    ) -> dict[int, Result]:
        """Ping in all channels together, so that a stuck one does not hold up another."""

        async def ping_channel(channel: int) -> list[tuple[int, Result]]:
            results = []
            for number, ping in due.items():
                if ping.channel == channel:
                    results.append((number, await self._ping(reload, number, ping, sent, alone=alone)))
            return results

        channels = {ping.channel for ping in due.values()}
        found = await asyncio.gather(*(ping_channel(channel) for channel in channels))
        return dict(itertools.chain(*found))

    async def _ping(self, reload: Reload, number: int, ping: Ping, sent: Sent, *, alone: bool) -> Result:
        def text() -> str:
            return ping_text(reload, ping, self._now(), self._say, alone=alone)

        result = await self._pings.send(reload, ping_nonce(reload, number), ping, text)
        if result is Result.DONE:
            await sent(number)
        return result

    async def last_words(self, reload: Reload, ref: str) -> None:
        """Send one plain message to those who asked, after announcing itself has failed."""
        ping = Ping(reload.owner.channel, (reload.owner.user,))
        text = f"{pushed_id(reload.model)}: {broken(ref, self._say)}{mentions(ping.users)}"
        await self._pings.send(reload, ping_nonce(reload, len(reload.pings)), ping, lambda: text)


def _ping_instead(reload: Reload) -> dict[int, Ping]:
    """Ping the owner if the reply can't show the ending, even if they need not be pinged.

    If they don't want that and there is no other message, they get one without a mention.
    """
    owner = reload.owner
    if (tester := reload.tested_ahead_by) is not None and tester.user == owner.user:
        return {}  # they hear about their test image in any case
    here = [ping for ping in reload.pings if ping.channel == owner.channel]
    if any(owner.user in ping.users or owner.user in reload.muted for ping in here):
        return {}
    people = () if owner.user in reload.muted else (owner.user,)
    return {len(reload.pings): Ping(owner.channel, people)}


def _steady(now: Callable[[], float]) -> Callable[[], float]:
    """`now`, but never ahead of where it was and the loop's clock: one that is set ahead ages no token."""
    before = now() - clock()
    return lambda: min(now(), before + clock())
