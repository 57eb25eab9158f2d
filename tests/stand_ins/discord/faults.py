"""Faults that a test causes in a call, and how they look to the bot."""

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from tests.stand_ins.discord.answers import response, retry_headers, slow_down


@dataclass
class Fault:
    """What happens to the next `times` matching calls instead of, or on top of, the usual.

    The `delay` comes first; then a `status` is answered without doing anything, or the call is done; `late`
    is how long the answer is on its way. `reset` drops the connection: `before` anything was done, or `after`
    it was done, so that the answer is lost.
    `done_and_status`: the call is done, and another status answered. `headers` come on top of the usual ones.
    `edge`: something in front of Discord answers, with a page and without a Via header.
    `scope`: of a 429, whose limit it is: "user", "shared" or "global".
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
    scope: Literal["user", "shared", "global"] = "user"


def next_fault(faults: list[Fault], method: str, path: str) -> Fault:
    """Return the fault for this call, and use it up; or one that changes nothing."""
    for fault in faults:
        if fault.method == method and re.search(fault.path_pattern, path):
            fault.times -= 1
            if fault.times <= 0:
                faults.remove(fault)
            return fault
    return Fault("", "")


def fault_response(fault: Fault) -> web.Response:
    if fault.edge:
        page: dict[str, str] = {"Retry-After": "3600"} if fault.status == 429 else {}
        return web.Response(
            status=fault.status or 500, text="<html>error</html>", content_type="text/html", headers=page
        )
    body = fault.body
    if body is None:
        body = slow_down(1.0) if fault.status == 429 else {"message": "made to fail", "code": fault.code}
    headers = fault.headers
    if fault.status == 429 and isinstance(body, dict) and isinstance(body.get("retry_after"), float):
        headers = {**retry_headers(body["retry_after"], fault.scope), **headers}
    return response(fault.status or 500, body, headers)
