"""A stand-in for the model API: a real HTTP server on 127.0.0.1 with documented or observed answers.

The model ID chooses the answer, so that a person can see every outcome. Any key works except `wrong-key`. The
tests' own stand-in answers these IDs in the same way.
"""

import asyncio
import io
from contextlib import ExitStack

import orjson
from aiohttp import web
from PIL import Image, ImageDraw

from bot.model_api.places import MAX_CONCURRENT_CALLS, CallPlaces
from bot.sandbox.model_api_base import ModelApiBase

WRONG_KEY = "wrong-key"
_RATE_LIMIT = "Rate limit exceeded. Maximum 5 queued requests allowed."
_MONTHLY = "Your monthly limit exceeded, upgrade subscription now on https://modelslab.com/pricing"
_ACCEPTED: dict[str, object] = {"status": "success", "message": "Model is reloading"}
_INVALID_KEY: dict[str, object] = {"status": "error", "message": "Invalid API key"}
_LOST = {"status": "failed", "id": "", "message": "Request not found", "output": "", "tip": "Check the id"}
ANSWERS: dict[str, tuple[int, dict[str, object] | str]] = {
    "works": (200, _ACCEPTED),
    "slow": (200, {"status": "processing", "messege": "Model is reloading"}),
    "no-status-word": (200, {"messege": "Model is reloading"}),
    "not-loading": (200, {"messege": "Model is not loading"}),
    "picture-fails": (200, _ACCEPTED),
    "picture-late": (200, _ACCEPTED),
    "picture-elsewhere": (200, _ACCEPTED),
    "picture-queued": (200, _ACCEPTED),
    "picture-lost": (200, _ACCEPTED),
    "unknown-model": (200, {"status": "error", "message": "Model not found: unknown-model"}),
    "no-credits": (402, {"status": "error", "message": "Insufficient credits. Please top up."}),
    "monthly-limit": (200, {"status": "error", "messege": _MONTHLY}),
    "small-plan": (403, {"status": "error", "message": "This feature requires a premium subscription"}),
    "wrong-key": (401, _INVALID_KEY),
    "old-host": (401, _INVALID_KEY),
    "crowd": (200, _ACCEPTED),
    "busy": (429, {"status": "error", "message": _RATE_LIMIT, "retry_after": 10}),
    "overloaded": (429, {"status": "error", "message": _RATE_LIMIT}),
    "half-an-hour": (429, {"status": "error", "message": "Rate limit exceeded, try again in 30 minutes"}),
    "queue-full": (200, {"status": "error", "message": "Queue is full", "tips": "wait for 30 seconds"}),
    "no-route": (404, {"message": "Route not found"}),
    "no-status-but-text": (422, {"message": "The model id must be a string."}),
    "moved": (308, {"status": "success", "message": "From another address: not believed"}),
    "vendor-trouble": (500, {"status": "error", "message": "Something went wrong, please try again"}),
    "hangs": (200, {"status": "success", "message": "Too late: nobody waits that long"}),
    "garbage": (200, "<html>Bad gateway</html>"),  # last: 25 are suggested, and others end like this
}
_PUBLIC = [
    {"model_id": id_, "model_name": name, "api_calls": 1000 - place}
    for place, (id_, name) in enumerate(
        (
            ("midjourney", "MidJourney"),
            ("anything-v3", "Anything V3"),
            ("realistic-vision-v13", "Realistic Vision"),
            ("dream-shaper-8797", "DreamShaper"),
            ("sdxl-turbo", "SDXL Turbo"),
        )
    )
]
_LOST_JOB = 2
_PAUSES = {"slow": 8.0, "hangs": 60.0}
"""Seconds before the answer, by model ID and by key."""
_CROWD = 120.0
"""Seconds without a free place for a call, after `crowd` was reloaded."""
_RENDER_DELAY = 2.0
_LATE = 11.0
"""Seconds after which a picture is at its address."""


class StandInModelApi(ModelApiBase):
    """The server: `async with StandInModelApi() as api: api.url`."""

    def __init__(self) -> None:
        super().__init__(shutdown_timeout=0.5)
        self.places = CallPlaces()
        """The bot's, once there is one."""

    @property
    def hosts(self) -> dict[str, str]:
        """The current and the old host: two names of this server, so both have its pictures."""
        return {"v6": self.url, "v4": self.url.replace("127.0.0.1", "localhost")}

    async def _reload(self, request: web.Request) -> web.Response:
        model = (await _read(request)).get("model_id", "")
        await asyncio.sleep(_PAUSES.get(model, 0.0))
        if model == "crowd":
            self._crowd()
        return answer_about(model, request.path)

    def _crowd(self) -> None:
        """Take all places, like hanging calls of other servers."""
        calls = ExitStack()
        for server in range(MAX_CONCURRENT_CALLS):
            calls.enter_context(self.places.line(server))
        asyncio.get_running_loop().call_later(_CROWD, calls.close)

    async def _render(self, request: web.Request) -> web.Response:
        model = (await _read(request)).get("model_id", "")
        if model == "picture-fails":
            return web.json_response({"status": "failed", "message": "Failed, Try Again"})
        if model in ("slow", "picture-queued"):
            word = "processing" if model == "slow" else "queued"
            return web.json_response({"status": word, "id": 1, "eta": 4.0, "output": []})
        if model == "picture-lost":
            return web.json_response({"status": "processing", "id": _LOST_JOB, "eta": 4.0, "output": ""})
        await asyncio.sleep(_RENDER_DELAY)
        if model == "picture-late":
            return self._rendered([f"{self.picture_url}?from={asyncio.get_running_loop().time() + _LATE}"])
        if model == "picture-elsewhere":
            return self._rendered([f"{self.url}/not-there.png"], [self.picture_url])
        return self._rendered([self.picture_url])

    async def _fetch(self, request: web.Request) -> web.Response:
        if (await _read(request)).get("request_id") == str(_LOST_JOB):
            return web.json_response(_LOST)
        return self._rendered([self.picture_url])

    @staticmethod
    def _rendered(output: list[str], proxies: list[str] | None = None) -> web.Response:
        return web.json_response({"status": "success", "id": 1, "output": output, "proxy_links": proxies})

    async def _picture(self, request: web.Request) -> web.Response:
        if asyncio.get_running_loop().time() < float(request.query.get("from", "0")):
            raise web.HTTPNotFound
        return web.Response(body=_apple(), content_type="text/plain")  # this form occurs, too

    async def _list(self, request: web.Request) -> web.Response:
        await _read(request)
        return web.json_response(_PUBLIC)

    async def _balance(self, request: web.Request) -> web.Response:
        key = (await _read(request)).get("key", "")
        await asyncio.sleep(_PAUSES.get(key, 0.0))
        if key == WRONG_KEY:
            return answer_about(WRONG_KEY)
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


def answer_about(model: str, path: str = "") -> web.Response:
    """Return the answer to a reload of a model; `path` tells the hosts apart."""
    is_known = model in ANSWERS and not (model == "old-host" and "/v4/" in path)
    status, body = ANSWERS[model if is_known else "works"]
    if isinstance(body, str):
        return web.Response(status=status, text=body, content_type="text/html")
    where = {"Location": "https://elsewhere.invalid/model_reload"} if 300 <= status < 400 else None
    return web.json_response(body, status=status, headers=where)


def _apple() -> bytes:
    """Draw what the form proposes: a red apple on a wooden table."""
    picture = Image.new("RGB", (512, 512), "#e9e2d5")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 340, 512, 512), fill="#9c6b3f")
    draw.ellipse((150, 400, 370, 440), fill="#7d5430")
    draw.ellipse((140, 170, 290, 420), fill="#c6322b")
    draw.ellipse((222, 170, 372, 420), fill="#c6322b")
    draw.ellipse((178, 205, 222, 265), fill="#e2685c")
    draw.line((256, 190, 272, 130), fill="#5b3b1e", width=10)
    draw.ellipse((272, 118, 340, 156), fill="#5d8a3a")
    packed = io.BytesIO()
    picture.save(packed, "PNG")
    return packed.getvalue()
