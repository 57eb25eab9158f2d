"""Plays a conversation in the terminal: key set → reload → live countdown → ready → ping.

The bot is the real one, and so is its HTTP to the stand-in model API; Discord is simcord, in this process.
"""

import asyncio
import re
import sys
import time
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

import discord
import simcord

from bot import logs
from bot.sandbox.world import World, surroundings

if TYPE_CHECKING:
    from collections.abc import Callable

_MODEL = "sdxl-turbo"
_TEXT_DISPLAY = 10
_GRACE_DELAY = 5
_TYPING_DELAY = 0.2
_NAME_WIDTH = 7


async def play(seconds: float) -> int:
    """Play the conversation with a reload of this many seconds, in real time; 0 if the ping arrived."""
    logs.set_up("WARNING", "console", [])
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that can't show the bar shows the rest
    async with surroundings(seconds) as around:
        bot = await around.build(lambda: discord.utils.utcnow().timestamp())
        env = simcord.Env(bot, settle_timeout=1.0)
        await env.start()
        try:
            pinged = await _converse(env, seconds)
        finally:
            await bot.close()
            await env.shutdown()
            bot.store.close()
    return 0 if pinged else 1


async def _converse(env: simcord.Env, seconds: float) -> bool:
    world = World.of(env)
    channel, mod, ana = world.channel, world.mod, world.ana
    stage = _Stage({mod.id: "mod", ana.id: "ana"}, env)
    print("A sample conversation with Rewarm and a stand-in for the model API.", end=" ")  # noqa: T201
    print(f"A reload takes {seconds:g} s here.\n")  # noqa: T201

    stage.say("mod", "/key set")
    form = await mod.slash(channel, "key set")
    stage.say("mod", "(pastes the key into a form that only mod can see)")
    stored = await mod.submit_modal(form, {"key": "a-made-up-key"})
    said = stored.response.content if stored.response else "?"
    stage.say("Rewarm", f"(only mod can see this) {stage.readable(said)}")

    stage.say("ana", f"/reload {_MODEL}")
    env.backend.subscribers.append(stage.watch)
    await ana.slash(channel, "reload", model_id=_MODEL)
    began, began_there = time.perf_counter(), env.now()
    while not stage.pinged and time.perf_counter() - began < seconds + _GRACE_DELAY:
        await asyncio.sleep(_TYPING_DELAY)
        behind = time.perf_counter() - began - (env.now() - began_there).total_seconds()
        if behind > 0:
            await env.advance_time(behind)
    return stage.pinged


class _Stage:
    """Prints what people see, each message with the time since the start."""

    def __init__(self, people: dict[int, str], env: simcord.Env) -> None:
        self.pinged = False
        self._people = people
        self._env = env
        self._began = time.perf_counter()  # the one clock that simcord leaves alone

    def say(self, who: str, text: str) -> None:
        """Print what somebody says; further lines are aligned under the first."""
        clock = time.strftime("%M:%S", time.gmtime(time.perf_counter() - self._began))
        indent = "\n" + " " * (len(clock) + _NAME_WIDTH + 4)
        sys.stdout.write(f"{clock}  {who:<{_NAME_WIDTH}}  {text.replace(chr(10), indent)}\n")
        sys.stdout.flush()

    def watch(self, event: str, payload: Any) -> None:
        """Print each message of the bot when it is posted or edited."""
        if event not in ("MESSAGE_CREATE", "MESSAGE_UPDATE"):
            return
        plain = payload.get("content") or ""
        text = plain or _text(payload.get("components", []))
        if text:
            self.say("Rewarm", self.readable(text))
        self.pinged = self.pinged or bool(plain)

    def readable(self, text: str) -> str:
        """Return a text as Discord would draw it: names for mentions, times of day, no markup."""
        draw: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
            (r"<@(\d+)>", lambda found: "@" + self._people.get(int(found[1]), "someone")),
            (r"<t:(\d+):\w>", lambda found: self._time_of_day(int(found[1]))),
            (r"</([\w ]+):\d+>", lambda found: "/" + found[1]),
            (r"\*\*|`", lambda _: ""),
        )
        for pattern, replace in draw:
            text = re.sub(pattern, replace, text)
        return text

    def _time_of_day(self, virtual: int) -> str:
        ahead = time.time() - self._env.now().timestamp()  # the bot's time is virtual
        return time.strftime("%H:%M", time.localtime(virtual + ahead))


def _text(components: list[dict[str, Any]]) -> str:
    own = [part["content"] for part in components if part["type"] == _TEXT_DISPLAY]
    return "\n".join([*own, *(_text(part["components"]) for part in components if "components" in part)])
