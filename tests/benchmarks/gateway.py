"""The gateway of the benchmark's Discord: one bot's websocket, and people's commands."""

import asyncio
import zlib
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from tests.benchmarks import places

Json = dict[str, Any]
APPLICATION = 900000000000000000
_HEARTBEAT_MS = 41250
_RIGHTS = str(1 << 10 | 1 << 11 | 1 << 16 | 1 << 31)


class Gateway:
    """Greets one bot, tells it of its servers, and sends it events."""

    def __init__(self, servers: int) -> None:
        self.servers = servers
        self.url = ""
        self.connected = asyncio.Event()
        self._ws: web.WebSocketResponse | None = None
        self._deflate: Any = None
        self._sequence = 0
        app = web.Application()
        app.router.add_get("/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> None:
        """Listen on a separate port."""
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"ws://127.0.0.1:{self._runner.addresses[0][1]}"

    async def dispatch(self, name: str, data: Json) -> None:
        """Send an event; it has been written when this returns."""
        self._sequence += 1
        await self._send({"op": 0, "t": name, "s": self._sequence, "d": data})

    async def _send(self, payload: Json) -> None:
        text = orjson.dumps(payload)
        assert self._ws is not None
        if self._deflate is None:
            await self._ws.send_str(text.decode())
        else:
            await self._ws.send_bytes(
                self._deflate.compress(text) + self._deflate.flush(zlib.Z_SYNC_FLUSH), compress=0
            )

    async def _serve(self, http: web.Request) -> web.WebSocketResponse:
        ws = self._ws = web.WebSocketResponse()
        await ws.prepare(http)
        self._deflate = zlib.compressobj() if http.query.get("compress") == "zlib-stream" else None
        await self._send({"op": 10, "d": {"heartbeat_interval": _HEARTBEAT_MS}})
        async for frame in ws:
            if frame.type is WSMsgType.TEXT:
                await self._hear(orjson.loads(frame.data))
        return ws

    async def _hear(self, said: Json) -> None:
        if said["op"] == 1:
            await self._send({"op": 11, "d": None})
        elif said["op"] == 2:
            known = [{"id": str(places.server(n)), "unavailable": True} for n in range(self.servers)]
            about = {
                "user": user(APPLICATION, "bot") | {"bot": True},
                "guilds": known,
                "session_id": "made-up",
            }
            own = {"application": {"id": str(APPLICATION), "flags": 0}, "resume_gateway_url": self.url}
            await self.dispatch("READY", {"v": 10, **about, **own, "shard": said["d"].get("shard", [0, 1])})
            for place in range(self.servers):
                await self.dispatch("GUILD_CREATE", _server(place))
            self.connected.set()


def user(number: int, name: str) -> Json:
    """Return a person as Discord describes one."""
    return {"id": str(number), "username": name, "discriminator": "0", "avatar": None, "global_name": name}


def _member(number: int) -> Json:
    joined = "2026-01-01T00:00:00+00:00"
    about = {"roles": [], "joined_at": joined, "flags": 0, "deaf": False, "mute": False}
    return {"user": user(number, "somebody"), **about}


def _channel(server: int, number: int) -> Json:
    about = {"type": 0, "name": "general", "position": 0, "nsfw": False, "permission_overwrites": []}
    return {"id": str(number), "guild_id": str(server), **about}


def _server(place: int) -> Json:
    server = places.server(place)
    everyone = {"id": str(server), "name": "@everyone", "permissions": "0", "position": 0, "color": 0}
    lists = ("emojis", "stickers", "features", "voice_states", "threads", "presences", "stage_instances")
    channels = [_channel(server, places.channel(place, number)) for number in range(places.CHANNELS)]
    return {
        "id": str(server),
        "name": f"server {place}",
        "owner_id": "1",
        "unavailable": False,
        "member_count": 100,
        "preferred_locale": "en-US",
        "roles": [everyone | {"hoist": False, "managed": False, "mentionable": False}],
        "channels": channels,
        "members": [_member(APPLICATION)],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
        **{name: [] for name in lists},
    }


def reload_typed(number: int, place: int, id_: int) -> Json:
    """Somebody types /reload."""
    server, channel = places.server(place), places.channel(place, number)
    option = {"type": 3, "name": "model_id", "value": f"model-{places.message(id_)}"}
    return {
        "id": str(id_),
        "application_id": str(APPLICATION),
        "type": 2,
        "token": places.token(id_, channel),
        "version": 1,
        "data": {"id": "1", "name": "reload", "type": 1, "options": [option]},
        "guild_id": str(server),
        "guild": {"id": str(server), "locale": "en-US", "features": []},
        "channel_id": str(channel),
        "channel": {**_channel(server, channel), "permissions": _RIGHTS},
        "member": {**_member(places.member(number)), "permissions": _RIGHTS},
        "app_permissions": _RIGHTS,
        "locale": "en-US",
        "guild_locale": "en-US",
        "entitlements": [],
        "authorizing_integration_owners": {"0": str(server)},
        "context": 0,
        "attachment_size_limit": 10 * 2**20,
    }
