"""Our stand-in for Discord, as lenient as Discord is, where it is stricter for our own bot's sake."""

import base64
from typing import Any

from tests.stand_ins.discord import DiscordServer
from tests.stand_ins.discord.rest import Route
from tests.stand_ins.discord.rules import Json
from tests.stand_ins.discord.state import Answer, Request

_DEFERRAL = 5
_UNKNOWN = {"PUT": "default_permission", "PATCH": "enforce_nonce"}
"""Fields that peers send by these methods and that Discord ignores, though the stand-in refuses them."""


class Discord(DiscordServer):
    """Answers two more calls, and ignores what Discord ignores."""

    def __init__(self) -> None:
        super().__init__()
        # hikari reads the application's id from the token.
        self.token = base64.b64encode(str(self.application_id).encode()).decode().rstrip("=") + ".made.up"

    def _all_routes(self) -> list[Route]:
        return [
            *super()._all_routes(),
            Route("GET", "/gateway", "callback", self._get_gateway_url),
            Route("GET", "/soundboard-default-sounds", "bot", lambda _: (200, [])),
        ]

    def _bot_user(self) -> Json:
        return super()._bot_user() | {"mfa_enabled": False}

    def _get_gateway_url(self, request: Request) -> Answer:
        return 200, {"url": self._gateway_url}

    def _answer(
        self, request: Request, route: Route | None, params: dict[str, str], authorization: str | None
    ) -> tuple[int, Any, dict[str, str]]:
        for one in request.body if isinstance(request.body, list) else [request.body]:
            if isinstance(one, dict):
                one.pop(_UNKNOWN.get(request.method, ""), None)
        if request.path.endswith("/callback") and request.body["type"] == _DEFERRAL:
            request.body.get("data", {}).pop("allowed_mentions", None)  # hikari's
        return super()._answer(request, route, params, authorization)
