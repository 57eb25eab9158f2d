"""The gateway: a websocket for each shard, identify and resume, and events.

Source: docs.discord.com/developers/events/gateway, and its close codes.
"""

import asyncio
import contextlib
import importlib
import secrets
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from tests.stand_ins.discord.answers import cut
from tests.stand_ins.discord.payloads import (
    channel_payload,
    guild_payload,
    member_payload,
    shown_on_gateway,
    user_payload,
)
from tests.stand_ins.discord.rules import Json
from tests.stand_ins.discord.state import BASE, Guild, Member, State, now

_PRIVILEGED_INTENTS = 1 << 1 | 1 << 8 | 1 << 15
_HEARTBEAT_SECONDS = 41.25


class _Line:
    """One WebSocket, written in order, compressed as its client asked."""

    def __init__(self, ws: web.WebSocketResponse, http: web.Request) -> None:
        self.ws = ws
        self.http = http
        self.pack = _packer(http.query.get("compress"))
        self._waiting: asyncio.Queue[Json] = asyncio.Queue()

    def send(self, payload: Json) -> None:
        self._waiting.put_nowait(payload)

    async def keep_alive(self) -> None:
        """Acknowledge heartbeats unasked: in virtual time none come, as discord.py's beat in real time."""
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            self.send({"op": 11, "d": None})

    async def write(self) -> None:
        """Run until cancelled or closed."""
        with contextlib.suppress(ConnectionError):
            while True:
                text = orjson.dumps(await self._waiting.get())
                if self.pack is None:
                    await self.ws.send_str(text.decode())
                else:
                    await self.ws.send_bytes(self.pack(text))


def _packer(compress: str | None) -> Callable[[bytes], bytes] | None:
    if compress == "zlib-stream":
        deflate = zlib.compressobj()
        return lambda text: deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH)
    if compress == "zstd-stream":  # asked for only where this package is installed
        zstandard = importlib.import_module("zstandard")
        stream = zstandard.ZstdCompressor().compressobj()
        return lambda text: bytes(
            stream.compress(text) + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK),
        )
    return None


@dataclass(eq=False)
class _Session:
    """One shard's login; it outlives its connection, so that it can be resumed."""

    id: str
    shard: int
    shards: int
    line: _Line | None
    sent: list[Json] = field(default_factory=list)

    def covers(self, guild: Guild) -> bool:
        return (guild.id >> 22) % self.shards == self.shard

    def emit(self, name: str, data: Json) -> None:
        self.sent.append({"op": 0, "t": name, "s": len(self.sent) + 1, "d": data})
        if self.line is not None:
            self.line.send(self.sent[-1])


class Gateway(State):
    """Sends each shard the events of its servers."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._sessions: dict[str, _Session] = {}
        self._lines: set[_Line] = set()

    async def kick_gateway(self, *, forget: bool = False, code: int = 4000) -> None:
        """Close all websockets; with `forget`, their sessions can't be resumed either."""
        if forget:
            self._sessions.clear()
        self.connected.clear()
        await asyncio.gather(*(line.ws.close(code=code) for line in self._lines))

    def emit(self, name: str, data: Any) -> None:
        """Send every shard an event, however odd; like any other, it is repeated after a resume."""
        for session in self._sessions.values():
            session.emit(name, data)

    async def send_frame(self, frame: bytes, *, raw: bool = False) -> None:
        """Send every shard a frame of these bytes, compressed as it asked; or `raw`, unchanged."""
        for line in self._lines:
            packed = frame if raw or line.pack is None else line.pack(frame)
            await line.ws.send_bytes(packed)

    def _emit(self, guild: Guild, name: str, data: Json) -> None:
        for session in self._sessions.values():
            if session.covers(guild):
                session.emit(name, data)

    @property
    def _gateway_url(self) -> str:
        return self.url.replace("http://", "ws://").removesuffix(BASE) + "/gateway"

    async def _gateway(self, http: web.Request) -> web.StreamResponse:
        trouble = self.gateway_trouble.pop(0) if self.gateway_trouble else ""
        if self.gateway_refuses or trouble == "refused":
            self.gateway_refused += 1
            raise web.HTTPServiceUnavailable
        ws = web.WebSocketResponse()
        await ws.prepare(http)
        if trouble:
            return await _greet_badly(ws, trouble)
        line = _Line(ws, http)
        self._lines.add(line)
        writing = asyncio.create_task(line.write())
        line.send({"op": 10, "d": {"heartbeat_interval": _HEARTBEAT_SECONDS * 1000}})
        living = asyncio.create_task(line.keep_alive())
        try:
            if (http.query.get("v"), http.query.get("encoding")) != ("10", "json"):
                await self._hang_up(line, 4012, "version 10 and encoding json are spoken here")
            async for frame in ws:
                if frame.type in (WSMsgType.TEXT, WSMsgType.BINARY):  # hikari sends its text as bytes
                    await self._hear(line, orjson.loads(frame.data))
        finally:
            writing.cancel()
            living.cancel()
            self._lost(line)
        return ws

    def _lost(self, line: _Line) -> None:
        """Its session waits to be resumed."""
        self._lines.discard(line)
        for session in self._sessions.values():
            session.line = None if session.line is line else session.line
        if not any(session.line for session in self._sessions.values()):
            self.connected.clear()

    async def _hear(self, line: _Line, payload: Json) -> None:
        if payload["op"] == 1:
            line.send({"op": 11, "d": None})
        elif payload["op"] == 2:
            await self._identify(line, payload["d"])
        elif payload["op"] == 6:
            await self._resume(line, payload["d"])
        elif payload["op"] not in (3, 4, 8):  # presence, voice, members: nothing comes of them here
            await self._hang_up(line, 4001, f"unknown opcode {payload['op']}")

    async def _hang_up(self, line: _Line, code: int, why: str, *, wrong: bool = True) -> None:
        if wrong:
            self.violations.append(f"gateway: {why}")
        await line.ws.close(code=code)

    async def _identify(self, line: _Line, data: Json) -> None:
        self.identifies.append(data)
        self.login_times.append(now())
        shard, shards = data.get("shard") or (0, 1)
        if data.get("token") != self.token:
            await self._hang_up(line, 4004, "wrong token", wrong=False)
        elif type(data.get("intents")) is not int:
            await self._hang_up(line, 4013, "IDENTIFY needs intents")
        elif data["intents"] & _PRIVILEGED_INTENTS:
            await self._hang_up(line, 4014, "privileged intents are not enabled")
        elif not 0 <= shard < shards:
            await self._hang_up(line, 4010, "no such shard")
        elif not self.logins.take(now()):
            line.send({"op": 9, "d": False})
        elif self.logins.remaining < 0:
            self.token = secrets.token_hex(16)
            await self._hang_up(line, 4004, "more logins than a day has: the token is reset")
        elif self.login_trouble:
            await self._fail(line, self.login_trouble.pop(0))
        else:
            self._begin(_Session(secrets.token_hex(16), shard, shards, line))

    async def _fail(self, line: _Line, how: str | int) -> None:
        """Send no READY, or an "odd" one; if it is "lost", the session does not live for long."""
        if how in ("invalid", "resumable"):
            line.send({"op": 9, "d": how == "resumable"})
        elif how == "lost":
            shard, shards = self.identifies[-1]["shard"]
            self._begin(session := _Session(secrets.token_hex(16), shard, shards, line))
            del self._sessions[session.id]
            asyncio.get_running_loop().call_later(1.0, cut, line.http)
        elif how == "odd":
            shard, shards = self.identifies[-1]["shard"]
            self._begin(_Session(secrets.token_hex(16), shard, shards, line), resume_gateway_url=None)
        elif how == "cut":
            cut(line.http)
        elif how != "silent":
            await line.ws.close(code=int(how))

    def _begin(self, session: _Session, **odd: Any) -> None:
        self._sessions[session.id] = session
        guilds = [guild for guild in self.guilds if session.covers(guild)]
        ready = {
            "v": 10,
            "user": self._bot_user(),
            "guilds": [{"id": str(guild.id), "unavailable": True} for guild in guilds],
            "session_id": session.id,
            "resume_gateway_url": self._gateway_url,
            "shard": [session.shard, session.shards],
            "application": {"id": str(self.application_id), "flags": 0},
            **odd,
        }
        session.emit("READY", ready)
        for guild in guilds:
            session.emit("GUILD_CREATE", self._guild_payload(guild))
        self.connected.set()

    async def _resume(self, line: _Line, data: Json) -> None:
        session = self._sessions.get(data.get("session_id", ""))
        if data.get("token") != self.token:
            await self._hang_up(line, 4004, "wrong token", wrong=False)
        elif session is None:
            line.send({"op": 9, "d": False})
        else:
            self.resumes += 1
            for missed in session.sent[data["seq"] :]:
                line.send(missed)
            session.line = line
            session.emit("RESUMED", {})
            self.connected.set()

    def _bot_user(self) -> Json:
        return {**user_payload(self.application_id, "bot"), "bot": True}

    def _guild_payload(self, guild: Guild) -> Json:
        lists = (
            "voice_states",
            "presences",
            "stage_instances",
            "guild_scheduled_events",
            "soundboard_sounds",
        )
        return {
            **guild_payload(guild),
            "unavailable": False,
            "member_count": len(guild.members) + 1,
            "channels": [shown_on_gateway(channel) for channel in guild.channels],
            "threads": [channel_payload(t) for t in guild.threads if t.is_seen and not t.archived],
            "members": [member_payload(Member(self.application_id, guild, "bot"))],
            **{name: [] for name in lists},
        }


async def _greet_badly(ws: web.WebSocketResponse, how: str) -> web.WebSocketResponse:
    if how == "silent":
        await ws.receive()
    elif how == "garbage":
        await ws.send_str("<html>")
    elif how == "asked to come again":
        await ws.send_str('{"op": 7, "d": null}')
    await ws.close(code=4000)
    return ws
