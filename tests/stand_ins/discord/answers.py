"""Discord's answers on the wire: their headers, and the body of a 429.

Source: docs.discord.com/developers/topics/rate-limits; the Via header was seen on its answers.
"""

import math
import socket
import struct
from typing import Any

import orjson
from aiohttp import web

from tests.stand_ins.discord.rules import Json


def response(status: int, answer: Any, headers: dict[str, str]) -> web.Response:
    raw = answer if isinstance(answer, bytes) else orjson.dumps(answer)
    # Exactly this content type: discord.py decodes no other.
    kind = {"Content-Type": "application/json"} if status != 204 else {}
    return web.Response(
        status=status, body=None if status == 204 else raw, headers={**kind, "Via": "1.1 google", **headers}
    )


def retry_headers(wait: float, scope: str) -> dict[str, str]:
    return {"Retry-After": str(math.ceil(wait)), "X-RateLimit-Scope": scope}


def slow_down(wait: float, *, everywhere: bool = False) -> Json:
    return {
        "message": "You are being rate limited.",
        "retry_after": round(max(wait, 0.001), 3),
        "global": everywhere,
    }


def cut(http: web.Request) -> web.Response:
    """Reset the connection; the response that aiohttp wants goes nowhere."""
    if http.transport is not None:
        sock = http.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        http.transport.abort()
    return web.Response()
