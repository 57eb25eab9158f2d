"""A stand-in for the model API: a real HTTP server on 127.0.0.1 with the documented answers.

The model id chooses the answer, so that a person can see every ending. Any key works but `wrong-key`.
"""

import asyncio
from types import TracebackType
from typing import Self

import orjson
from aiohttp import web

WRONG_KEY = "wrong-key"
_RATE_LIMIT = "Rate limit exceeded. Maximum 5 queued requests allowed."
ANSWERS: dict[str, tuple[int, dict[str, object] | str]] = {
    "works": (200, {"status": "success", "message": "Model is reloading"}),
    "slow": (200, {"status": "processing", "messege": "Model is reloading"}),
    "unknown-model": (200, {"status": "error", "message": "Model not found: unknown-model"}),
    "no-credits": (402, {"status": "error", "message": "Insufficient credits. Please top up."}),
    "small-plan": (403, {"status": "error", "message": "This feature requires a premium subscription"}),
    "wrong-key": (401, {"status": "error", "message": "Invalid API key"}),
    "busy": (429, {"status": "error", "message": _RATE_LIMIT, "retry_after": 10}),
    "overloaded": (429, {"status": "error", "message": _RATE_LIMIT}),
    "vendor-trouble": (500, {"status": "error", "message": "Something went wrong, please try again"}),
    "garbage": (200, "<html>Bad gateway</html>"),
    "hangs": (200, {"status": "success", "message": "Too late: nobody waits that long"}),
}
_PAUSES = {"slow": 8.0, "hangs": 60.0}
"""Seconds before the answer, by model id; and by key."""


class StandInModelApi:
    """The server: `async with StandInModelApi() as api: api.url`."""

    def __init__(self) -> None:
        self.url = ""
        app = web.Application()
        for path in ("/api/v4/dreambooth/model_reload", "/api/v6/images/model_reload"):
            app.router.add_post(path, self._reload)
        app.router.add_post("/api/wallet_balance", self._balance)
        self._runner = web.AppRunner(app, shutdown_timeout=0.5)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _reload(self, request: web.Request) -> web.Response:
        asked = await _read(request)
        await asyncio.sleep(_PAUSES.get(asked.get("model_id", ""), 0.0))
        return _answer(asked.get("model_id", ""))

    async def _balance(self, request: web.Request) -> web.Response:
        key = (await _read(request)).get("key", "")
        await asyncio.sleep(_PAUSES.get(key, 0.0))
        if key == WRONG_KEY:
            return _answer("wrong-key")
        balance = {"status": "success", "data": {"balance": 43.6, "currency": "USD"}}
        return web.json_response(balance)


async def _read(request: web.Request) -> dict[str, str]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest
    return {name: value for name, value in body.items() if isinstance(value, str)}


def _answer(model: str) -> web.Response:
    status, body = ANSWERS.get(model, ANSWERS["works"])
    if isinstance(body, str):
        return web.Response(status=status, text=body, content_type="text/html")
    return web.json_response(body, status=status)
