"""A stand-in for Discord on 127.0.0.1: its REST routes that the bot uses, and its gateway.

Follows Discord's documentation, and is strict: a body that Discord would refuse is refused with its code
and noted in `violations`. What the real Discord does beyond its documentation is not known here.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import WSMsgType, web

LOADING, EPHEMERAL, COMPONENTS_V2 = 1 << 7, 1 << 6, 1 << 15
MANAGE_GUILD = 1 << 5
_EPOCH_MS = 1420070400000
_SEND = {
    "content",
    "components",
    "allowed_mentions",
    "flags",
    "nonce",
    "enforce_nonce",
    "message_reference",
    "tts",
}
_EDIT = {"tts", "content", "components", "allowed_mentions", "flags", "embeds", "attachments"}
_CALLBACK = {"content", "components", "allowed_mentions", "flags", "tts"}
_ACKNOWLEDGE_SECONDS, _TOKEN_SECONDS, _NONCE_SECONDS = 3.0, 15 * 60.0, 300.0
_BODY = web.RequestKey("body", dict[str, Any])
_MODAL, _AUTOCOMPLETE, _DEFERRED, _MESSAGE = 9, 8, 5, 4


@dataclass(frozen=True)
class Request:
    """One REST call; `at` is the loop's clock."""

    at: float
    method: str
    path: str
    body: Any
    status: int


@dataclass
class Fault:
    """What goes wrong with the next `times` calls that match.

    `reset` "before": the connection is dropped and nothing done; "after": it is done, and the answer lost.
    """

    method: str
    path: str
    times: int = 1
    status: int | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    reset: str = ""


@dataclass
class Message:
    """A message as it stands, with every earlier state as (clock, text)."""

    id: int
    channel: int
    flags: int
    text: str = ""
    pinged: tuple[int, ...] = ()
    nonce: str | None = None
    reference: dict[str, Any] | None = None
    history: list[tuple[float, str]] = field(default_factory=list)


@dataclass
class Interaction:
    """An interaction and what the bot answered."""

    id: int
    token: str
    channel: int
    created: float
    kind: int | None = None
    data: dict[str, Any] = field(default_factory=dict)
    reply: Message | None = None
    token_dead: bool = False


class Refused(Exception):
    """Discord says no."""

    def __init__(self, status: int, code: int, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class DiscordApi:
    """One application in one server with one channel."""

    def __init__(self, token: str = "made-up") -> None:
        self.token = token
        self.application = self._snowflake()
        self.guild, self.channel, self.other_channel = (self._snowflake() for _ in range(3))
        self.url = ""
        self.requests: list[Request] = []
        self.violations: list[str] = []
        self.messages: dict[int, Message] = {}
        self.interactions: dict[str, Interaction] = {}
        self.commands: list[dict[str, Any]] = []
        self.faults: list[Fault] = []
        self.may_send = True
        self.identifies = 0
        self._sockets: set[web.WebSocketResponse] = set()
        self._nonces: dict[str, tuple[float, Message]] = {}
        self._sequence = count(1)
        app = web.Application(middlewares=[self._border])
        api, hook = "/api/v10", "/api/v10/webhooks/{app}/{token}"
        app.add_routes(
            [
                web.get(f"{api}/users/@me", self._me),
                web.get(f"{api}/oauth2/applications/@me", self._application),
                web.get(f"{api}/gateway/bot", self._gateway_bot),
                web.put(f"{api}/applications/{{app}}/commands", self._put_commands),
                web.post(f"{api}/interactions/{{id}}/{{token}}/callback", self._callback),
                web.get(f"{hook}/messages/{{message}}", self._get_by_token),
                web.patch(f"{hook}/messages/{{message}}", self._edit_by_token),
                web.post(hook, self._follow_up),
                web.patch(f"{api}/channels/{{channel}}/messages/{{message}}", self._edit_by_channel),
                web.post(f"{api}/channels/{{channel}}/messages", self._send),
                web.get("/gateway/", self._gateway),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)

    _ids = count(1)

    def _snowflake(self) -> int:
        return (int(time.time() * 1000) - _EPOCH_MS << 22) | next(self._ids) & 0x3FFFFF

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/api/v10"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drop_gateway()
        await self._runner.cleanup()

    # What a test does as a person, or sees.

    async def slash(
        self, user: int, name: str, channel: int | None = None, *, permissions: int = 0, **options: str
    ) -> Interaction:
        """Type a command, as soon as a bot is connected that has synced it."""
        root, _, sub = name.partition(" ")
        await self.until(lambda: bool(self._sockets) and any(c["name"] == root for c in self.commands))
        [command] = [c for c in self.commands if c["name"] == root]
        given: list[dict[str, Any]] = [{"type": 3, "name": n, "value": v} for n, v in options.items()]
        if sub:
            given = [{"type": 1, "name": sub, "options": given}]
        data = {"id": command["id"], "name": root, "type": 1, "options": given}
        return await self._interact(2, user, channel, permissions, data)

    async def submit_modal(
        self, modal: Interaction, user: int, text: str, *, permissions: int = MANAGE_GUILD
    ) -> Interaction:
        """Fill in the one text field of a modal."""
        [label] = modal.data["components"]
        box = {"type": 4, "id": 2, "custom_id": label["component"]["custom_id"], "value": text}
        data = {"custom_id": modal.data["custom_id"], "components": [{"type": 18, "id": 1, "component": box}]}
        return await self._interact(5, user, modal.channel, permissions, data)

    async def _interact(
        self, type_: int, user: int, channel: int | None, permissions: int, data: dict[str, Any]
    ) -> Interaction:
        made = Interaction(
            self._snowflake(), f"token-{next(self._ids)}-secret", channel or self.channel, _clock()
        )
        self.interactions[made.token] = made
        await self._dispatch("INTERACTION_CREATE", self._interaction(made, type_, user, permissions, data))
        return made

    async def until(self, true: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait until something is so; fail when it is not within the time."""
        async with asyncio.timeout(seconds):
            while not true():
                await asyncio.sleep(0.01)

    async def drop_gateway(self) -> None:
        """Cut every gateway connection."""
        for socket in list(self._sockets):
            await socket.close(code=1001)

    @property
    def pings(self) -> list[Message]:
        """The messages that notified somebody."""
        return [message for message in self.messages.values() if message.pinged]

    def calls(self, method: str, path: str) -> list[Request]:
        """The REST calls to a route; `path` is a regular expression."""
        return [r for r in self.requests if r.method == method and re.fullmatch(f"/api/v10{path}", r.path)]

    # The border: who may call, what goes wrong, what is noted.

    @web.middleware
    async def _border(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path == "/gateway/":
            return await handler(request)
        at, body = _clock(), await request.read()
        parsed: Any = orjson.loads(body) if body else None
        request[_BODY] = parsed
        fault = self._fault(request)
        if fault is not None and fault.delay:
            await asyncio.sleep(fault.delay)
        if fault is not None and fault.reset == "before":
            return self._cut(request, Request(at, request.method, request.path, parsed, 0))
        if fault is not None and fault.status is not None:
            answer: web.StreamResponse = _json(
                fault.body if fault.body is not None else {"code": 0}, fault.status, fault.headers
            )
        else:
            answer = await self._answer(request, handler)
        made = Request(at, request.method, request.path, parsed, answer.status)
        if fault is not None and fault.reset == "after":
            return self._cut(request, made)
        self.requests.append(made)
        return answer

    def _fault(self, request: web.Request) -> Fault | None:
        for fault in self.faults:
            if fault.method == request.method and re.search(fault.path, request.path) and fault.times:
                fault.times -= 1
                return fault
        return None

    def _cut(self, request: web.Request, made: Request) -> web.StreamResponse:
        self.requests.append(made)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        by_token = re.match(r"/api/v10/(webhooks|interactions)/", request.path)
        try:
            if by_token or request.headers.get("Authorization") == f"Bot {self.token}":
                return await handler(request)
            return _json({"code": 0, "message": "401: Unauthorized"}, 401)
        except Refused as refused:
            if refused.code == 50035:
                self.violations.append(f"{request.method} {request.path}: {refused.text}")
            return _json({"code": refused.code, "message": refused.text}, refused.status)
        except web.HTTPException as error:
            self.violations.append(f"{request.method} {request.path}: {error.status}")
            return _json({"code": 0, "message": str(error.status)}, error.status)

    # REST.

    async def _me(self, _: web.Request) -> web.Response:
        return _json(self._bot_user())

    async def _application(self, _: web.Request) -> web.Response:
        fields = {"id": str(self.application), "name": "Rewarm", "description": "", "icon": None, "flags": 0}
        owner = {"id": "1", "username": "owner", "discriminator": "0", "avatar": None, "global_name": None}
        more = {
            "bot_public": True,
            "bot_require_code_grant": False,
            "verify_key": "",
            "summary": "",
            "team": None,
        }
        return _json({**fields, **more, "owner": owner, "rpc_origins": [], "redirect_uris": []})

    async def _gateway_bot(self, _: web.Request) -> web.Response:
        limit = {"total": 1000, "remaining": 999, "reset_after": 0, "max_concurrency": 1}
        return _json({"url": self._gateway_url, "shards": 1, "session_start_limit": limit})

    async def _put_commands(self, request: web.Request) -> web.Response:
        commands: Any = request[_BODY]  # the one body that is a list
        for command in commands:
            _check(re.fullmatch(r"[a-z0-9_-]{1,32}", command["name"]) is not None, "name")
            _check(1 <= len(command["description"]) <= 100, "description")
        self.commands = [
            {**c, "id": str(self._snowflake()), "application_id": str(self.application), "version": "1"}
            for c in commands
        ]
        return _json(self.commands)

    async def _callback(self, request: web.Request) -> web.Response:
        made = self.interactions.get(request.match_info["token"])
        late = made is not None and _clock() - made.created > _ACKNOWLEDGE_SECONDS
        if made is None or str(made.id) != request.match_info["id"] or late:
            raise Refused(404, 10062, "Unknown interaction")
        if made.kind is not None:
            raise Refused(400, 40060, "Interaction has already been acknowledged")
        body = request[_BODY]
        kind, data = body["type"], body.get("data") or {}
        _check(kind in (_MESSAGE, _DEFERRED, _AUTOCOMPLETE, _MODAL), "type")
        if kind == _DEFERRED:
            _check(set(data) <= {"flags"} and data.get("flags", 0) in (0, EPHEMERAL), "only EPHEMERAL")
            made.reply = self._new(made.channel, data.get("flags", 0) | LOADING)
        elif kind == _MESSAGE:
            _check_message(data, _CALLBACK, 0)
            made.reply = self._new(made.channel, data.get("flags", 0))
            self._write(made.reply, data)
        elif kind == _AUTOCOMPLETE:
            _check(len(data["choices"]) <= 25, "choices")
        else:
            _check_modal(data)
        made.kind, made.data = kind, data
        reply = made.reply
        told: dict[str, Any] = {"id": str(made.id), "type": 2}
        if reply is not None:
            told["response_message_id"] = str(reply.id)
        answer: dict[str, Any] = {"interaction": told, "resource": {"type": kind}}
        if reply is not None and kind == _MESSAGE:
            answer["resource"]["message"] = self._payload(reply)
        return _json(answer)

    def _by_token(self, request: web.Request) -> Interaction:
        made = self.interactions.get(request.match_info["token"])
        if made is None or request.match_info["app"] != str(self.application):
            raise Refused(404, 10015, "Unknown Webhook")
        if made.token_dead or _clock() - made.created > _TOKEN_SECONDS:
            raise Refused(401, 50027, "Invalid Webhook Token")
        if made.reply is None:
            raise Refused(404, 10015, "Unknown Webhook")
        return made

    def _found(self, made: Interaction, name: str) -> Message:
        message = made.reply if name == "@original" else self.messages.get(int(name))
        if message is None or message.id not in self.messages:
            raise Refused(404, 10008, "Unknown Message")
        return message

    async def _get_by_token(self, request: web.Request) -> web.Response:
        return _json(self._payload(self._found(self._by_token(request), request.match_info["message"])))

    async def _edit_by_token(self, request: web.Request) -> web.Response:
        message = self._found(self._by_token(request), request.match_info["message"])
        _check_message(request[_BODY], _EDIT, message.flags)
        self._write(message, request[_BODY])
        return _json(self._payload(message))

    async def _follow_up(self, request: web.Request) -> web.Response:
        made, body = self._by_token(request), request[_BODY]
        _check_message(body, _SEND - {"nonce", "enforce_nonce", "message_reference"}, 0)
        if made.reply is not None and made.reply.flags & LOADING:  # it becomes the reply
            self._write(made.reply, body)
            return _json(self._payload(made.reply))
        message = self._new(made.channel, body.get("flags", 0))
        message.pinged = _pinged(body)
        self._write(message, body)
        return _json(self._payload(message))

    async def _edit_by_channel(self, request: web.Request) -> web.Response:
        message = self.messages.get(int(request.match_info["message"]))
        self._place(request)
        if message is None or message.flags & EPHEMERAL:
            raise Refused(404, 10008, "Unknown Message")
        _check_message(request[_BODY], _EDIT, message.flags)
        self._write(message, request[_BODY])
        return _json(self._payload(message))

    async def _send(self, request: web.Request) -> web.Response:
        body = request[_BODY]
        channel = self._place(request)
        if not self.may_send:
            raise Refused(403, 50013, "Missing Permissions")
        _check_message(body, _SEND, 0)
        nonce = body.get("nonce")
        _check(nonce is None or len(str(nonce)) <= 25, "nonce of over 25 characters")
        before = self._nonces.get(str(nonce)) if body.get("enforce_nonce") else None
        if before is not None and _clock() - before[0] < _NONCE_SECONDS:
            return _json(self._payload(before[1]))
        message = self._new(channel, body.get("flags", 0))
        message.pinged, message.nonce = _pinged(body), nonce
        message.reference = body.get("message_reference")
        self._write(message, body)
        self._nonces[str(nonce)] = (_clock(), message)
        return _json(self._payload(message))

    def _place(self, request: web.Request) -> int:
        channel = int(request.match_info["channel"])
        if channel not in (self.channel, self.other_channel):
            raise Refused(404, 10003, "Unknown Channel")
        return channel

    def _new(self, channel: int, flags: int) -> Message:
        message = Message(self._snowflake(), channel, flags)
        self.messages[message.id] = message
        return message

    def _write(self, message: Message, body: dict[str, Any]) -> None:
        message.flags = (message.flags | body.get("flags", 0)) & ~LOADING
        message.text = body.get("content") or _texts(body.get("components") or [])
        message.history.append((_clock(), message.text))

    # Gateway.

    @property
    def _gateway_url(self) -> str:
        return self.url.replace("http://", "ws://").replace("/api/v10", "/gateway/")

    async def _gateway(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(_dump({"op": 10, "d": {"heartbeat_interval": 41250}}))
        try:
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    await self._hear(socket, orjson.loads(frame.data))
        finally:
            self._sockets.discard(socket)
        return socket

    async def _hear(self, socket: web.WebSocketResponse, said: dict[str, Any]) -> None:
        if said["op"] == 1:
            await socket.send_str(_dump({"op": 11}))
        elif said["op"] == 2:
            self.identifies += 1
            if said["d"]["token"] != self.token:
                await socket.close(code=4004)
                return
            if said["d"]["intents"] != 1:
                self.violations.append("IDENTIFY: intents other than guilds")
            self._sockets.add(socket)
            await self._ready(socket)
        elif said["op"] == 6:
            self._sockets.add(socket)
            await self._dispatch("RESUMED", {})

    async def _ready(self, socket: web.WebSocketResponse) -> None:
        ready = {
            "v": 10,
            "user": self._bot_user(),
            "guilds": [{"id": str(self.guild), "unavailable": True}],
            "session_id": "session",
            "resume_gateway_url": self._gateway_url,
            "shard": [0, 1],
            "application": {"id": str(self.application), "flags": 0},
        }
        await self._dispatch("READY", ready)
        await self._dispatch("GUILD_CREATE", self._guild())

    async def _dispatch(self, event: str, data: dict[str, Any]) -> None:
        for socket in list(self._sockets):
            await socket.send_str(_dump({"op": 0, "t": event, "s": next(self._sequence), "d": data}))

    # Payloads.

    def _bot_user(self) -> dict[str, Any]:
        return {**_user(self.application, "Rewarm"), "bot": True}

    def _channel(self, id_: int) -> dict[str, Any]:
        return {
            "id": str(id_),
            "type": 0,
            "name": f"channel-{id_}",
            "position": 0,
            "permission_overwrites": [],
        }

    def _guild(self) -> dict[str, Any]:
        role: dict[str, Any] = {
            "id": str(self.guild),
            "name": "@everyone",
            "permissions": "0",
            "position": 0,
            "color": 0,
        }
        role |= {"hoist": False, "managed": False, "mentionable": False, "flags": 0}
        return {
            "id": str(self.guild),
            "name": "A server",
            "owner_id": "1",
            "roles": [role],
            "channels": [self._channel(self.channel), self._channel(self.other_channel)],
            "members": [],
            "threads": [],
            "emojis": [],
            "features": [],
            "member_count": 3,
        }

    def _interaction(
        self, made: Interaction, type_: int, user: int, permissions: int, data: dict[str, Any]
    ) -> dict[str, Any]:
        member: dict[str, Any] = {
            "user": _user(user, f"user-{user}"),
            "roles": [],
            "joined_at": "2026-01-01T00:00:00+00:00",
        }
        member |= {"permissions": str(permissions), "deaf": False, "mute": False, "flags": 0}
        return {
            "id": str(made.id),
            "application_id": str(self.application),
            "type": type_,
            "token": made.token,
            "version": 1,
            "data": data,
            "guild_id": str(self.guild),
            "channel_id": str(made.channel),
            "channel": self._channel(made.channel),
            "member": member,
            "app_permissions": str(1 << 11),
            "locale": "en-US",
            "guild_locale": "en-US",
            "entitlements": [],
            "authorizing_integration_owners": {"0": str(self.guild)},
            "context": 0,
            "attachment_size_limit": 1 << 20,
        }

    def _payload(self, message: Message) -> dict[str, Any]:
        return {
            "id": str(message.id),
            "channel_id": str(message.channel),
            "author": self._bot_user(),
            "content": "",
            "timestamp": "2026-01-01T00:00:00+00:00",
            "edited_timestamp": None,
            "tts": False,
            "mention_everyone": False,
            "mentions": [],
            "mention_roles": [],
            "attachments": [],
            "embeds": [],
            "pinned": False,
            "type": 0,
            "flags": message.flags,
            "components": [],
        }


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    # Discord sends no charset, and discord.py reads JSON only so.
    plain = {"Content-Type": "application/json", "Via": "1.1 google", **(headers or {})}
    return web.Response(body=orjson.dumps(value), status=status, headers=plain)


def _user(id_: int, name: str) -> dict[str, Any]:
    return {"id": str(id_), "username": name, "discriminator": "0", "avatar": None, "global_name": None}


def _check(true: bool, text: str) -> None:
    if not true:
        raise Refused(400, 50035, f"Invalid Form Body: {text}")


def _check_message(body: dict[str, Any], fields: set[str], flags: int) -> None:
    _check(set(body) <= fields, f"unknown fields {set(body) - fields}")
    _check("allowed_mentions" in body, "we send allowed_mentions with everything")
    _check(len(body.get("content") or "") <= 2000, "content")
    components = body.get("components") or []
    is_v2 = bool((flags | body.get("flags", 0)) & COMPONENTS_V2)
    _check(not (is_v2 and body.get("content")), "content in a Components V2 message")
    _check(is_v2 or not components, "Components V2 without its flag")
    _check(bool(body.get("content") or components), "empty message")
    _check_components(components)
    _check(len(_texts(components)) <= 4000, "text of over 4000 characters")


def _check_components(components: list[dict[str, Any]]) -> None:
    known = {10: {"content"}, 17: {"components", "accent_color", "spoiler"}}
    for component in components:
        extra = set(component) - known.get(component["type"], set()) - {"type", "id"}
        _check(component["type"] in known and not extra, f"component {component['type']} {extra}")
        _check_components(component.get("components", []))


def _check_modal(data: dict[str, Any]) -> None:
    _check(0 < len(data["title"]) <= 45 and 0 < len(data["custom_id"]) <= 100, "modal")
    for label in data["components"]:
        _check(label["type"] == 18 and len(label["label"]) <= 45, "label")
        _check(len(label.get("description") or "") <= 100, "description")


def _texts(components: list[dict[str, Any]]) -> str:
    return "\n".join(c.get("content") or _texts(c.get("components", [])) for c in components)


def _pinged(body: dict[str, Any]) -> tuple[int, ...]:
    allowed = {int(user) for user in body["allowed_mentions"].get("users", [])}
    named = (int(user) for user in re.findall(r"<@(\d+)>", body.get("content") or ""))
    return tuple(user for user in named if user in allowed)
