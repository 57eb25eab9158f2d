"""A strict stand-in for Discord, REST and gateway, on 127.0.0.1: refuses what Discord refuses, and notes it.

It speaks real HTTP and WebSocket, so the real bot can run against it, in this process or in another one.
"""

import asyncio
import contextlib
import importlib
import inspect
import itertools
import math
import re
import secrets
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import orjson
from aiohttp import BodyPartReader, WSMsgType, web

from tests.stand_ins.discord_rules import (
    CALLBACK,
    CHANNEL_MESSAGE,
    CHOICES,
    DEFERRAL,
    IN_MESSAGE,
    IN_MODAL,
    INSIDE,
    INSIDE_MODAL,
    MESSAGE,
    MODAL,
    REFERENCE,
    Json,
    RefusedError,
    Rules,
    broken,
    broken_attachments,
    broken_choices,
    broken_commands,
    broken_components,
    broken_mentions,
    broken_whole,
    flat,
    insist,
    text_of,
)

EPHEMERAL, LOADING, SILENT, COMPONENTS_V2 = 1 << 6, 1 << 7, 1 << 12, 1 << 15
SUPPRESS_EMBEDS = 1 << 2
MANAGE_GUILD, VIEW_CHANNEL, SEND_MESSAGES, READ_MESSAGE_HISTORY = 1 << 5, 1 << 10, 1 << 11, 1 << 16
ADMINISTRATOR, USE_APPLICATION_COMMANDS = 1 << 3, 1 << 31
SEND_IN_THREADS = 1 << 38
_BOTS_RIGHTS = VIEW_CHANNEL | SEND_MESSAGES | READ_MESSAGE_HISTORY | SEND_IN_THREADS
_PRIVILEGED_INTENTS = 1 << 1 | 1 << 8 | 1 << 15
_EPOCH_MS = 1420070400000
_BASE = "/api/v10"
_HEARTBEAT_SECONDS = 41.25
_COMMAND_CALL, _COMPONENT, _AUTOCOMPLETE, _MODAL_SUBMIT = 2, 3, 4, 5
_MOST_UPLOAD = 10 * 2**20


# --- What a test sees and sets --------------------------------------------------------------------------


@dataclass
class Request:
    """One REST call; `status` stays 0 when the connection was dropped instead of answered."""

    at: float
    method: str
    path: str
    route: str
    body: Any
    query: dict[str, str]
    status: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    """What was uploaded with it, by id."""


@dataclass
class Fault:
    """What happens to the next `times` matching calls instead of, or on top of, the usual.

    The `delay` comes first; then a `status` is answered without doing anything, or the call is done; `late`
    is how long the answer is on its way. `reset` drops the connection: `before` anything was done, or `after`
    it was done, so that the answer is lost.
    `done_and_status`: the call is done, and another status answered.
    `edge`: what stands before Discord answers, with a page and without a Via header.
    """

    method: str
    path_pattern: str
    times: int = 1
    status: int | None = None
    code: int = 0
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    late: float = 0.0
    done_and_status: int | None = None
    reset: Literal["before", "after"] | None = None
    edge: bool = False


@dataclass(eq=False)
class Guild:
    """A server."""

    id: int
    name: str
    channels: list["Channel"] = field(default_factory=list)
    members: list["Member"] = field(default_factory=list)
    removed: bool = False
    outage: bool = False
    locale: str = "en-US"


@dataclass(eq=False)
class Channel:
    """A text channel or a thread, and what the bot may do there."""

    id: int
    guild: Guild
    name: str
    may_view: bool = True
    may_send: bool = True
    may_read_history: bool = True
    archived: bool = False
    """A thread that rests: nothing in it can be edited; a new message wakes it up."""
    locked: bool = False
    """An archived thread that only moderators wake up."""
    deleted: bool = False
    nsfw: bool = False
    """Age-restricted."""

    @property
    def app_permissions(self) -> int:
        """The bot's permissions, as far as they matter here."""
        history = READ_MESSAGE_HISTORY * self.may_read_history
        return VIEW_CHANNEL * self.may_view | SEND_MESSAGES * self.may_send | history


@dataclass(eq=False)
class Member:
    """A person in a server."""

    id: int
    guild: Guild
    name: str
    manage_guild: bool = False
    administrator: bool = False
    locale: str = "en-US"
    may_use_commands: bool = True


@dataclass(eq=False)
class Interaction:
    """A command, an autocomplete request, a press or a submitted modal, and how the bot answered."""

    id: int
    token: str
    kind: int
    member: Member
    channel: Channel
    at: float
    event: Json = field(default_factory=dict)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    callback_type: int | None = None
    message_id: int | None = None
    ephemeral: bool = False
    modal: Json | None = None
    choices: list[Json] | None = None
    killed: bool = False
    source: "Message | None" = None
    """The message whose button was pressed."""


@dataclass(eq=False)
class Message:
    """A message as it stands, and every version of it with the time when it was made."""

    id: int
    channel_id: int
    interaction: Interaction | None = None
    content: str = ""
    embeds: list[Json] = field(default_factory=list)
    components: list[Json] = field(default_factory=list)
    flags: int = 0
    reply_to: int | None = None
    mentions: set[int] = field(default_factory=set)
    mentions_everyone: bool = False
    attachments: list[Json] = field(default_factory=list)
    nonce: str | None = None
    edited: str | None = None
    deleted: bool = False
    history: list[tuple[float, Json]] = field(default_factory=list)

    @property
    def ephemeral(self) -> bool:
        """Whether only one person sees it."""
        return bool(self.flags & EPHEMERAL)

    @property
    def thinking(self) -> bool:
        """Whether it is a deferred reply without an answer yet."""
        return bool(self.flags & LOADING)

    @property
    def text(self) -> str:
        """What it says: plain content and all text displays."""
        return text_of(self.content, self.components)


# --- The server -----------------------------------------------------------------------------------------

Answer = tuple[int, Any]


_NUMBER = r"\d{1,20}"
_PARTS = {"token": "[^/]+", "message": rf"@original|{_NUMBER}"}


class _Route(NamedTuple):
    method: str
    template: str
    kind: Literal["bot", "token", "callback"]
    """Who may call: the bot with its token; or whoever has an interaction's token in the path."""
    handler: Callable[..., Answer]

    def match(self, method: str, path: str) -> dict[str, str] | None:
        pattern = re.sub(
            r"\{(\w+)\}", lambda name: f"(?P<{name[1]}>{_PARTS.get(name[1], _NUMBER)})", self.template
        )
        found = re.fullmatch(pattern, path) if method == self.method else None
        return found.groupdict() if found is not None else None


class _Bucket:
    """So many calls in a window of so many seconds, which begins with its first call."""

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self.seconds = seconds
        self.began = -math.inf
        self.used = 0

    def take(self, now: float) -> tuple[bool, float]:
        """Whether there is room; and the seconds until the next window."""
        if now >= self.began + self.seconds:
            self.began, self.used = now, 0
        self.used += 1
        return self.used <= self.limit, self.began + self.seconds - now


class _Line:
    """One WebSocket, written in order, compressed as its client asked."""

    def __init__(self, ws: web.WebSocketResponse, compress: str | None) -> None:
        self.ws = ws
        self._pack = _packer(compress)
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
                if self._pack is None:
                    await self.ws.send_str(text.decode())
                else:
                    await self.ws.send_bytes(self._pack(text))


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


class DiscordServer:
    """Discord on a port of its own; an async context manager. Use `url` as the REST base."""

    def __init__(
        self, token: str = "made-up", *, limits: bool = True, record: Path | None = None, shards: int = 1
    ) -> None:
        self.token = token
        self.limits = limits
        self.record = record
        """Where to write each request as a line of JSON: method, path, body."""
        self.shards = shards
        self.url = ""
        self.answer_seconds = 3.0
        self.token_seconds = 900.0
        self.nonce_seconds = 300.0
        self.channel_limit = 5
        self.thinking_by_channel = True
        """Whether the channel route may edit a reply that is still thinking: not known of Discord."""
        self.requests: list[Request] = []
        self.violations: list[str] = []
        self.faults: list[Fault] = []
        self.messages: dict[int, Message] = {}
        self.interactions: dict[int, Interaction] = {}
        self.commands: list[Json] = []
        self.guilds: list[Guild] = []
        self.channels: dict[int, Channel] = {}
        self.connected = asyncio.Event()
        self.identifies: list[Json] = []
        self.resumes = 0
        self.gateway_refuses = False
        """Whether new websockets are answered with a 503."""
        self.application: Json = {}
        """What the owner set in the portal, beside the usual."""
        self.clock_ahead = 0.0
        """Seconds by which the Date of its answers is ahead of ours."""
        self.gateway_refused = 0
        self.gateway_trouble: list[str] = []
        """What happens to the next websockets, before they are greeted."""
        self._counter = itertools.count()
        self.application_id = self._new_id()
        self._sessions: dict[str, _Session] = {}
        self._lines: set[_Line] = set()
        self._buckets: dict[str, _Bucket] = {}
        self._nonces: dict[str, tuple[float, Message]] = {}
        self.permissions: dict[int, list[Json]] = {}
        """What a server has set for a command or the whole bot, by their id."""
        methods = ("GET", "PATCH", "DELETE")
        message, webhook = "/channels/{channel}/messages", "/webhooks/{app}/{token}"
        self._routes = [
            _Route("GET", "/users/@me", "bot", self._get_me),
            _Route("GET", "/users/@me/guilds", "bot", self._get_guilds),
            _Route("DELETE", "/users/@me/guilds/{guild}", "bot", self._leave_guild),
            _Route("GET", "/guilds/{guild}", "bot", self._get_guild),
            _Route("GET", "/guilds/{guild}/members/{user}", "bot", self._get_bot_member),
            _Route("GET", "/guilds/{guild}/channels", "bot", self._get_channels),
            _Route("GET", "/oauth2/applications/@me", "bot", self._get_application),
            _Route("GET", "/gateway/bot", "bot", self._get_gateway),
            _Route("PUT", "/applications/{app}/commands", "bot", self._put_commands),
            _Route("GET", "/applications/{app}/commands", "bot", self._get_commands),
            _Route(
                "GET",
                "/applications/{app}/guilds/{guild}/commands/{command}/permissions",
                "bot",
                self._get_permissions,
            ),
            _Route("POST", "/interactions/{id}/{token}/callback", "callback", self._callback),
            _Route("POST", webhook, "token", self._follow_up),
            _Route("POST", message, "bot", self._send),
            *(_Route(m, f"{webhook}/messages/{{message}}", "token", self._on_message) for m in methods),
            *(_Route(m, f"{message}/{{message}}", "bot", self._on_message) for m in methods),
        ]
        app = web.Application()
        app.router.add_get("/gateway", self._gateway)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}{_BASE}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kick_gateway()
        await self._runner.cleanup()

    # What happens in Discord without the bot

    def add_guild(self, name: str) -> Guild:
        """The bot joins a new server; it has no channels yet."""
        guild = Guild(self._new_id(), name)
        self.guilds.append(guild)
        self._emit(guild, "GUILD_CREATE", _joined(self._guild_payload(guild)))
        return guild

    def add_channel(self, guild: Guild, name: str) -> Channel:
        """Open a text channel."""
        channel = Channel(self._new_id(), guild, name)
        guild.channels.append(channel)
        self.channels[channel.id] = channel
        self._emit(guild, "CHANNEL_CREATE", _channel_payload(channel))
        return channel

    def add_member(self, guild: Guild, name: str, *, manage_guild: bool = False) -> Member:
        """Somebody joins."""
        member = Member(self._new_id(), guild, name, manage_guild)
        guild.members.append(member)
        return member

    def remove_guild(self, guild: Guild) -> None:
        """The bot is removed from a server."""
        guild.removed = True
        self.guilds.remove(guild)
        self._emit(guild, "GUILD_DELETE", {"id": str(guild.id)})

    def add_back(self, guild: Guild) -> None:
        """The bot is invited again."""
        guild.removed = False
        self.guilds.append(guild)
        self._emit(guild, "GUILD_CREATE", _joined(self._guild_payload(guild)))

    def guild_outage(self, guild: Guild) -> None:
        """The server is unavailable for a while."""
        guild.outage = True
        self._emit(guild, "GUILD_DELETE", {"id": str(guild.id), "unavailable": True})

    def delete_channel(self, channel: Channel) -> None:
        """Somebody deletes a channel."""
        channel.deleted = True
        channel.guild.channels.remove(channel)
        self._emit(channel.guild, "CHANNEL_DELETE", _channel_payload(channel))

    def channel_changed(self, channel: Channel) -> None:
        """Somebody has changed a channel's settings."""
        self._emit(channel.guild, "CHANNEL_UPDATE", _channel_payload(channel))

    def delete_message(self, message_id: int) -> None:
        """Somebody deletes a message; without the messages intent the bot is not told."""
        self.messages[message_id].deleted = True

    def kill_token(self, interaction: Interaction) -> None:
        """An interaction's token stops working before its time."""
        interaction.killed = True

    async def kick_gateway(self, *, forget: bool = False, code: int = 4000) -> None:
        """Close all websockets; with `forget`, their sessions cannot be resumed either."""
        if forget:
            self._sessions.clear()
        self.connected.clear()
        await asyncio.gather(*(line.ws.close(code=code) for line in self._lines))

    async def wait_for(
        self, predicate: Callable[[], object], seconds: float = 5.0, what: str | None = None
    ) -> None:
        """Wait until something is true. Raises TimeoutError with what that is, and what happened last."""
        until = _now() + seconds
        while not predicate():
            if _now() >= until:
                what = what or _source(predicate)
                last = [f"{r.method} {r.route} {r.status}" for r in self.requests[-5:]]
                raise TimeoutError(
                    f"not within {seconds} s: {what}; last: {last}; violations: {self.violations}"
                )
            await asyncio.sleep(0.05)

    # What people do

    async def slash(
        self, member: Member, channel: Channel, command: str, options: Json | None = None, wait: float = 3.0
    ) -> Interaction:
        """Type a command ("key set" for a sub-command), and wait a while for the first answer."""
        data = self._invocation(command, options or {})
        return await self._interact(_COMMAND_CALL, member, channel, data, wait)

    async def autocomplete(
        self, member: Member, channel: Channel, command: str, option: str, text: str
    ) -> list[Json]:
        """Type into an option; answers the choices. Raises TimeoutError where none came."""
        data = self._invocation(command, {option: text}, focused=option)
        interaction = await self._interact(_AUTOCOMPLETE, member, channel, data, self.answer_seconds)
        if interaction.choices is None:
            raise TimeoutError("no choices came")
        return interaction.choices

    async def press(self, member: Member, message: Message, label: str, wait: float = 3.0) -> Interaction:
        """Press a button of a message."""
        [button] = [part for part in flat(message.components) if part.get("label") == label]
        data = {"custom_id": button["custom_id"], "component_type": 2, "id": button["id"]}
        return await self._interact(
            _COMPONENT, member, self.channels[message.channel_id], data, wait, message
        )

    async def choose(
        self, member: Member, message: Message, value: str, custom_id: str = "", wait: float = 3.0
    ) -> Interaction:
        """Choose in a menu of a message: an option's value, or a channel's id."""
        menus = [part for part in flat(message.components) if part["type"] in (3, 8)]
        [menu] = [part for part in menus if custom_id in ("", part["custom_id"])]
        kind, place = menu["type"], self.channels[message.channel_id]
        if kind == 3 and value not in [option["value"] for option in menu["options"]]:
            raise LookupError(f"the menu has no {value}")
        data = {"custom_id": menu["custom_id"], "component_type": kind, "id": menu["id"], "values": [value]}
        if kind == 8:
            channel = self.channels[int(value)]
            rights = str(_member_permissions(member))
            data["resolved"] = {"channels": {value: _channel_payload(channel) | {"permissions": rights}}}
        return await self._interact(_COMPONENT, member, place, data, wait, message)

    async def submit_modal(
        self, interaction: Interaction, values: dict[str | int, str], wait: float = 3.0
    ) -> Interaction:
        """Fill in the modal that answered an interaction, by custom_id or position, and submit it."""
        modal = interaction.modal
        if modal is None:
            raise ValueError("it was not answered with a modal")
        boxes = [part for part in flat(modal["components"]) if part["type"] == 4]
        keys: list[str | int] = [box["custom_id"] for box in boxes]
        filled = {keys[key] if isinstance(key, int) else key: value for key, value in values.items()}
        if unknown := filled.keys() - set(keys):
            raise ValueError(f"the modal has no {unknown}, only {keys}")
        for box in boxes:
            value = filled.setdefault(box["custom_id"], box.get("value") or "")
            low = box.get("min_length") or (1 if box.get("required", True) else 0)
            if not low <= len(value) <= (box.get("max_length") or 4000):
                raise ValueError(f"Discord's client would not submit this value of {box['custom_id']}")
        parts = [_submitted(part, filled) for part in modal["components"] if part["type"] != 10]
        data = {"custom_id": modal["custom_id"], "components": parts}
        who, where, source = interaction.member, interaction.channel, interaction.source
        return await self._interact(_MODAL_SUBMIT, who, where, data, wait, source)

    def deliver(self, interaction: Interaction) -> None:
        """Send an interaction's event (once more: it happens that one comes twice)."""
        self._emit(interaction.channel.guild, "INTERACTION_CREATE", interaction.event)

    def _invocation(self, command: str, values: Json, focused: str | None = None) -> Json:
        root, *rest = command.split()
        path = [next((c for c in self.commands if c["name"] == root), None)]
        for name in rest:
            path.append(next((o for o in (path[-1] or {}).get("options", []) if o["name"] == name), None))
        if None in path:
            raise LookupError(f"the bot has registered no command {command!r}")
        nodes = [node for node in path if node is not None]
        known = {option["name"]: option for option in nodes[-1].get("options", [])}
        missing = {name for name, o in known.items() if o.get("required") and focused is None} - values.keys()
        if values.keys() - known.keys() or missing:
            raise LookupError(f"{command!r} takes {sorted(known)}, not {sorted(values)}")
        options = [{"type": known[n]["type"], "name": n, "value": v} for n, v in values.items()]
        for option in options:
            if option["name"] == focused:
                option["focused"] = True
        for node in reversed(nodes[1:]):
            options = [{"type": node["type"], "name": node["name"], "options": options}]
        return {"id": nodes[0]["id"], "name": root, "type": 1, "options": options}

    async def _interact(
        self,
        kind: int,
        member: Member,
        channel: Channel,
        data: Json,
        wait: float,
        source: Message | None = None,
    ) -> Interaction:
        new = Interaction(
            self._new_id(), secrets.token_urlsafe(60), kind, member, channel, _now(), source=source
        )
        self.interactions[new.id] = new
        guild = channel.guild
        new.event = {
            "id": str(new.id),
            "application_id": str(self.application_id),
            "type": kind,
            "token": new.token,
            "version": 1,
            "data": data,
            "guild_id": str(guild.id),
            "guild": {"id": str(guild.id), "locale": guild.locale, "features": []},
            "channel_id": str(channel.id),
            "channel": {**_channel_payload(channel), "permissions": str(_member_permissions(member))},
            "member": _member_payload(member) | {"permissions": str(_member_permissions(member))},
            "app_permissions": str(channel.app_permissions),
            "locale": member.locale,
            "guild_locale": guild.locale,
            "entitlements": [],
            "authorizing_integration_owners": {"0": str(guild.id)},
            "context": 0,
            "attachment_size_limit": _MOST_UPLOAD,
        }
        if source is not None:
            new.event["message"] = self._message_payload(source)
        self.deliver(new)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await new.answered.wait()
        return new

    # REST: one call

    async def _serve(self, http: web.Request) -> web.StreamResponse:
        files, raw = await _uploaded(http)
        path = http.path.removeprefix(_BASE)
        found = [(r, m) for r in self._routes if (m := r.match(http.method, path)) is not None]
        route, params = found[0] if found else (None, {})
        body: Any = None
        with contextlib.suppress(orjson.JSONDecodeError):
            body = orjson.loads(raw) if raw else None
        template = route.template if route is not None else ""
        request = Request(_now(), http.method, path, template, body, dict(http.query), files=files)
        self.requests.append(request)
        self._keep(request)
        fault = self._fault(request)
        await asyncio.sleep(fault.delay)
        if fault.reset == "before":
            return _cut(http)
        if fault.status is not None:
            request.status = fault.status
            return _fault_response(fault)
        status, answer, headers = self._answer(request, route, params, http.headers.get("Authorization"))
        await asyncio.sleep(fault.late)
        if fault.reset == "after":
            return _cut(http)
        status = fault.done_and_status or status
        request.status = status
        headers["Date"] = format_datetime(
            datetime.now(UTC) + timedelta(seconds=self.clock_ahead), usegmt=True
        )
        return _response(status, answer, headers)

    def _keep(self, request: Request) -> None:
        if self.record is not None:
            line = {"method": request.method, "path": request.path, "body": request.body}
            with self.record.open("ab") as file:
                file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def _fault(self, request: Request) -> Fault:
        for fault in self.faults:
            if fault.method == request.method and re.search(fault.path_pattern, request.path):
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                return fault
        return Fault("", "")

    def _answer(
        self, request: Request, route: _Route | None, params: dict[str, str], authorization: str | None
    ) -> tuple[int, Any, dict[str, str]]:
        if route is None:
            self.violations.append(f"{request.method} {request.path}: no such route here")
            return 404, {"message": "404: Not Found", "code": 0}, {}
        if route.kind == "bot" and authorization != f"Bot {self.token}":
            return 401, {"message": "401: Unauthorized", "code": 0}, {}
        headers, limited = self._take(route, params)
        try:
            if limited is not None:
                return 429, limited, headers
            status, answer = route.handler(request, **params)
        except RefusedError as refused:
            call = f"{request.method} {request.path}"
            self.violations += [f"{call}: {where}: {what}" for where, what in refused.problems]
            return refused.status, refused.answer, headers
        return status, answer, headers

    def _take(self, route: _Route, params: dict[str, str]) -> tuple[dict[str, str], Json | None]:
        """Take a place in the rate limits; answers the headers, and the answer where there is none left."""
        if not self.limits:
            return {}, None
        if route.kind == "bot":
            room, wait = self._buckets.setdefault("global", _Bucket(50, 1.0)).take(_now())
            if not room:
                return {"X-RateLimit-Global": "true", **_retry(wait, "global")}, _slow_down(
                    wait, everywhere=True
                )
        if route.kind == "token":
            name, key, size = "token", params["token"], (5, 2.0)
        elif "channel" in params:
            name, key, size = "channel", params["channel"], (self.channel_limit, 5.0)
        else:
            return {}, None
        bucket = self._buckets.setdefault(f"{name}:{key}", _Bucket(*size))
        room, wait = bucket.take(_now())
        headers = {
            "X-RateLimit-Limit": str(bucket.limit),
            "X-RateLimit-Remaining": str(max(0, bucket.limit - bucket.used)),
            "X-RateLimit-Reset": f"{time.time() + wait:.3f}",
            "X-RateLimit-Reset-After": f"{wait:.3f}",
            "X-RateLimit-Bucket": f"bucket-of-a-{name}",
        }
        return (headers, None) if room else (headers | _retry(wait, "user"), _slow_down(wait))

    # REST: the application

    def _get_me(self, request: Request) -> Answer:
        return 200, self._bot_user()

    def _get_guilds(self, request: Request) -> Answer:
        """At most 200 at a time, by id; a server in an outage is not among them (which is not known)."""
        after, limit = int(request.query.get("after", 0)), int(request.query.get("limit", 200))
        insist([("limit", "must be 1 to 200")] if not 1 <= limit <= 200 else [])
        listed = sorted((g for g in self.guilds if not g.outage and g.id > after), key=lambda guild: guild.id)
        return 200, [
            {
                "id": str(g.id),
                "name": g.name,
                "icon": None,
                "owner": False,
                "permissions": "0",
                "features": [],
            }
            for g in listed[:limit]
        ]

    def _known_guild(self, number: str) -> Guild:
        found = [guild for guild in self.guilds if guild.id == int(number)]
        if not found:
            raise RefusedError(404, 10004, "Unknown Guild")
        return found[0]

    def _leave_guild(self, request: Request, guild: str) -> Answer:
        self.remove_guild(self._known_guild(guild))
        return 204, None

    def _get_guild(self, request: Request, guild: str) -> Answer:
        payload = self._guild_payload(self._known_guild(guild))
        payload["roles"][0]["permissions"] = str(_BOTS_RIGHTS)
        return 200, payload

    def _get_bot_member(self, request: Request, guild: str, user: str) -> Answer:
        return 200, _member_payload(Member(int(user), self._known_guild(guild), "bot"))

    def _get_channels(self, request: Request, guild: str) -> Answer:
        return 200, [
            _channel_payload(channel)
            | {
                "permission_overwrites": [
                    {
                        "id": str(self.application_id),
                        "type": 1,
                        "allow": "0",
                        "deny": str(_BOTS_RIGHTS & ~(channel.app_permissions | SEND_IN_THREADS)),
                    }
                ]
            }
            for channel in self._known_guild(guild).channels
        ]

    def _get_application(self, request: Request) -> Answer:
        return 200, {
            "id": str(self.application_id),
            "name": "bot",
            "icon": None,
            "description": "",
            "bot_public": True,
            "bot_require_code_grant": False,
            "verify_key": "0" * 64,
            "flags": 0,
            "owner": _user(1, "owner"),
            "team": None,
            **self.application,
        }

    def _get_gateway(self, request: Request) -> Answer:
        left = {"total": 1000, "remaining": 999, "reset_after": 86_400_000, "max_concurrency": 1}
        return 200, {"url": self._gateway_url, "shards": self.shards, "session_start_limit": left}

    def _get_commands(self, request: Request, app: str) -> Answer:
        return 200, self.commands

    def _get_permissions(self, request: Request, app: str, guild: str, command: str) -> Answer:
        self._known_guild(guild)
        if app != str(self.application_id):
            raise RefusedError(403, 50001, "Missing Access")
        if int(command) not in self.permissions:
            raise RefusedError(404, 10066, "Unknown application command permissions")
        ids = {"id": command, "application_id": app, "guild_id": guild}
        return 200, {**ids, "permissions": self.permissions[int(command)]}

    def _put_commands(self, request: Request, app: str) -> Answer:
        if app != str(self.application_id):
            raise RefusedError(
                403, 20012, "You are not authorized to perform this action on this application"
            )
        insist(broken_commands(request.body))
        ids = {command["name"]: command["id"] for command in self.commands}
        self.commands = [
            {
                "options": [],
                "default_member_permissions": None,
                **command,
                "id": ids.get(command["name"], str(self._new_id())),
                "application_id": app,
                "version": str(self._new_id()),
                "type": 1,
            }
            for command in request.body
        ]
        return 200, self.commands

    # REST: by an interaction's token

    def _callback(self, request: Request, id: str, token: str) -> Answer:  # noqa: A002  # as in the path
        interaction = self.interactions.get(int(id))
        if interaction is None or interaction.token != token:
            raise RefusedError(404, 10062, "Unknown interaction")
        if interaction.callback_type is not None:
            raise RefusedError(400, 40060, "Interaction has already been acknowledged.")
        if _now() - interaction.at > self.answer_seconds:
            raise RefusedError(404, 10062, "Unknown interaction")
        insist(broken("", request.body, CALLBACK))
        kind, data = request.body["type"], request.body.get("data") or {}
        resource = self._take_answer(request, interaction, kind, data)
        interaction.callback_type = kind
        interaction.answered.set()
        if request.query.get("with_response", "").lower() not in ("1", "true"):
            return 204, None
        about: Json = {"id": id, "type": interaction.kind}
        if interaction.message_id is not None:
            about["response_message_id"] = str(interaction.message_id)
            about["response_message_loading"] = kind == 5
            about["response_message_ephemeral"] = interaction.ephemeral
        return 200, {"interaction": about, "resource": resource}

    def _take_answer(self, request: Request, interaction: Interaction, kind: int, data: Json) -> Json:
        """Do what the first answer says; answers what became of it."""
        in_place = () if interaction.source is None else (6, 7)
        fitting = {
            _COMMAND_CALL: (4, 5, 9),
            _COMPONENT: (4, 5, 9, *in_place),
            _AUTOCOMPLETE: (8,),
            _MODAL_SUBMIT: (4, 5, *in_place),
        }
        if kind not in fitting[interaction.kind]:
            insist([("type", f"{kind} does not answer an interaction of type {interaction.kind}")])
        resource: Json = {"type": kind}
        if kind in (4, 5, 6, 7):
            message = self._answer_with_message(request, interaction, kind, data)
            if kind in (4, 7):
                resource["message"] = self._message_payload(message)
            interaction.message_id, interaction.ephemeral = message.id, message.ephemeral
        elif kind == 8:
            insist(broken("data", data, CHOICES))
            insist(broken_choices("data.choices", data["choices"]))
            interaction.choices = data["choices"]
        else:
            insist(broken("data", data, MODAL))
            insist(broken_components("data.components", data["components"], IN_MODAL, INSIDE_MODAL))
            insist(broken_whole(data["components"], v2=True))
            interaction.modal = {**data, "components": _numbered(data["components"], itertools.count(1))}
        return resource

    def _answer_with_message(
        self, request: Request, interaction: Interaction, kind: int, data: Json
    ) -> Message:
        """A new message (4, 5), or the one that was pressed (6, 7); later (5, 6) or at once (4, 7)."""
        if kind == 6:
            insist([("data", "is not for a deferral")] if data else [])
        if interaction.source is not None and kind in (6, 7):
            message = interaction.source
        else:
            message = Message(self._new_id(), interaction.channel.id, interaction)
        if kind == 5:
            insist(broken("data", data, DEFERRAL))
            insist([("data.flags", "only EPHEMERAL")] if data.get("flags", 0) & ~EPHEMERAL else [])
            message.flags = LOADING | data.get("flags", 0)
            message.history.append((_now(), self._message_payload(message)))
        elif kind in (4, 7):
            silent = SUPPRESS_EMBEDS | COMPONENTS_V2 | ((EPHEMERAL | SILENT) if kind == 4 else 0)
            self._write(request, message, data, MESSAGE, silent, pings=kind == 4)
        self.messages[message.id] = message
        return message

    def _hook(self, app: str, token: str) -> Interaction:
        known = (i for i in self.interactions.values() if i.token == token)
        interaction = next(known, None)
        if interaction is None or app != str(self.application_id):
            raise RefusedError(404, 10015, "Unknown Webhook")
        if interaction.killed or _now() - interaction.at > self.token_seconds:
            raise RefusedError(401, 50027, "Invalid Webhook Token")
        if interaction.callback_type is None:
            raise RefusedError(404, 10015, "Unknown Webhook")
        if interaction.channel.deleted:
            raise RefusedError(404, 10003, "Unknown Channel")
        return interaction

    def _by_token(self, app: str, token: str, message: str) -> Message:
        interaction = self._hook(app, token)
        number = interaction.message_id if message == "@original" else int(message)
        found = self.messages.get(number or 0)
        its_own = found is not None and (
            found.interaction is interaction or found.id == interaction.message_id
        )
        if found is None or found.deleted or not its_own:
            raise RefusedError(404, 10008, "Unknown Message")
        return found

    def _follow_up(self, request: Request, app: str, token: str) -> Answer:
        interaction = self._hook(app, token)
        self._wake_up(interaction.channel)
        original = self.messages.get(interaction.message_id or 0)
        flags = SILENT | SUPPRESS_EMBEDS | COMPONENTS_V2
        if original is not None and original.thinking and not original.deleted:
            # Discord resolves the deferral with it: like an edit, it keeps who sees it, and pings nobody.
            self._write(request, original, request.body, MESSAGE, flags | EPHEMERAL, pings=False)
            return 200, self._message_payload(original)
        message = Message(self._new_id(), interaction.channel.id, interaction)
        self._write(request, message, request.body, MESSAGE, flags | EPHEMERAL, pings=True)
        self.messages[message.id] = message
        return 200, self._message_payload(message)

    # REST: by channel

    def _channel(self, number: str) -> Channel:
        found = self.channels.get(int(number))
        if found is None or found.deleted:
            raise RefusedError(404, 10003, "Unknown Channel")
        if found.guild.removed or not found.may_view:
            raise RefusedError(403, 50001, "Missing Access")
        return found

    def _by_channel(self, channel: str, message: str) -> Message:
        where = self._channel(channel)
        found = self.messages.get(int(message)) if message.isdigit() else None
        if found is None or found.deleted or found.ephemeral or found.channel_id != where.id:
            raise RefusedError(404, 10008, "Unknown Message")
        return found

    def _send(self, request: Request, channel: str) -> Answer:
        where = self._channel(channel)
        if not where.may_send:
            raise RefusedError(403, 50013, "Missing Permissions")
        self._wake_up(where)
        message = Message(self._new_id(), where.id)
        flags = SILENT | SUPPRESS_EMBEDS | COMPONENTS_V2
        self._write(request, message, request.body, CHANNEL_MESSAGE, flags, pings=True)
        self._refer(message, where, request.body.get("message_reference"))
        message.nonce = nonce = request.body.get("nonce")
        if nonce is not None and request.body.get("enforce_nonce"):
            at, first = self._nonces.get(nonce, (-math.inf, message))
            if _now() - at < self.nonce_seconds:
                return 200, self._message_payload(first)
            self._nonces[nonce] = (_now(), message)
        self.messages[message.id] = message
        return 200, self._message_payload(message)

    def _refer(self, message: Message, channel: Channel, reference: Json | None) -> None:
        if reference is None:
            return
        insist(broken("message_reference", reference, REFERENCE))
        if not channel.may_read_history:
            raise RefusedError(400, 160002, "Cannot reply without permission to read message history")
        if int(reference.get("channel_id", channel.id)) != channel.id:
            insist([("message_reference", "must be of the same channel")])
        target = self.messages.get(int(reference["message_id"]))
        if target is not None and not target.deleted and target.channel_id == channel.id:
            message.reply_to = target.id
            message.history[-1][1].update(self._message_payload(message))
        elif reference.get("fail_if_not_exists", True):
            insist([("message_reference", "Unknown message")])

    def _wake_up(self, channel: Channel) -> None:
        if channel.locked:
            raise _rests()
        channel.archived = False

    # Messages

    def _on_message(self, request: Request, **where: str) -> Answer:
        """Get, edit or delete a message, by token or by channel."""
        message = self._by_token(**where) if "token" in where else self._by_channel(**where)
        if request.method == "DELETE":
            message.deleted = True
            return 204, None
        if request.method == "GET":
            return 200, self._message_payload(message)
        if self.channels[message.channel_id].archived:
            raise _rests()
        if message.thinking and "channel" in where and not self.thinking_by_channel:
            raise RefusedError(404, 10008, "Unknown Message")
        self._write(request, message, request.body, MESSAGE, SUPPRESS_EMBEDS | COMPONENTS_V2, pings=False)
        return 200, self._message_payload(message)

    def _write(
        self, request: Request, message: Message, body: Any, rules: Rules, flags: int, *, pings: bool
    ) -> None:
        """Check a body and put it into the message, as its first version or its next."""
        insist(broken("", body, rules))
        insist(broken_components("components", body.get("components"), IN_MESSAGE, INSIDE))
        allowed = body.get("allowed_mentions")
        if allowed is None:
            self.violations.append(f"{request.method} {request.path}: allowed_mentions: must always be there")
            allowed = {"parse": ["users", "roles", "everyone"]}
        insist(broken_mentions(allowed))
        if (body.get("flags") or 0) & ~flags:
            insist([("flags", f"only the bits of {flags} may be set here")])
        content = (body["content"] or "") if "content" in body else message.content
        embeds = (body["embeds"] or []) if "embeds" in body else message.embeds
        components = (body["components"] or []) if "components" in body else message.components
        kept = {attachment["id"] for attachment in message.attachments}
        if sum(map(len, request.files.values())) > _MOST_UPLOAD:
            raise RefusedError(413, 40005, "Request entity too large")
        attachments = body.get("attachments")
        insist(broken_attachments(attachments, {*request.files, *kept}, components if attachments else []))
        v2 = bool(((body.get("flags") or 0) | message.flags) & COMPONENTS_V2)
        insist(broken_whole(components, v2=v2))
        if v2 and (content or embeds):
            insist([("content", "no content or embeds beside the flag IS_COMPONENTS_V2")])
        if not (content or embeds or components):
            raise RefusedError(400, 50006, "Cannot send an empty message", [("", "an empty message")])
        stays = message.flags & (EPHEMERAL | COMPONENTS_V2 | SILENT)
        seen_by = (body.get("flags") or 0) & (~EPHEMERAL if message.history else ~0)
        message.flags = stays | seen_by
        if attachments is not None:
            message.attachments = [self._attachment(one, message, request.files) for one in attachments]
        message.content, message.embeds = content, embeds
        message.edited = datetime.now(UTC).isoformat() if message.history else None
        message.components = _numbered(components, itertools.count(1))
        if pings and not message.flags & (EPHEMERAL | SILENT):
            message.mentions, message.mentions_everyone = _pinged(message.text, allowed)
        message.history.append((_now(), self._message_payload(message)))

    def _attachment(self, named: Json, message: Message, files: dict[str, bytes]) -> Json:
        known = {attachment["id"]: attachment for attachment in message.attachments}
        id_ = str(named["id"])
        if id_ not in files:
            return known[id_]
        number = str(self._new_id())
        url = f"https://cdn.discordapp.com/attachments/{message.channel_id}/{number}/{named['filename']}"
        size = len(files[id_])
        return {"id": number, "filename": named["filename"], "size": size, "url": url, "proxy_url": url}

    def _message_payload(self, message: Message) -> Json:
        members = self.channels[message.channel_id].guild.members
        mentioned = [_user(m.id, m.name) for m in members if f"<@{m.id}>" in message.text]
        payload: Json = {
            "id": str(message.id),
            "channel_id": str(message.channel_id),
            "type": 0 if message.interaction is None else 20,
            "author": self._bot_user(),
            "application_id": str(self.application_id),
            "content": message.content,
            "timestamp": datetime.fromtimestamp(((message.id >> 22) + _EPOCH_MS) / 1000, UTC).isoformat(),
            "edited_timestamp": message.edited,
            "embeds": message.embeds,
            "components": message.components,
            "flags": message.flags,
            "mentions": mentioned,
            "mention_roles": [],
            "mention_everyone": message.mentions_everyone,
            "attachments": message.attachments,
            "pinned": False,
            "tts": False,
        }
        if message.interaction is not None:
            payload["webhook_id"] = str(self.application_id)
        if message.nonce is not None:
            payload["nonce"] = message.nonce
        if message.reply_to is not None:
            payload["type"] = 19
            ids = {"message_id": str(message.reply_to), "channel_id": str(message.channel_id)}
            payload["message_reference"] = {"type": 0, **ids}
        return payload

    # Gateway

    @property
    def _gateway_url(self) -> str:
        return self.url.replace("http://", "ws://").removesuffix(_BASE) + "/gateway"

    async def _gateway(self, http: web.Request) -> web.StreamResponse:
        trouble = self.gateway_trouble.pop(0) if self.gateway_trouble else ""
        if self.gateway_refuses or trouble == "refused":
            self.gateway_refused += 1
            raise web.HTTPServiceUnavailable
        ws = web.WebSocketResponse()
        await ws.prepare(http)
        if trouble:
            return await _greet_badly(ws, trouble)
        line = _Line(ws, http.query.get("compress"))
        self._lines.add(line)
        writing = asyncio.create_task(line.write())
        line.send({"op": 10, "d": {"heartbeat_interval": _HEARTBEAT_SECONDS * 1000}})
        living = asyncio.create_task(line.keep_alive())
        try:
            if (http.query.get("v"), http.query.get("encoding")) != ("10", "json"):
                await self._hang_up(line, 4012, "version 10 and encoding json are spoken here")
            async for frame in ws:
                if frame.type is WSMsgType.TEXT:
                    await self._hear(line, orjson.loads(frame.data))
        finally:
            writing.cancel()
            living.cancel()
            self._lines.discard(line)
            for session in self._sessions.values():
                session.line = None if session.line is line else session.line
            if not any(session.line for session in self._sessions.values()):
                self.connected.clear()
        return ws

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
        shard, shards = data.get("shard") or (0, 1)
        if data.get("token") != self.token:
            await self._hang_up(line, 4004, "wrong token", wrong=False)
        elif type(data.get("intents")) is not int:
            await self._hang_up(line, 4013, "IDENTIFY needs intents")
        elif data["intents"] & _PRIVILEGED_INTENTS:
            await self._hang_up(line, 4014, "privileged intents are not enabled")
        elif not 0 <= shard < shards:
            await self._hang_up(line, 4010, "no such shard")
        else:
            session = _Session(secrets.token_hex(16), shard, shards, line)
            self._sessions[session.id] = session
            guilds = [guild for guild in self.guilds if session.covers(guild)]
            ready = {
                "v": 10,
                "user": self._bot_user(),
                "guilds": [{"id": str(guild.id), "unavailable": True} for guild in guilds],
                "session_id": session.id,
                "resume_gateway_url": self._gateway_url,
                "shard": [shard, shards],
                "application": {"id": str(self.application_id), "flags": 0},
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

    def _emit(self, guild: Guild, name: str, data: Json) -> None:
        for session in self._sessions.values():
            if session.covers(guild):
                session.emit(name, data)

    # Payloads

    def _new_id(self) -> int:
        return (int(time.time() * 1000) - _EPOCH_MS) << 22 | next(self._counter) & 0x3FFFFF

    def _bot_user(self) -> Json:
        return {**_user(self.application_id, "bot"), "bot": True}

    def _guild_payload(self, guild: Guild) -> Json:
        everyone = {"id": str(guild.id), "name": "@everyone", "permissions": "0", "position": 0}
        lists = ("emojis", "stickers", "features", "voice_states", "threads", "presences", "stage_instances")
        return {
            "id": str(guild.id),
            "name": guild.name,
            "owner_id": "1",
            "unavailable": False,
            "member_count": len(guild.members) + 1,
            "preferred_locale": "en-US",
            "roles": [everyone | {"color": 0, "hoist": False, "managed": False, "mentionable": False}],
            "channels": [_channel_payload(channel) for channel in guild.channels],
            "members": [_member_payload(Member(self.application_id, guild, "bot"))],
            "guild_scheduled_events": [],
            "soundboard_sounds": [],
            **{name: [] for name in lists},
        }


async def _uploaded(http: web.Request) -> tuple[dict[str, bytes], bytes]:
    """The files of a call, by their id, and its JSON."""
    if http.content_type != "multipart/form-data":
        return {}, await http.read()
    files, raw = {}, b""
    async for part in await http.multipart():
        if not isinstance(part, BodyPartReader):
            continue
        data = bytes(await part.read())
        number = re.fullmatch(r"files\[(\d+)\]", part.name or "")
        if number is not None:
            files[number[1]] = data
        elif part.name == "payload_json":
            raw = data
    return files, raw


def _joined(payload: Json) -> Json:
    """A server that the bot joins says nothing of being available."""
    return {name: value for name, value in payload.items() if name != "unavailable"}


def _source(predicate: Callable[[], object]) -> str:
    """The line that has it, which says what is waited for."""
    try:
        return " ".join(inspect.getsource(predicate).split())
    except (OSError, TypeError):
        return repr(predicate)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _user(number: int, name: str) -> Json:
    return {"id": str(number), "username": name, "discriminator": "0", "avatar": None, "global_name": name}


def _member_payload(member: Member) -> Json:
    joined = datetime.fromtimestamp(0, UTC).isoformat()
    user = _user(member.id, member.name)
    return {"user": user, "roles": [], "joined_at": joined, "flags": 0, "deaf": False, "mute": False}


def _member_permissions(member: Member) -> int:
    usual = VIEW_CHANNEL | SEND_MESSAGES | READ_MESSAGE_HISTORY
    commands = USE_APPLICATION_COMMANDS * member.may_use_commands
    return usual | commands | MANAGE_GUILD * member.manage_guild | ADMINISTRATOR * member.administrator


def _channel_payload(channel: Channel) -> Json:
    ids = {"id": str(channel.id), "guild_id": str(channel.guild.id)}
    about = {"type": 0, "name": channel.name, "position": 0, "nsfw": channel.nsfw}
    return {**ids, **about, "permission_overwrites": []}


def _submitted(part: Json, values: dict[str | int, str]) -> Json:
    """A component of a modal as it comes back."""
    if part["type"] == 4:
        return {
            "type": 4,
            "id": part["id"],
            "custom_id": part["custom_id"],
            "value": values[part["custom_id"]],
        }
    inner: Json = {"type": part["type"], "id": part["id"]}
    if "component" in part:
        return inner | {"component": _submitted(part["component"], values)}
    return inner | {"components": [_submitted(nested, values) for nested in part["components"]]}


def _numbered(components: list[Json], ids: Iterator[int]) -> list[Json]:
    """Copies with an id each, as Discord gives them."""
    copies = []
    for part in components:
        copy = {**part, "id": part.get("id") or next(ids)}
        if "components" in part:
            copy["components"] = _numbered(part["components"], ids)
        for name in ("component", "accessory"):
            if name in part:
                [copy[name]] = _numbered([part[name]], ids)
        copies.append(copy)
    return copies


def _pinged(text: str, allowed: Json) -> tuple[set[int], bool]:
    named = {int(number) for number in re.findall(r"<@!?(\d+)>", text)}
    parse = allowed.get("parse") or []
    listed = {int(number) for number in allowed.get("users") or []}
    users = named if "users" in parse else named & listed
    return users, "everyone" in parse and bool(re.search("@everyone|@here", text))


def _retry(wait: float, scope: str) -> dict[str, str]:
    return {"Retry-After": str(math.ceil(wait)), "X-RateLimit-Scope": scope}


def _slow_down(wait: float, *, everywhere: bool = False) -> Json:
    return {
        "message": "You are being rate limited.",
        "retry_after": round(max(wait, 0.001), 3),
        "global": everywhere,
    }


def _response(status: int, answer: Any, headers: dict[str, str]) -> web.Response:
    raw = answer if isinstance(answer, bytes) else orjson.dumps(answer)
    # Exactly this content type: discord.py decodes no other.
    kind = {"Content-Type": "application/json"} if status != 204 else {}
    return web.Response(
        status=status, body=None if status == 204 else raw, headers={**kind, "Via": "1.1 google", **headers}
    )


def _rests() -> RefusedError:
    return RefusedError(400, 50083, "Thread is archived")


def _fault_response(fault: Fault) -> web.Response:
    if fault.edge:
        page: dict[str, str] = {"Retry-After": "3600"} if fault.status == 429 else {}
        return web.Response(
            status=fault.status or 500, text="<html>error</html>", content_type="text/html", headers=page
        )
    body = fault.body
    if body is None:
        body = _slow_down(1.0) if fault.status == 429 else {"message": "made to fail", "code": fault.code}
    headers = fault.headers
    if fault.status == 429 and isinstance(body, dict) and isinstance(body.get("retry_after"), float):
        headers = {**_retry(body["retry_after"], "user"), **headers}
    return _response(fault.status or 500, body, headers)


async def _greet_badly(ws: web.WebSocketResponse, how: str) -> web.WebSocketResponse:
    if how == "garbage":
        await ws.send_str("<html>")
    elif how == "asked to come again":
        await ws.send_str('{"op": 7, "d": null}')
    await ws.close(code=4000)
    return ws


def _cut(http: web.Request) -> web.Response:
    """Reset the connection; the response that aiohttp wants goes nowhere."""
    if http.transport is not None:
        sock = http.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        http.transport.abort()
    return web.Response()
