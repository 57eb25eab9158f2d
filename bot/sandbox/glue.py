"""Turns simcord's preview into a live page in Rewarm's style; simcord's private names are used only here.

simcord is pinned, and tests/integration/test_glue.py says what is missing when it changes. Out of the box,
the preview is a developer's tool: it shows a change only on demand, refuses a click on what has changed
since, and its time stands still.
"""

import asyncio
import errno
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import simcord
import tzlocal
from aiohttp import web
from discord import Client
from simcord._settlement import _active_callbacks, _run_due_virtual_callbacks
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle
from simcord.preview import Preview
from simcord.preview._server import PreviewServer

from bot.domain.errors import Refusal
from bot.sandbox.patches import PATCHES, PLACES, STATIC

_SETTLE_DELAY = 0.15
_PUBLISH_INTERVAL = 0.2
_CLOSE_TIMEOUT = 2.0
_CLOCK_INTERVAL = 0.5


class LiveEnv(simcord.Env):
    """A Discord in this process that runs in real time, and in which the bot has a name."""

    def __init__(self, bot: Client, name: str) -> None:
        super().__init__(bot, check_errors=False)
        self.backend.bot_user.name = name
        self.backend.clock._epoch = datetime.now(UTC)
        self._began = time.monotonic()

    def pass_time(self, seconds: float) -> None:
        """Make it this much later; no timer goes off, as when a machine has slept."""
        self.backend.clock._epoch += timedelta(seconds=seconds)

    async def catch_up(self) -> None:
        """Move Discord's clock to the real time, and fire the bot's timers that are due."""
        behind = time.monotonic() - self._began - self.backend.clock.elapsed
        if behind > 0:  # in its own task: a timer that fires in between waits until that is done
            await asyncio.create_task(self.advance_time(behind), name="catch-up")

    def _record_error(self, error: BaseException) -> None:
        """Ignore a refusal: the bot answers it, so nothing has failed."""
        if not isinstance(error, Refusal):
            super()._record_error(error)

    async def _settle_internal(self, *, dispatch: str | None = None, **_: Any) -> None:
        """Give the bot a moment instead of waiting until it has nothing to do, since it counts down."""
        self._last_dispatch = dispatch
        _run_due_virtual_callbacks(self._settlement_state(), asyncio.get_running_loop().time() + 1)
        _active_callbacks(self._settlement_state())  # forgets those that are done
        await asyncio.sleep(0 if self._advancing else _SETTLE_DELAY)


class LivePage(Preview):
    """The page: shows each change immediately and accepts every click.

    `async with` serves it; `run` keeps it up to date.
    """

    def __init__(
        self,
        env: LiveEnv,
        channel: ChannelHandle,
        viewers: tuple[MemberActor, ...],
        port: int,
        wait: str,
        restart: Callable[[], Awaitable[None]],
        day: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(
            env,
            channel,
            viewers,
            layout="channel",
            display="responsive",
            width=1280,
            height=800,
            locale="en-US",
            timezone=tzlocal.get_localzone_name(),
            presentation_time=None,
            assets=None,
            port=port,
        )
        self._server = self._ours = _Server(self, port, wait)
        self._live = env
        self._restart, self._day = restart, day
        self._restarting: asyncio.Task[None] | None = None
        self._is_here, self._days = True, 0
        self._turn = asyncio.Lock()
        """simcord does one thing at a time and refuses others; here they wait."""
        self._changed = asyncio.Event()
        env.backend.subscribers.append(lambda *_: self._changed.set())

    @property
    def opener(self) -> str:
        """An address that leads to `url` once: other users can see a browser's arguments."""
        return f"{self._origin}{self._ours.ticket}"

    @property
    def refused(self) -> str:
        """Why the wanted port can't be used; empty if it is."""
        return self._ours.refused

    async def run(self) -> None:
        """Keep the page and Discord's clock up to date, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publish_changes(), name="publish")
            tasks.create_task(self._follow_the_clock(), name="clock")

    async def _restart_once(self) -> None:
        """Restart the bot; a second request in between gets the same restart."""
        if self._restarting is None or self._restarting.done():
            self._restarting = asyncio.create_task(self._restart_in_turn(), name="restart")
        await asyncio.shield(self._restarting)

    async def _restart_in_turn(self) -> None:
        async with self._turn:
            self._is_here = False
            await self._restart()
            self._is_here = True
            self._changed.set()

    def _about(self) -> dict[str, Any]:
        """Return what every tab shows: time, date if days have passed, whether the bot is there."""
        away = self._restarting is not None and not self._restarting.done()
        now = self.env.now()
        return {
            "bot": "away" if away else "here" if self._is_here else "gone",
            "now": now.timestamp(),
            "today": f"{now:%B} {now.day}" if self._days else "",
        }

    async def _pass_a_day(self) -> None:
        async with self._turn:
            await self._day()
            self._days += 1
            self._changed.set()

    async def settle(self) -> None:
        """Wait for a restart that is under way."""
        if self._restarting is not None:
            await asyncio.wait((self._restarting,))

    async def _publish_changes(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await asyncio.sleep(_PUBLISH_INTERVAL)  # changes that come together count as one
            self._advance_presentation_time()
            for page in tuple(self._pages.values()):
                if page.id in self._pages:
                    self._publish(page, reason="refresh")

    async def _follow_the_clock(self) -> None:
        known = 0
        while True:
            await asyncio.sleep(_CLOCK_INTERVAL)
            async with self._turn:
                await self._live.catch_up()
            if len(self.env.http_requests) > known:  # an edit of a private answer is not an event
                known = len(self.env.http_requests)
                self._changed.set()

    async def _action(self, context_id: str | None, body: Mapping[str, Any]) -> dict[str, Any]:
        """Do what was clicked, even if the page has changed since; restart the bot; let a day pass."""
        if isinstance(body, dict) and (kind := body.get("kind")) in ("about", "restart", "day"):
            self._get_page(context_id)
            if kind == "restart":
                await self._restart_once()
            elif kind == "day":
                await self._pass_a_day()
            return self._about()
        async with self._turn:
            page = self._get_page(context_id)
            if isinstance(body, dict) and "published_revision" in body:
                now = {"published_revision": page.revision, "bot_generation": self.env._generation}
                body = {**body, **now}
            return await super()._action(context_id, body)


class _Server(PreviewServer):
    """simcord's server, with our page and our files."""

    _STATIC_CONTENT_TYPES: ClassVar[dict[str, str]] = {
        **PreviewServer._STATIC_CONTENT_TYPES,
        str(STATIC / "sandbox.css"): "text/css",
        str(STATIC / "sandbox.js"): "application/javascript",
        str(STATIC / "rewarm.svg"): "image/svg+xml",
    }

    def __init__(self, preview: LivePage, port: int, wait: str) -> None:
        super().__init__(preview, port)
        self.ticket = f"/{secrets.token_urlsafe(16)}"
        self._wait = wait
        self.refused = ""
        """Why the wanted port can't be used."""
        ours = {
            f"/{Path(name).name}": name for name in self._STATIC_CONTENT_TYPES if Path(name).is_absolute()
        }
        self._STATIC_FILES = {**PreviewServer._STATIC_FILES, **ours, self.ticket: "index.html"}  # type: ignore[misc]

    async def start(self) -> None:
        """Serve at the wanted port, or at any free one if that is taken."""
        try:
            await super().start()
        except simcord.SetupError as error:
            self.refused = os.strerror(getattr(error.__cause__, "errno", None) or errno.EADDRINUSE)
            await self.close()
            self._requested_port = 0
            await super().start()

    async def close(self) -> None:
        """Close without waiting for clients that never finish their requests."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await super().close()

    async def _index(self, request: web.Request) -> web.Response:
        response: web.Response = await super()._index(request)
        response.text = dress(response.text or "", self._wait)
        return response

    async def _static(self, request: web.Request) -> web.Response:
        response: web.Response = await super()._static(request)
        if request.path in PATCHES:
            response.text = replaced(response.text or "", PATCHES[request.path])
        if request.path == self.ticket:
            del self._STATIC_FILES[self.ticket]
            raise web.HTTPFound(f"/#{self.preview.capability}")
        return response


def dress(html: str, wait: str) -> str:
    """Put our parts into simcord's page. Raises ValueError if it has no place for one."""
    return replaced(html, PLACES).replace("{wait}", wait)


def replaced(text: str, parts: Mapping[str, str]) -> str:
    """Replace each key with its part. Raises ValueError if a key doesn't occur exactly once."""
    for place, part in parts.items():
        if text.count(place) != 1:
            raise ValueError(f"simcord has changed: there is no single {place!r}")
        text = text.replace(place, part)
    return text
