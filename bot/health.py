"""Health and metrics over HTTP, for a supervisor and for Prometheus."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from bot.domain.errors import StoreTrouble
from bot.metrics import Metrics
from bot.store.base import Store

LAG_INTERVAL = 0.5
PROBE_TIMEOUT = 2.0
_MARK = "health"
_OK = "ok"


class Health:
    """Serves /livez, /readyz and /metrics; `gateway` returns "ok", or what is wrong."""

    def __init__(
        self, host: str, port: int, metrics: Metrics, store: Store, gateway: Callable[[], str]
    ) -> None:
        self._host, self._port = host, port
        self._measured = metrics
        self._store = store
        self._gateway = gateway
        app = web.Application()
        app.router.add_get("/livez", self._live)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self._lag: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start serving. Raises OSError if the port is taken or the address is not this machine's."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self._lag = asyncio.create_task(self._watch_the_loop(), name="loop-lag")

    async def stop(self) -> None:
        """Stop serving."""
        if self._lag is not None:
            self._lag.cancel()
        await self._runner.cleanup()

    async def _live(self, _: web.Request) -> web.Response:
        """Answer, which shows that the event loop is running."""
        return web.Response(text="ok\n")

    async def _ready(self, _: web.Request) -> web.Response:
        """Tell whether people are being served, with one line per part."""
        is_written, fault = await self._can_write(), self._store.fault
        parts = {"gateway": self._gateway(), "store": _OK if is_written and not fault else "not ok"}
        is_ready = set(parts.values()) == {_OK}
        text = "".join(f"{part} {state}\n" for part, state in parts.items())
        text += f"{fault}\n" if fault else ""
        return web.Response(text=text, status=200 if is_ready else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        headers: dict[str, Any] = {"Content-Type": CONTENT_TYPE_LATEST}
        return web.Response(body=self._measured.text(), headers=headers)

    async def _can_write(self) -> bool:
        with suppress(StoreTrouble, TimeoutError):
            async with asyncio.timeout(PROBE_TIMEOUT):
                await self._store.set_value(_MARK, round(time.time()))
                return True
        return False

    async def _watch_the_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_INTERVAL
            await asyncio.sleep(LAG_INTERVAL)
            self._measured.loop_lag.observe(max(0.0, loop.time() - due))
