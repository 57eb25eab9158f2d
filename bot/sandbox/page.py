"""The sandbox as a page in the browser: the real bot, a Discord-like channel, a stand-in model API."""

import asyncio
import os
import signal
import sys
import threading
import time
import webbrowser

from bot import logs
from bot.app import Rewarm
from bot.sandbox.glue import LiveEnv, LivePage
from bot.sandbox.world import Surroundings, World, surroundings
from bot.words.common import span

PORT = 8017
_DAY = 86400.0
AWAY_DELAY = 3.0
"""Seconds that a restart takes: long enough to see that the bot is away."""


async def serve(seconds: float, port: int = PORT) -> int:
    """Serve the page until Ctrl-C or SIGTERM; a reload takes this many seconds.

    `port`: the wanted one (0: any); if it is taken, a free one.
    """
    logs.set_up("WARNING", "console", [])
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with surroundings(seconds) as around:
        clock = _Clock()
        sandbox = _Sandbox(around, await around.build(clock), clock, port)
        try:
            await sandbox.show(told)
        finally:
            await sandbox.stop()
    return 0


class _Sandbox:
    """The bot in its made-up Discord."""

    def __init__(self, around: Surroundings, bot: Rewarm, clock: "_Clock", port: int) -> None:
        self._around = around
        self._clock = clock
        self._port = port
        self._bot: Rewarm | None = bot
        self._env = LiveEnv(bot, "Rewarm")

    async def show(self, told: asyncio.Event) -> None:
        """Open the page, and keep it live until it is stopped."""
        await self._env.start()
        world = World.of(self._env)
        bot = self._bot
        if bot is None:
            raise RuntimeError("the bot has been stopped")
        await world.remember_models(bot.store)
        page = LivePage(
            self._env,
            world.channel,
            (world.mod, world.ana),
            port=self._port,
            wait=span(self._around.settings.reload_seconds, bot.languages.of("")),
            restart=self.restart,
            day=self.day,
        )
        async with page, asyncio.TaskGroup() as tasks:
            living = tasks.create_task(page.run(), name="page")
            _say(page.url, self._port, page.refused)
            if _on_a_desktop():
                threading.Thread(target=webbrowser.open, args=(page.opener,), daemon=True).start()
            await told.wait()
            print("Stopping …", flush=True)  # noqa: T201
            await page.settle()
            living.cancel()

    async def restart(self) -> None:
        """Stop the bot, stay away for a moment, and start it again on the same store."""
        await self._close()
        await asyncio.sleep(AWAY_DELAY)
        await self._env.catch_up()  # while there is no bot: a jump in its time would be our fault
        bot = self._bot = await self._around.build(self._clock)
        await self._env.restart_bot(bot)

    async def day(self) -> None:
        """Let a day pass, and check watched models as the bot would have done."""
        self._clock.ahead += _DAY
        self._env.pass_time(_DAY)
        if self._bot is not None:
            for _ in range(2):  # an announcement is made when it is due in two looks
                await self._bot.watches.look()

    async def stop(self) -> None:
        """Stop the bot and its Discord."""
        await self._close()
        await self._env.shutdown()

    async def _close(self) -> None:
        bot, self._bot = self._bot, None  # a restart that fails leaves none
        if bot is not None:
            await bot.close()
            bot.store.close()


class _Clock:
    """The time here: the real time plus the days that have passed."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def _on_a_desktop() -> bool:
    screen = sys.platform == "darwin" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return screen and sys.stdout.isatty()


def _say(url: str, wanted: int, refused: str) -> None:
    if refused:
        print(f"Port {wanted} can't be used ({refused}), so this sandbox uses another one.")  # noqa: T201
    print(  # noqa: T201
        f"The sandbox is running, on this computer only:\n\n  {url}\n\n"
        "Press Ctrl-C to stop it. Nothing is left behind.",
        flush=True,
    )
