"""The model API over aiohttp: one POST, and never two that could take effect. Knows nothing of Discord."""

import asyncio
import time
import zlib
from enum import Enum

import aiohttp
import orjson
import structlog
from pydantic import SecretStr

from bot.answer import Answer, by_words, classify, read, word_of
from bot.metrics import Metrics
from bot.reload import Outcome

TOTAL_SECONDS = 20.0
CONNECT_SECONDS = 5.0
CHECK_SECONDS = 10.0
RETRY_SECONDS = 2.0
BODY_BYTES = 64 * 1024

_PATHS = {"v4": "/api/v4/dreambooth/model_reload", "v6": "/api/v6/images/model_reload"}
_BALANCE_PATH = "/api/wallet_balance"
_PACKINGS = ("gzip", "deflate")
_NEVER_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class KeyCheck(Enum):
    """What the API says of a key."""

    VALID = "valid"
    INVALID = "invalid"
    COULD_NOT_CHECK = "could not check"


class ModelApi:
    """The model API at one host, over a session that makes a fresh connection for each call."""

    def __init__(
        self, session: aiohttp.ClientSession, host: str, version: str, metrics: Metrics | None = None
    ) -> None:
        self._session = session
        self._metrics = metrics or Metrics()
        self._reload_url = host + _PATHS[version]
        self._balance_url = host + _BALANCE_PATH

    async def reload(self, key: SecretStr, model: str) -> Answer:
        """Ask once for a model; asked again, once, only where no connection was made. Never raises."""
        began = time.monotonic()
        answer = await self._reload(key, model)
        self._count("reload", answer.outcome, began)
        return answer

    async def _reload(self, key: SecretStr, model: str) -> Answer:
        for last in (False, True):
            try:
                async with asyncio.timeout(TOTAL_SECONDS):
                    status, headers, body = await self._post(self._reload_url, key, model_id=model)
                return classify(status, headers, body, key, model)
            except _NEVER_CONNECTED as error:
                log.warning("model_api.not_connected", error=type(error).__name__, last=last)
                if not last:
                    await asyncio.sleep(RETRY_SECONDS)
            except (aiohttp.ClientError, OSError, ValueError) as error:  # OSError: TimeoutError, too
                log.warning("model_api.no_answer", error=type(error).__name__)
                return Answer(Outcome.NO_USABLE_ANSWER)
        return Answer(Outcome.NO_CONNECTION)

    async def check_key(self, key: SecretStr) -> KeyCheck:
        """Ask for the key's balance. Never raises: what is not a clear word about the key is no word."""
        began = time.monotonic()
        check = await self._check_key(key)
        self._count("check_key", check.value, began)
        return check

    def _count(self, call: str, outcome: str, began: float) -> None:
        self._metrics.model_api_calls.labels(call, outcome).inc()
        self._metrics.model_api_seconds.labels(call).observe(time.monotonic() - began)

    async def _check_key(self, key: SecretStr) -> KeyCheck:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                _, _, body = await self._post(self._balance_url, key)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            log.warning("model_api.key_not_checked", error=type(error).__name__)
            return KeyCheck.COULD_NOT_CHECK
        answer = read(body)
        if answer is None:
            return KeyCheck.COULD_NOT_CHECK
        if word_of(answer) == "success":
            return KeyCheck.VALID
        return KeyCheck.INVALID if by_words(answer) is Outcome.WRONG_KEY else KeyCheck.COULD_NOT_CHECK

    async def _post(self, url: str, key: SecretStr, **fields: str) -> tuple[int, dict[str, str], bytes]:
        async with self._session.post(
            url,
            data=orjson.dumps({"key": key.get_secret_value(), **fields}),
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Accept-Encoding": ", ".join(_PACKINGS),
            },
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=TOTAL_SECONDS, connect=CONNECT_SECONDS, sock_connect=CONNECT_SECONDS
            ),
        ) as response:
            body = await _bounded(response)
            headers = {name.lower(): value for name, value in response.headers.items()}
            return response.status, headers, body


def open_session() -> aiohttp.ClientSession:
    """Make the session for ModelApi; the caller closes it.

    No connection is kept: on a stale one an outcome would be unknown. Their number is not limited: one
    server's calls that hang would hold up another's. No cookie is kept: it would go from one server's call
    to another's. Bodies are unpacked here, bounded.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, limit=0),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """Read at most BODY_BYTES, before and after unpacking. Raises ValueError beyond that."""
    raw = bytearray()
    async for chunk in response.content.iter_chunked(BODY_BYTES):
        raw += chunk
        if len(raw) > BODY_BYTES:
            raise ValueError("body too long")
    packing = response.headers.get("Content-Encoding", "identity").strip().lower()
    if packing in ("identity", ""):
        return bytes(raw)
    if packing not in _PACKINGS:
        raise ValueError("unknown content encoding")
    unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        body = unpack.decompress(bytes(raw), BODY_BYTES + 1)
    except zlib.error:
        raise ValueError("broken content encoding") from None
    if len(body) > BODY_BYTES or not unpack.eof:
        raise ValueError("body too long or cut off")
    return body
