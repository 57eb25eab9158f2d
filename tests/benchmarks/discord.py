"""A lean Discord and model API in a separate process: they answer, and note when what arrived.

Strictness is the job of `tests/stand_ins`; here a thousand edits a second must cost little.
"""

import asyncio
import re
import sys
import time
from collections import Counter
from enum import IntEnum
from pathlib import Path
from typing import Any

import orjson

from tests.benchmarks import places
from tests.benchmarks.connection import Answer, Connection
from tests.benchmarks.control import obey
from tests.benchmarks.gateway import APPLICATION, Gateway, reload_typed, user

BASE = "/api/v10"
BOT_CALLS_PER_SECOND = 50
"""Calls per second that Discord allows a bot; calls by an interaction's token don't count."""
_READY = b"**Ready**"
"""The start of every bot's last edit here."""
_REFERENCE = re.compile(rb'"message_id": ?"?(\d+)')
_MODEL = re.compile(rb'"model-(\d+)"')


class Kind(IntEnum):
    """Events in a reload's life."""

    LOGIN = 0
    ASKED = 1
    ANSWERED = 2
    CALLED = 3
    EDITED = 4
    ENDED = 5
    PINGED = 6
    LIMITED = 7
    REFUSED = 8
    """The first response was no countdown."""


class Discord:
    """Answers each call; `events` are (kind, the reply's message ID, seconds since 1970)."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.delay = 0.0
        self.commands = asyncio.Event()
        self.events: list[tuple[Kind, int, float]] = []
        self.counted: Counter[str] = Counter()
        self._second, self._calls = 0.0, 0
        self._flow: asyncio.Task[None] | None = None
        self._number = 0

    def note(self, kind: Kind, message: int = 0) -> None:
        """Note that something happened just now."""
        self.events.append((kind, message, time.time()))
        self.counted[kind.name.lower()] += 1

    def late(self, path: str) -> float:
        """Return the seconds for which the answer to a call is held back; the model API's is not."""
        return self.delay if path.startswith(BASE) else 0.0

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Handle one call; return the status and the JSON body."""
        parts = path.partition("?")[0].split("/")
        if not path.startswith(BASE):
            return self._model_api(path, body)
        match method, parts[3:]:
            case "PATCH", ["webhooks", _, token, "messages", message]:
                return 200, self._edit(_of(token), message, body)
            case "POST", ["interactions", _, token, "callback"]:
                return 200, self._callback(token, body)
            case "POST", ["webhooks", _, token]:
                self.note(Kind.PINGED, _of(token)[0])
                return 200, _message(*_of(token), body)
            case "GET", ["webhooks", _, token, "messages", _]:
                return 200, _message(*_of(token), b"{}")
        if (limited := self._limited()) is not None:
            return 429, limited
        return self._by_bot(method, parts[3:], body)

    def _by_bot(self, method: str, parts: list[str], body: bytes) -> Answer:
        match method, parts:
            case "POST", ["channels", channel, "messages"]:
                found = _REFERENCE.search(body)
                self.note(Kind.PINGED, int(found[1]) if found is not None else 0)
                return 200, _message(places.interaction(0), int(channel), body)
            case "PATCH", ["channels", channel, "messages", message]:
                return 200, self._edit((int(message), int(channel)), message, body)
            case "GET", ["users", "@me"]:
                return 200, user(APPLICATION, "bot") | {"bot": True}
            case "GET", ["oauth2", "applications", "@me"]:
                self.note(Kind.LOGIN)
                about = {"id": str(APPLICATION), "name": "bot", "icon": None, "description": "", "flags": 0}
                permissions = {"bot_public": True, "bot_require_code_grant": False, "verify_key": "0" * 64}
                return 200, {**about, **permissions, "owner": user(1, "owner"), "team": None}
            case "GET", ["gateway", "bot"]:
                left = {"total": 1000, "remaining": 999, "reset_after": 86_400_000, "max_concurrency": 1}
                return 200, {"url": self.gateway.url, "shards": 1, "session_start_limit": left}
            case "PUT", ["applications", _, "commands"]:
                self.commands.set()
                more = {"application_id": str(APPLICATION), "version": "1", "type": 1}
                named = [c | more | {"id": str(n)} for n, c in enumerate(orjson.loads(body), 1)]
                return 200, [{"options": [], "default_member_permissions": None, **c} for c in named]
        print("unknown:", method, parts, file=sys.stderr)  # noqa: T201  # in the log of this process
        return 404, {"message": "404: Not Found", "code": 0}

    def _model_api(self, path: str, body: bytes) -> Answer:
        if path.endswith("/model_reload"):
            found = _MODEL.search(body)
            self.note(Kind.CALLED, int(found[1]) if found is not None else 0)
            return 200, {"status": "success", "message": "Model is reloading"}
        return 200, [{"model_id": "midjourney", "model_name": "MidJourney", "api_calls": "90"}]

    def _edit(self, place: tuple[int, int], message: str, body: bytes) -> Any:
        number = int(message) if message.isdigit() else place[0]
        self.note(Kind.ENDED if _READY in body else Kind.EDITED, number)
        return _message(number, place[1], body)

    def _callback(self, token: str, body: bytes) -> Any:
        message, channel = _of(token)
        deferred = orjson.loads(body)["type"] == 5
        self.note(Kind.ANSWERED if deferred else Kind.REFUSED, message)
        about = {"id": str(message - 1), "type": 2, "response_message_id": str(message)}
        seen = {"response_message_loading": deferred, "response_message_ephemeral": not deferred}
        resource = {"type": 5} if deferred else {"type": 4, "message": _message(message, channel, b"{}")}
        return {"interaction": {**about, **seen}, "resource": resource}

    def _limited(self) -> Any:
        now = time.time()
        if now >= self._second + 1:
            self._second, self._calls = now, 0
        self._calls += 1
        if self._calls <= BOT_CALLS_PER_SECOND:
            return None
        self.note(Kind.LIMITED)
        wait = round(self._second + 1 - now, 3)
        return {"message": "You are being rate limited.", "retry_after": max(wait, 0.001), "global": True}

    # The benchmark's requests

    async def ready(self) -> None:
        """Wait until the bot is connected and its commands are there."""
        await self.gateway.connected.wait()
        await self.commands.wait()

    def flow(self, first: int, count: int, rate: float, after: float) -> None:
        """Let people ask, `rate` a second, starting in `after` seconds; their numbers start at `first`."""
        self._flow = asyncio.create_task(self._ask(first, count, rate, time.time() + after), name="flow")

    async def _ask(self, first: int, count: int, rate: float, began: float) -> None:
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / rate - time.time()))
            place = (first + number) % self.gateway.servers
            id_ = places.interaction(first + number)
            event = reload_typed(first + number, place, id_)
            self.note(Kind.ASKED, places.message(id_))
            await self.gateway.dispatch("INTERACTION_CREATE", event)

    def slow_down(self, delay: float) -> None:
        """From now on, delay every answer of Discord by this many seconds."""
        self.delay = delay

    def save(self, path: str) -> None:
        """Write down everything that happened."""
        Path(path).write_bytes(orjson.dumps(self.events))


def _of(token: str) -> tuple[int, int]:
    """The reply's message id and its channel."""
    id_, channel, _ = token.split(".", 2)
    return places.message(int(id_)), int(channel)


_MESSAGE = {
    "type": 20,
    "author": user(APPLICATION, "bot") | {"bot": True},
    "application_id": str(APPLICATION),
    "webhook_id": str(APPLICATION),
    "content": "",
    "timestamp": "2026-01-01T00:00:00+00:00",
    "edited_timestamp": "2026-01-01T00:00:05+00:00",
    "embeds": [],
    "components": [],
    "flags": 0,
    "mentions": [],
    "mention_roles": [],
    "mention_everyone": False,
    "attachments": [],
    "pinned": False,
    "tts": False,
}


def _message(number: int, channel: int, body: bytes) -> dict[str, Any]:
    """The whole message, as Discord answers an edit: discord.py reads all of it."""
    said = orjson.loads(body)
    shown = {name: said[name] for name in ("content", "embeds", "components", "flags") if said.get(name)}
    return {**_MESSAGE, "id": str(number), "channel_id": str(channel), **shown}


async def main(servers: int) -> None:
    """Serve until standard input ends."""
    gateway = Gateway(servers)
    discord = Discord(gateway)
    await gateway.start()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(discord.answer, discord.late), "127.0.0.1", 0
    )
    host = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    where = {
        "DISCORD_API_URL": host + BASE,
        "MODEL_API_URL": host,
        "MODEL_API_VERSION": "v4",
        "GATEWAY_URL": gateway.url,
    }
    mine = {name: getattr(discord, name) for name in ("ready", "flow", "slow_down", "save")}
    await obey({"where": lambda: where, "counted": lambda: dict(discord.counted), **mine})


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
