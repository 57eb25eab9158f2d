"""A stand-in for the model API whose answers a test chooses; strict about what it is asked."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import web

ACCEPTED = {"status": "success", "message": "Model is reloading"}
BALANCE = {"status": "success", "data": {"balance": 43.6, "currency": "USD"}}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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


class ModelApiServer:
    """Answers `reload` and `balance` with what stands in `reloads` and `balances`, the last one for ever."""

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[Call] = []
        self.balance_calls: list[Call] = []
        self.reloads: list[Answer] = [Answer(ACCEPTED)]
        self.balances: list[Answer] = [Answer(BALANCE)]
        app = web.Application()
        for path in ("/api/v4/dreambooth/model_reload", "/api/v6/images/model_reload"):
            app.router.add_post(path, self._reload)
        app.router.add_post("/api/wallet_balance", self._balance)
        self._runner = web.AppRunner(app)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def close(self) -> None:
        """From now on connections are refused."""
        for site in list(self._runner.sites):
            await site.stop()

    async def _reload(self, request: web.Request) -> web.StreamResponse:
        self.calls.append(await _read(request, {"key", "model_id"}))
        return await _answer(request, self.reloads)

    async def _balance(self, request: web.Request) -> web.StreamResponse:
        self.balance_calls.append(await _read(request, {"key"}))
        return await _answer(request, self.balances)


async def _read(request: web.Request, fields: set[str]) -> Call:
    body = orjson.loads(await request.read())
    assert request.content_type == "application/json", "the API answers 'invalid key' to other content types"
    assert set(body) == fields
    assert all(isinstance(value, str) for value in body.values())
    assert not request.query, "a key in a URL shows up in logs"
    return Call(asyncio.get_running_loop().time(), request.path, body, dict(request.headers))


async def _answer(request: web.Request, answers: list[Answer]) -> web.StreamResponse:
    answer = answers.pop(0) if len(answers) > 1 else answers[0]
    if answer.handler is not None:
        return await answer.handler(request)
    if isinstance(answer.body, bytes):
        return web.Response(body=answer.body, status=answer.status, headers=answer.headers)
    return web.json_response(answer.body, status=answer.status, headers=answer.headers)
