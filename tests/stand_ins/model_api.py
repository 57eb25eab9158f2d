"""A stand-in for the model API whose answers a test chooses; it is strict about requests."""

import asyncio
import struct
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
from aiohttp import web

from bot.sandbox.model_api import ANSWERS, answer_about
from bot.sandbox.model_api_base import ModelApiBase

ACCEPTED = {"status": "success", "message": "Model is reloading"}
LIST = [
    {"model_id": "midjourney", "model_name": "MidJourney", "api_calls": "90", "status": "model_ready"},
    {"model_id": "realistic-vision", "model_name": "Realistic Vision", "api_calls": 70, "created_at": None},
    {"model_id": "more_details", "model_name": "More details", "model_subcategory": "lora", "api_calls": 999},
    {"model_id": None, "screenshots": {}},
]
BALANCE = {"status": "success", "data": {"balance": 43.6, "currency": "USD"}}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\0\xff\0\0"))
    + _chunk(b"IEND", b"")
)
"""One red pixel."""
# By the vendor's Text to Image pages: v4 as text and with at least 21 steps, v6 with at most 20.
_V4 = {"width", "height", "samples", "num_inference_steps", "safety_checker", "enhance_prompt"}
_STEPS = {"v4": ("21", "31", "41", "51"), "v6": tuple(range(1, 21))}


@dataclass
class Answer:
    """One answer: a JSON value or raw bytes, with status and headers; or a handler of its own."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    handler: Handler | None = None


@dataclass(frozen=True)
class Call:
    """One POST: when (the loop's clock), where, and its JSON body."""

    at: float
    path: str
    body: dict[str, Any]
    headers: dict[str, str]


class ModelApiServer(ModelApiBase):
    """Answers each kind of call from its list, and repeats the last one forever.

    A test that leaves `reloads` unchanged gets the sandbox's answers to the sandbox's model IDs. `reloads`,
    `balances`; for a picture: `renders` (requests), `fetches` (is it there?), `pictures` (files); `lists`
    (the public models).
    """

    def __init__(self) -> None:
        super().__init__(shutdown_timeout=0.2)
        self.calls: list[Call] = []
        self.balance_calls: list[Call] = []
        self.render_calls: list[Call] = []
        self.fetch_calls: list[Call] = []
        self.picture_calls: list[Call] = []
        self.list_calls: list[Call] = []
        self.reloads = self._usual = [Answer(ACCEPTED)]
        self.balances: list[Answer] = [Answer(BALANCE)]
        self.renders: list[Answer] = []
        self.fetches: list[Answer] = []
        self.pictures: list[Answer] = [Answer(PNG)]
        self.lists: list[Answer] = [Answer(LIST)]

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.renders, self.fetches = [Answer(self.rendered())], [Answer(self.rendered())]
        return self

    async def close(self) -> None:
        """From now on connections are refused."""
        for site in list(self._runner.sites):
            await site.stop()

    def rendered(self, **fields: Any) -> dict[str, Any]:
        """The answer that a picture is there."""
        output = [self.picture_url]
        return {"status": "success", "generationTime": 1.5, "id": 7, "output": output, **fields}

    @staticmethod
    def rendering(**fields: Any) -> dict[str, Any]:
        """The answer that a picture will be there; the address in it is not ours."""
        evil = "https://evil.example/fetch"
        return {"status": "processing", "eta": 5, "fetch_result": evil, "id": 7, "output": [], **fields}

    async def _reload(self, request: web.Request) -> web.StreamResponse:
        self.calls.append(call := await _read(request, {"key", "model_id"}))
        model = call.body["model_id"]
        assert isinstance(model, str)
        if self.reloads is self._usual and model in ANSWERS:
            return answer_about(model, request.path)
        return await _answer(request, self.reloads)

    async def _render(self, request: web.Request) -> web.StreamResponse:
        call = await _read(request, {"key", "model_id", "prompt"} | _V4)
        version = request.path.split("/")[2]
        assert call.body["num_inference_steps"] in _STEPS[version]
        if version == "v4":
            assert all(isinstance(value, str) for value in call.body.values())
            assert call.body["safety_checker"] == "yes"
        else:
            assert all(isinstance(call.body[name], int) for name in _V4)
            assert call.body["safety_checker"] is True
        assert int(call.body["width"]) % 8 == int(call.body["height"]) % 8 == 0
        self.render_calls.append(call)
        return await _answer(request, self.renders)

    async def _fetch(self, request: web.Request) -> web.StreamResponse:
        call = await _read(request, {"key", "request_id"})
        assert isinstance(call.body["request_id"], str)
        assert request.match_info.get("job", call.body["request_id"]) == call.body["request_id"]
        self.fetch_calls.append(call)
        return await _answer(request, self.fetches)

    async def _picture(self, request: web.Request) -> web.StreamResponse:
        assert "Authorization" not in request.headers
        assert "Cookie" not in request.headers
        self.picture_calls.append(Call(asyncio.get_running_loop().time(), request.path, {}, {}))
        return await _answer(request, self.pictures)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        self.list_calls.append(await _read(request, {"key"}))
        return await _answer(request, self.lists)

    async def _balance(self, request: web.Request) -> web.StreamResponse:
        self.balance_calls.append(await _read(request, {"key"}))
        return await _answer(request, self.balances)


async def _read(request: web.Request, fields: set[str]) -> Call:
    body = orjson.loads(await request.read())
    assert request.content_type == "application/json", "the API answers 'invalid key' to other content types"
    assert set(body) == fields
    assert isinstance(body["key"], str)
    assert not request.query, "a key in a URL shows up in logs"
    return Call(asyncio.get_running_loop().time(), request.path, body, dict(request.headers))


async def _answer(request: web.Request, answers: list[Answer]) -> web.StreamResponse:
    answer = answers.pop(0) if len(answers) > 1 else answers[0]
    if answer.handler is not None:
        return await answer.handler(request)
    if isinstance(answer.body, bytes):
        return web.Response(body=answer.body, status=answer.status, headers=answer.headers)
    return web.json_response(answer.body, status=answer.status, headers=answer.headers)
