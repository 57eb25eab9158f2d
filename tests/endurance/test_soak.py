"""Mixed load with faults for a long time: memory stays flat, and no task, file or form is left behind.

A short version runs with the other tests; `make soak` takes half an hour, and prints the figures.
"""

import asyncio
import contextlib
import functools
import os
import random
import secrets
from typing import TYPE_CHECKING

from aiohttp import web

from tests.endurance.past import begin_with_a_history
from tests.integration.test_health import free_port, samples
from tests.stand_ins.discord import Fault, Message, flat
from tests.stand_ins.model_api import ACCEPTED, Answer
from tests.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MINUTES = float(os.environ.get("SOAK_MINUTES", "0.2"))
LEAST_ENDED = 10 * MINUTES
"""Reloads without which nothing was tested; a slow machine takes longer for them."""
SETTLE_SECONDS = 90.0
BYTES_PER_RELOAD = 4096
"""Bytes of memory that an ended reload may take for the suggestions; 2 to 3 KB were measured."""
SLACK_BYTES = 16 * 2**20
_ROUTES = (
    ("POST", "/callback$"),
    ("PATCH", "/messages/"),
    ("POST", "/messages$"),
    ("POST", "/webhooks/"),
)
_HOWS: tuple[dict[str, object], ...] = (
    {"status": 500},
    {"status": 503},
    {"status": 429, "headers": {"Retry-After": "1", "Via": "1.1"}},
    {"reset": "before"},
    {"reset": "after"},
    {"delay": 3.0},
    {"status": 403, "code": 50013},
    {"status": 404, "code": 10008},
)
_SAID: tuple[object, ...] = (
    {"status": "error", "message": "Model not found"},
    {"status": "error", "message": "Insufficient credits"},
    {"status": "processing"},
    b"<html>",
)


class Load:
    """People who keep doing things, while faults keep happening."""

    def __init__(self, wire: Wire, dice: random.Random) -> None:
        self.wire = wire
        self.dice = dice
        self.done = 0
        self.people = [wire.server.add_member(wire.guild, f"person {n}") for n in range(30)]

    async def go_on(self) -> None:
        """Do something every tenth of a second or so."""
        rare = [self.bad_id, self.status, self.left_form, self.new_key, self.lose_gateway, self.other_server]
        acts: list[Callable[[], Awaitable[object]]] = [
            *[self.reload] * 10,
            *[self.suggest, self.fail, self.press, self.test] * 2,
            self.models,
            *rare,
        ]
        while True:
            await asyncio.sleep(self.dice.uniform(0.05, 0.25))
            if self.wire.server.connected.is_set():
                with contextlib.suppress(TimeoutError, AssertionError, ValueError):  # a fault
                    await self.dice.choice(acts)()
                self.done += 1

    async def reload(self) -> None:
        model, person = f"model-{self.dice.randrange(600)}", self.dice.choice(self.people)
        channel = self.dice.choice((self.wire.general, self.wire.art))
        await self.wire.server.slash(person, channel, "reload", {"model_id": model}, wait=0)

    async def suggest(self) -> None:
        person = self.dice.choice(self.people)
        await self.wire.server.autocomplete(person, self.wire.general, "reload", "model_id", "mod")

    def _labelled(self, *labels: str) -> list[tuple[Message, str]]:
        """The newest messages with one of these buttons."""
        newest = list(self.wire.server.messages.values())[-60:]
        found = [(message, part.get("label")) for message in newest for part in flat(message.components)]
        return [(message, label) for message, label in found if label in labels]

    async def press(self) -> None:
        if found := self._labelled("Notify me", "Don't notify me", "Reload again"):
            message, label = self.dice.choice(found)
            await self.wire.server.press(self.dice.choice(self.people), message, label, wait=0)

    async def test(self) -> None:
        if found := self._labelled("Test image"):
            message, label = self.dice.choice(found)
            form = await self.wire.server.press(self.dice.choice(self.people), message, label, wait=1)
            if form.modal is not None:
                await self.wire.server.submit_modal(form, {"prompt": "an apple"}, wait=0)

    async def models(self) -> None:
        listed = await self.wire.server.slash(
            self.dice.choice(self.people), self.wire.general, "models", wait=1
        )
        if listed.message_id is not None:
            page = self.wire.reply(listed)
            await self.wire.server.press(self.dice.choice(self.people), page, "Next", wait=0)

    async def bad_id(self) -> None:
        await self.wire.reload(model="no id at all")

    async def status(self) -> None:
        await self.wire.server.slash(self.wire.mod, self.wire.general, "key status", wait=0)

    async def left_form(self) -> None:
        if self.dice.random() < 0.3:
            await self.wire.server.slash(self.wire.mod, self.wire.general, "key set", wait=0)

    async def new_key(self) -> None:
        form = await self.wire.server.slash(self.wire.mod, self.wire.general, "key set", wait=1)
        await self.wire.server.submit_modal(form, {0: f"key-{secrets.token_hex(8)}"})

    async def fail(self) -> None:
        method, path = self.dice.choice(_ROUTES)
        self.wire.server.faults = [Fault(method, path, **self.dice.choice(_HOWS))]  # type: ignore[arg-type]

    async def lose_gateway(self) -> None:
        if self.dice.random() < 0.1:
            await self.wire.server.kick_gateway(forget=self.dice.random() < 0.5)

    async def other_server(self) -> None:
        guild = self.wire.server.add_guild("passing by")
        self.wire.server.add_channel(guild, "general")
        try:
            await asyncio.sleep(0.2)
        finally:  # the load may end in the meantime
            self.wire.server.remove_guild(guild)


async def answer(dice: random.Random, _: web.Request) -> web.StreamResponse:
    await asyncio.sleep(dice.uniform(0.0, 0.5))
    said = ACCEPTED if dice.random() < 0.7 else dice.choice(_SAID)
    return web.Response(body=said) if isinstance(said, bytes) else web.json_response(said)


async def test_nothing_grows(wire: Wire) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201  # shown when it fails
    dice = random.Random(seed)  # noqa: S311  # dice, not secrets
    port = free_port()
    wire.environment |= {"LOG_LEVEL": "ERROR", "HEALTH_PORT": str(port)}
    wire.server.limits = False
    wire.forked = False  # its memory is looked at
    begin_with_a_history(wire)
    async with wire.process():
        await wire.set_key()
        wire.api.reloads = [Answer(handler=functools.partial(answer, dice))]
        idle = await samples(port)
        load = Load(wire, dice)
        loading = asyncio.create_task(load.go_on())
        figures = []
        for _ in range(10):
            await asyncio.sleep(MINUTES * 6)
            assert not loading.done(), loading
            figures.append(await samples(port))
            _report(figures[-1], load.done)
            wire.server.requests.clear()
        async with asyncio.timeout(SETTLE_SECONDS):
            while _ended(await samples(port)) <= LEAST_ENDED:
                await asyncio.sleep(0.5)
        loading.cancel()
        wire.server.faults = []

        async def quiet() -> bool:
            now = await samples(port)
            tasks = now["rewarm_tasks"] - now["rewarm_forms"]  # a form that was left has one, for 15 minutes
            files = now["process_open_fds"] - idle["process_open_fds"]  # connections are kept for 15 s
            return now["rewarm_reloads_open"] == 0 and tasks <= idle["rewarm_tasks"] + 2 and files <= 3

        async with asyncio.timeout(SETTLE_SECONDS):
            while not await quiet():
                await asyncio.sleep(0.5)
        end = await samples(port)
    _report(end, load.done)
    warm = figures[2]
    kept = _ended(end) - _ended(warm)
    grown = end["process_resident_memory_bytes"] - warm["process_resident_memory_bytes"]
    print(f"memory grew by {grown / 1024:.0f} KiB over {kept:.0f} reloads that are kept")  # noqa: T201
    assert _ended(end) > LEAST_ENDED
    assert grown < kept * BYTES_PER_RELOAD + SLACK_BYTES
    assert end["rewarm_servers"] == idle["rewarm_servers"] == 1


def _ended(now: dict[str, float]) -> float:
    return sum(value for name, value in now.items() if name.startswith("rewarm_reloads_ended_total"))


def _report(now: dict[str, float], done: int) -> None:
    memory = now["process_resident_memory_bytes"] / 2**20
    tasks, files, forms = now["rewarm_tasks"], now["process_open_fds"], now["rewarm_forms"]
    ended, still = _ended(now), now["rewarm_reloads_open"]
    print(f"{done} acts, {ended:.0f} reloads ended, {still:.0f} open:", end=" ")  # noqa: T201  # the figures
    print(f"{memory:.1f} MiB, {tasks:.0f} tasks, {files:.0f} files, {forms:.0f} forms")  # noqa: T201
