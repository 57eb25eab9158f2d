"""REST: routes a call from the request on the wire to the answer on the wire.

Source: docs.discord.com/developers/reference.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import orjson
from aiohttp import BodyPartReader, web

from tests.stand_ins.discord.answers import cut, response
from tests.stand_ins.discord.application import Application
from tests.stand_ins.discord.by_channel import ByChannel
from tests.stand_ins.discord.by_token import ByToken
from tests.stand_ins.discord.component_rules import MESSAGE
from tests.stand_ins.discord.faults import fault_response, next_fault
from tests.stand_ins.discord.limits import Limits
from tests.stand_ins.discord.messages import rests
from tests.stand_ins.discord.rules import RefusedError
from tests.stand_ins.discord.state import BASE, COMPONENTS_V2, SUPPRESS_EMBEDS, Answer, Request, now

_NUMBER = r"\d{1,20}"
_PARTS = {"token": "[^/]+", "message": rf"@original|{_NUMBER}"}


class Route(NamedTuple):
    method: str
    template: str
    kind: Literal["bot", "token", "callback"]
    """Who may call: the bot with its token, or anyone who has an interaction's token in the path."""
    handler: Callable[..., Answer]

    def match(self, method: str, path: str) -> dict[str, str] | None:
        pattern = re.sub(
            r"\{(\w+)\}", lambda name: f"(?P<{name[1]}>{_PARTS.get(name[1], _NUMBER)})", self.template
        )
        found = re.fullmatch(pattern, path) if method == self.method else None
        return found.groupdict() if found is not None else None


class Rest(Application, ByToken, ByChannel):
    """The server: REST and gateway on one port."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._limits = Limits()
        self._routes = self._all_routes()
        app = web.Application()
        app.router.add_get("/gateway", self._gateway)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}{BASE}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kick_gateway()
        await self._runner.cleanup()

    def _all_routes(self) -> list[Route]:
        methods = ("GET", "PATCH", "DELETE")
        message, webhook = "/channels/{channel}/messages", "/webhooks/{app}/{token}"
        return [
            Route("GET", "/users/@me", "bot", self._get_me),
            Route("GET", "/users/@me/guilds", "bot", self._get_guilds),
            Route("DELETE", "/users/@me/guilds/{guild}", "bot", self._leave_guild),
            Route("GET", "/guilds/{guild}", "bot", self._get_guild),
            Route("GET", "/guilds/{guild}/members/{user}", "bot", self._get_member),
            Route("GET", "/guilds/{guild}/channels", "bot", self._get_channels),
            Route("GET", "/oauth2/applications/@me", "bot", self._get_application),
            Route("GET", "/gateway/bot", "bot", self._get_gateway),
            Route("PUT", "/applications/{app}/commands", "bot", self._put_commands),
            Route("GET", "/applications/{app}/commands", "bot", self._get_commands),
            Route(
                "GET",
                "/applications/{app}/guilds/{guild}/commands/{command}/permissions",
                "bot",
                self._get_permissions,
            ),
            Route("POST", "/interactions/{id}/{token}/callback", "callback", self._callback),
            Route("POST", webhook, "token", self._follow_up),
            Route("POST", message, "bot", self._send),
            *(Route(m, f"{webhook}/messages/{{message}}", "token", self._on_message) for m in methods),
            *(Route(m, f"{message}/{{message}}", "bot", self._on_message) for m in methods),
        ]

    async def _serve(self, http: web.Request) -> web.StreamResponse:
        path = http.path.removeprefix(BASE)
        found = [(r, m) for r in self._routes if (m := r.match(http.method, path)) is not None]
        route, params = found[0] if found else (None, {})
        request = await _read(http, path, route)
        self.requests.append(request)
        fault = next_fault(self.faults, request.method, request.path)
        await asyncio.sleep(fault.delay)
        if fault.reset == "before":
            return cut(http)
        if fault.status is not None:
            made = fault_response(fault)
            request.status, request.scope = fault.status, made.headers.get("X-RateLimit-Scope", "")
            return made
        status, answer, headers = self._answer(request, route, params, http.headers.get("Authorization"))
        self._keep(request, status, answer)
        await asyncio.sleep(fault.late)
        if fault.reset == "after":
            return cut(http)
        status = fault.done_and_status or status
        headers |= fault.headers
        request.status, request.scope = status, headers.get("X-RateLimit-Scope", "")
        headers["Date"] = format_datetime(
            datetime.now(UTC) + timedelta(seconds=self.clock_ahead), usegmt=True
        )
        return response(status, answer, headers)

    def _keep(self, request: Request, status: int, answer: Any) -> None:
        """Record a call as it was before a test's fault changed it."""
        if self.record is not None:
            line = {"method": request.method, "path": request.path, "body": request.body}
            line |= {"status": status, "answer": None if isinstance(answer, bytes) else answer}
            with self.record.open("ab") as file:
                file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def _answer(
        self, request: Request, route: Route | None, params: dict[str, str], authorization: str | None
    ) -> tuple[int, Any, dict[str, str]]:
        if route is None:
            self.violations.append(f"{request.method} {request.path}: no such route here")
            return 404, {"message": "404: Not Found", "code": 0}, {}
        if route.kind == "bot" and authorization != f"Bot {self.token}":
            return 401, {"message": "401: Unauthorized", "code": 0}, {}
        headers: dict[str, str] = {}
        limited = None
        if self.limits:
            headers, limited = self._limits.take(route.kind, params, self.channel_limit, now())
        try:
            if limited is not None:
                return 429, limited, headers
            status, answer = route.handler(request, **params)
        except RefusedError as refused:
            call = f"{request.method} {request.path}"
            self.violations += [f"{call}: {where}: {what}" for where, what in refused.problems]
            return refused.status, refused.answer, headers
        return status, answer, headers

    def _on_message(self, request: Request, **where: str) -> Answer:
        """Get, edit or delete a message, by token or by channel."""
        message = self._by_token(**where) if "token" in where else self._by_channel(**where)
        if request.method == "DELETE":
            message.deleted = True
            return 204, None
        if request.method == "GET":
            return 200, self._message_payload(message)
        if self.channels[message.channel_id].archived:
            raise rests()
        if message.thinking and "channel" in where and not self.thinking_by_channel:
            raise RefusedError(404, 10008, "Unknown Message")
        self._write(request, message, request.body, MESSAGE, SUPPRESS_EMBEDS | COMPONENTS_V2, pings=False)
        return 200, self._message_payload(message)


async def _read(http: web.Request, path: str, route: Route | None) -> Request:
    files, raw = await _uploaded(http)
    body: Any = None
    with contextlib.suppress(orjson.JSONDecodeError):
        body = orjson.loads(raw) if raw else None
    template = route.template if route is not None else ""
    return Request(now(), http.method, path, template, body, dict(http.query), files=files)


async def _uploaded(http: web.Request) -> tuple[dict[str, bytes], bytes]:
    """The files of a call, by their id, and its JSON."""
    if http.content_type == "application/x-www-form-urlencoded":  # py-cord's
        return {}, str((await http.post())["payload_json"]).encode()
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
