"""A stand-in for the model API: a real HTTP server on 127.0.0.1 with the documented answers.

The model id chooses the answer, so that a person can see every ending. Any key works but `wrong-key`.
"""

import asyncio
import io

import orjson
from aiohttp import web
from PIL import Image, ImageDraw

from bot.sandbox.model_api_base import ModelApiBase

WRONG_KEY = "wrong-key"
_RATE_LIMIT = "Rate limit exceeded. Maximum 5 queued requests allowed."
ANSWERS: dict[str, tuple[int, dict[str, object] | str]] = {
    "works": (200, {"status": "success", "message": "Model is reloading"}),
    "slow": (200, {"status": "processing", "messege": "Model is reloading"}),
    "picture-fails": (200, {"status": "success", "message": "Model is reloading"}),
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
_PAUSES = {"slow": 8.0, "hangs": 60.0}
"""Seconds before the answer, by model id; and by key."""
_RENDER_DELAY = 2.0


class StandInModelApi(ModelApiBase):
    """The server: `async with StandInModelApi() as api: api.url`."""

    def __init__(self) -> None:
        super().__init__(shutdown_timeout=0.5)

    async def _reload(self, request: web.Request) -> web.Response:
        asked = await _read(request)
        await asyncio.sleep(_PAUSES.get(asked.get("model_id", ""), 0.0))
        return _answer(asked.get("model_id", ""))

    async def _render(self, request: web.Request) -> web.Response:
        model = (await _read(request)).get("model_id", "")
        if model == "picture-fails":
            return web.json_response({"status": "failed", "message": "Failed, Try Again"})
        if model == "slow":
            return web.json_response({"status": "processing", "id": 1, "eta": 4.0, "output": []})
        await asyncio.sleep(_RENDER_DELAY)
        return self._rendered()

    async def _fetch(self, request: web.Request) -> web.Response:
        await _read(request)
        return self._rendered()

    def _rendered(self) -> web.Response:
        return web.json_response({"status": "success", "id": 1, "output": [self.picture_url]})

    async def _picture(self, _: web.Request) -> web.Response:
        return web.Response(body=_apple(), content_type="image/png")

    async def _list(self, request: web.Request) -> web.Response:
        await _read(request)
        return web.json_response(_PUBLIC)

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


def _apple() -> bytes:
    """What the form proposes: a red apple on a wooden table."""
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
