"""The model API over aiohttp: one POST, never two that could both take effect.

It knows nothing of Discord.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from enum import Enum
from typing import Any, NamedTuple

import aiohttp
import orjson
import structlog
from pydantic import SecretStr
from yarl import URL

from bot.domain.catalogue import MOST_ROWS, PublicModel, read_row
from bot.domain.picture import Picture
from bot.domain.reload import Outcome
from bot.metrics import Metrics
from bot.model_api.answer import (
    Answer,
    Rendering,
    classify,
    read,
    read_rendering,
    refuses_key,
    word_of,
)
from bot.model_api.balance import Balance, read_balance
from bot.model_api.body import PACKINGS, bounded, unpacked
from bot.model_api.model_list import read_list
from bot.model_api.picture import Turn, fetch
from bot.model_api.redact import harmless, pieces_of
from bot.model_api.trouble import UNCLEAR, Trouble, of_answer, of_error
from bot.model_api.versions import BALANCE_PATH, LIST_PATH, VERSIONS

RELOAD_TIMEOUT = 20.0
CONNECT_TIMEOUT = 5.0
KEY_CHECK_TIMEOUT = 10.0
RENDER_TIMEOUT = 60.0
"""Seconds to wait for a picture; the vendor's own clients wait 30 to 60."""
MODEL_LIST_TIMEOUT = 120.0
RECONNECT_DELAY = 2.0


_GONE = (404, 410)
_CURE = (
    "See whether a newer version of the bot knows the address; MODEL_API_VERSION and MODEL_API_URL set it."
)
_NEVER_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class KeyCheck(Enum):
    """The API's verdict on a key."""

    VALID = "valid"
    INVALID = "invalid"
    COULD_NOT_CHECK = "could not check"


class KeyAnswer(NamedTuple):
    """The outcome of asking about a key."""

    check: KeyCheck
    trouble: Trouble = UNCLEAR
    """Why it could not be checked."""
    balance: Balance | None = None
    """The balance, if the API gives it."""


Got = tuple[int, dict[str, str], bytes]
"""An answer as it came: status, headers by lower-case name, body."""
Hold = Callable[[], Awaitable[None]]
"""A function that returns once this process may act on a reload, and raises if it no longer may."""


async def _free() -> None:
    """Return immediately: nobody else could act."""


class ModelApi:
    """The model API at one host. Its session makes a fresh connection for each call."""

    def __init__(
        self, session: aiohttp.ClientSession, host: str, version: str, metrics: Metrics | None = None
    ) -> None:
        self._session = session
        self._metrics = metrics or Metrics()
        self.host = host
        self.version = version
        self._version = VERSIONS[version]
        self._balance_url = host + BALANCE_PATH
        self._list_url = host + LIST_PATH

    async def reload(self, key: SecretStr, model: str, hold: Hold = _free) -> Answer:
        """Request a model's reload once; repeat it, once, only if no connection was made.

        Raises only what `hold` raises, which is awaited before each try.
        """
        began = time.monotonic()
        answer = await self._reload(key, model, hold)
        self._count("reload", answer.outcome, began)
        return answer

    async def _reload(self, key: SecretStr, model: str, hold: Hold) -> Answer:
        got = await self._once(
            self.host + self._version.reload_path, RELOAD_TIMEOUT, key, hold, model_id=model
        )
        if isinstance(got, Outcome):
            return Answer(got)
        answer = classify(*got, key, model, time.time())
        self._look_at_address(got, key, is_gone=answer.outcome is Outcome.ADDRESS_GONE)
        return answer

    async def render(self, key: SecretStr, model: str, prompt: str, hold: Hold = _free) -> Rendering:
        """Request one small picture once, which costs a generation. Raises only what `hold` raises."""
        began = time.monotonic()
        fields = {"model_id": model, "prompt": prompt, **self._version.picture}
        got = await self._once(self.host + self._version.render_path, RENDER_TIMEOUT, key, hold, **fields)
        answer = self._rendering(got, key, model)
        self._count("render", answer.outcome, began)
        return answer

    async def rendered(self, key: SecretStr, model: str, job: str) -> Rendering:
        """Ask for a picture that was still rendering; use our own address, never one in an answer."""
        began = time.monotonic()
        url = self.host + self._version.fetch_path
        if self._version.job_in_path:
            url += f"/{job}"
        got = await self._once(url, RELOAD_TIMEOUT, key, _free, request_id=job)
        answer = self._rendering(got, key, model)
        self._count("rendered", answer.outcome, began)
        return answer

    def _rendering(self, got: Got | Outcome, key: SecretStr, model: str) -> Rendering:
        if isinstance(got, Outcome):
            return Rendering(got)
        answer = read_rendering(*got, key, model, time.time())
        self._look_at_address(got, key, is_gone=answer.outcome is Outcome.ADDRESS_GONE)
        return answer

    async def picture(self, addresses: str, turn: Turn) -> Picture | None:
        """Fetch a rendered picture, for most of a minute; None if it can't be fetched."""
        return await fetch(self._session, addresses, self.host, turn)

    async def models(self, key: SecretStr) -> list[PublicModel] | None:
        """Return the public models, read as they arrive; None: no list, or not all of it. Never raises."""
        began = time.monotonic()
        rows, outcome = None, "failed"
        try:
            async with asyncio.timeout(MODEL_LIST_TIMEOUT):
                rows = await self._models(key)
            outcome = "listed" if rows else "empty"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            log.warning("model_api.no_list", error=type(error).__name__)
        self._count("models", outcome, began)
        return rows

    async def _models(self, key: SecretStr) -> list[PublicModel]:
        rows: list[PublicModel] = []
        pieces = pieces_of(key)
        async with self._sent(self._list_url, MODEL_LIST_TIMEOUT, key) as response:
            if response.status != 200:
                self._look_at_address(
                    (response.status, _headers(response), b""), key, is_gone=response.status in _GONE
                )
                raise ValueError("no list")
            async for raw in read_list(unpacked(response)):
                row = read_row(raw)
                echoes = row is not None and any(piece in f"{row.id} {row.name}".lower() for piece in pieces)
                if row is not None and not echoes and len(rows) < MOST_ROWS:
                    rows.append(row)
        return rows

    async def _once(self, url: str, limit: float, key: SecretStr, hold: Hold, **fields: Any) -> Got | Outcome:
        """Call once; repeat it, once, only if no connection was made.

        An Outcome says why there is no answer.
        """
        for last in (False, True):
            await hold()
            try:
                async with asyncio.timeout(limit):
                    return await self._post(url, limit, key, **fields)
            except _NEVER_CONNECTED as error:
                log.warning("model_api.not_connected", error=type(error).__name__, last=last)
                if not last:
                    await asyncio.sleep(RECONNECT_DELAY)
            except (aiohttp.ClientError, OSError, ValueError) as error:  # OSError: TimeoutError, too
                log.warning("model_api.no_answer", error=type(error).__name__)
                return Outcome.NO_USABLE_ANSWER
        return Outcome.NO_CONNECTION

    async def check_key(self, key: SecretStr) -> KeyAnswer:
        """Ask for the key's balance.

        Never raises; an answer that isn't explicit about the key says nothing.
        """
        began = time.monotonic()
        answer = await self._check_key(key)
        self._count("check_key", answer.check.value, began)
        return answer

    def _count(self, call: str, outcome: str, began: float) -> None:
        self._metrics.model_api_calls.labels(call, outcome).inc()
        self._metrics.model_api_seconds.labels(call).observe(time.monotonic() - began)

    async def _check_key(self, key: SecretStr) -> KeyAnswer:
        try:
            async with asyncio.timeout(KEY_CHECK_TIMEOUT):
                got = await self._post(self._balance_url, KEY_CHECK_TIMEOUT, key)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            log.warning("model_api.key_not_checked", error=type(error).__name__)
            return KeyAnswer(KeyCheck.COULD_NOT_CHECK, of_error(error))
        answer = read(got[2]) or {}
        if 300 <= got[0] < 400:
            check = KeyCheck.COULD_NOT_CHECK
        elif word_of(answer) == "success" or (word_of(answer) is None and "balance" in answer):
            check = KeyCheck.VALID  # the latter is how one client's test has it
        else:
            check = KeyCheck.INVALID if refuses_key(answer) else KeyCheck.COULD_NOT_CHECK
        is_gone = got[0] in _GONE and check is KeyCheck.COULD_NOT_CHECK
        left = read_balance(answer, key) if check is KeyCheck.VALID else None
        moved = self._look_at_address(got, key, is_gone=is_gone)
        return KeyAnswer(check, Trouble(moved, UNCLEAR.cure) if moved else of_answer(*got, key), left)

    def _look_at_address(self, got: Got, key: SecretStr, *, is_gone: bool) -> str:
        """Tell the operator about a redirect or an address that is gone; return "" if there is none.

        Of a redirect's target only the host is shown: the rest may repeat what was sent.
        """
        status, headers, _ = got
        if not (300 <= status < 400 or is_gone):
            return ""
        trouble = f"no longer has this address (status {status})"
        if not is_gone:
            trouble = (
                f"redirects to {harmless(_host_of(headers.get('location', '')), key)}, where no key is sent"
            )
        log.error("model_api.address", host=self.host, problem=trouble, cure=_CURE)
        return trouble

    async def _post(self, url: str, limit: float, key: SecretStr, **fields: Any) -> Got:
        async with self._sent(url, limit, key, **fields) as response:
            body = await bounded(response)
            return response.status, _headers(response), body

    def _sent(
        self, url: str, limit: float, key: SecretStr, **fields: Any
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._session.post(
            url,
            data=orjson.dumps({"key": key.get_secret_value(), **fields}),
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Accept-Encoding": ", ".join(PACKINGS),
            },
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=limit, connect=CONNECT_TIMEOUT, sock_connect=CONNECT_TIMEOUT),
        )


def _headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _host_of(address: str) -> str:
    try:
        return URL(address).host or "another address of the same host"
    except ValueError:
        return "something that isn't an address"


def open_session() -> aiohttp.ClientSession:
    """Make the session for ModelApi; the caller closes it.

    No connection is kept: on a stale one, an outcome would be unknown. Their number is limited in
    `bot.model_api.places`, not here, where one server's hanging calls would block another's. No cookie is
    kept: it would carry over from one server's call to another's. Bodies are unpacked here, with a size
    limit.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, limit=0),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )
