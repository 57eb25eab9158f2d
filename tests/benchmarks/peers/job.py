"""The job, the same for each bot: people's requests, the faults in between, and what people saw."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.peers.bots import REWARM, Running, running
from tests.benchmarks.peers.discord import Discord
from tests.stand_ins.discord import Channel, DiscordServer, Fault, Guild, Interaction, Member
from tests.stand_ins.model_api import ModelApiServer
from tests.wire import Wire
from tests.world import CANARY

SECONDS = 15.0
"""Seconds that a reload takes."""
RELOADS, OVER = 20, 10.0
"""The number of reloads in the first part, and the seconds over which they are requested, one per channel."""
CHANNELS = 4
BURST = 12
_START_SECONDS = 60.0
_SETTLE_SECONDS = 5.0
_IDLE_SECONDS = 10.0
_PATIENCE = 20.0
"""Seconds after the deadline to wait for late endings; a bot that has forgotten needs no longer."""
_AGAIN_SECONDS = 6.0
"""Seconds after the last ping to wait for a second one."""
_MIDDLE = 7.0
"""Seconds from the command until the fault begins."""
_EDIT, _PING = r"/messages/", r"^/(channels/\d+/messages|webhooks/\d+/[^/]+)$"


@dataclass(frozen=True)
class Part:
    """The result of a part: its reloads, how many endings were shown, and how often each was pinged."""

    title: str
    reloads: int
    ended: int
    pings: tuple[int, int, int]
    """Reloads with no ping, one ping, and two or more."""
    refused: int
    """Calls answered with 4xx, including those that were made to fail."""
    exits: int
    """How often the process ended."""


@dataclass(frozen=True)
class Result:
    """All parts; CPU in seconds, memory in MiB."""

    parts: list[Part]
    cpu_start: float
    cpu_reload: float
    """The CPU of each reload in the first part, less what the idle bot takes."""
    memory_idle: float
    memory_most: float
    violations: list[str]


async def do(which: str, command: list[str], folder: Path) -> Result:
    """Have a bot do the job, alone with a Discord and a model API."""
    async with Discord() as server, ModelApiServer() as api:
        wire = Wire(server, api, folder)
        environment = {
            **wire.environment,
            "GATEWAY_URL": server._gateway_url,
            "MODEL_API_KEY": CANARY,
            "RELOAD_SECONDS": str(SECONDS),
            "LOG_LEVEL": "INFO",
        }
        async with running(command, folder, environment) as bot:
            await _ready(server)
            if which == REWARM:
                await wire.set_key()
            return await _Job(server, wire.guild, bot).whole()


async def _ready(server: DiscordServer) -> None:
    await server.wait_for(lambda: server.connected.is_set() and server.commands, _START_SECONDS)


class _Job:
    def __init__(self, server: DiscordServer, guild: Guild, bot: Running) -> None:
        self._server = server
        self._guild = guild
        self._bot = bot
        self._channels = [server.add_channel(guild, f"art-{number}") for number in range(CHANNELS)]
        self._asked: list[Interaction] = []
        self._parts: list[Part] = []

    async def whole(self) -> Result:
        """Do all parts, one after another."""
        bot = self._bot
        await asyncio.sleep(_SETTLE_SECONDS)
        cpu_start, memory = bot.cpu(), bot.memory("VmRSS")
        await asyncio.sleep(_IDLE_SECONDS)
        before, began = bot.cpu(), time.monotonic()
        idle = (before - cpu_start) / _IDLE_SECONDS
        await self._part(f"{RELOADS} reloads", self._twenty)
        spent = bot.cpu() - before - idle * (time.monotonic() - began)
        most = bot.memory("VmHWM")
        await self._part(f"{BURST} in one moment, in one channel", self._burst)
        await self._part("one 429 in mid-countdown", self._limited)
        await self._part("the answer to the ping is lost", self._lost_answer)
        await self._part("the token dies in mid-countdown", self._dead_token)
        await self._part("one event lacks a field", self._odd_event)
        await self._part("kill -9 in mid-countdown", self._killed)
        violations = sorted({line.partition(": ")[2] for line in self._server.violations})
        return Result(self._parts, cpu_start, spent / RELOADS, memory, most, violations)

    async def _part(self, title: str, what: Callable[[], Awaitable[None]]) -> None:
        """Do it, wait until nothing more will come, and count."""
        self._asked, first, exits = [], len(self._server.requests), len(self._bot.ends)
        await what()
        ends = time.monotonic() + SECONDS + _PATIENCE
        while time.monotonic() < ends and not all(map(self._is_told, self._asked)):
            await asyncio.sleep(0.1)
        await asyncio.sleep(_AGAIN_SECONDS)
        pings = [min(2, self._pings(asked)) for asked in self._asked]
        part = Part(
            title,
            len(self._asked),
            sum(map(self._has_ended, self._asked)),
            (pings.count(0), pings.count(1), pings.count(2)),
            sum(400 <= request.status < 500 for request in self._server.requests[first:]),
            len(self._bot.ends) - exits,
        )
        self._parts.append(part)

    def _pings(self, asked: Interaction) -> int:
        return sum(asked.member.id in message.mentions for message in self._server.messages.values())

    def _has_ended(self, asked: Interaction) -> bool:
        """Return whether its reply says so."""
        return asked.message_id is not None and "Ready" in self._server.messages[asked.message_id].text

    def _is_told(self, asked: Interaction) -> bool:
        return self._has_ended(asked) and self._pings(asked) > 0

    async def _ask(self, channel: Channel) -> None:
        """Have somebody new type /reload, with a model of their own."""
        number = len(self._guild.members)
        member: Member = self._server.add_member(self._guild, f"person-{number}")
        options = {"model_id": f"model-{number}"}
        self._asked.append(await self._server.slash(member, channel, "reload", options))

    async def _twenty(self) -> None:
        async with asyncio.TaskGroup() as all_:
            for number in range(RELOADS):
                all_.create_task(self._ask(self._channels[number % CHANNELS]))
                await asyncio.sleep(OVER / RELOADS)

    async def _burst(self) -> None:
        async with asyncio.TaskGroup() as all_:
            for _ in range(BURST):
                all_.create_task(self._ask(self._channels[0]))

    async def _one(self) -> None:
        """Run one reload, up to the middle of its countdown."""
        await self._ask(self._channels[1])
        await asyncio.sleep(_MIDDLE)

    async def _limited(self) -> None:
        await self._one()
        self._server.faults.append(Fault("PATCH", _EDIT, status=429))

    async def _lost_answer(self) -> None:
        await self._one()
        self._server.faults.append(Fault("POST", _PING, reset="after"))

    async def _dead_token(self) -> None:
        await self._one()
        self._server.kill_token(self._asked[0])

    async def _odd_event(self) -> None:
        """Send a role event without the role, and request a second reload once the bot is connected again."""
        await self._one()
        self._server.emit("GUILD_ROLE_UPDATE", {"guild_id": str(self._guild.id)})
        await asyncio.sleep(_SETTLE_SECONDS)
        await _ready(self._server)
        await self._ask(self._channels[2])

    async def _killed(self) -> None:
        await self._one()
        self._bot.kill()
