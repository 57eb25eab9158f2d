"""What the model API's answers mean, and what happens on the wire."""

import asyncio
import base64
import builtins
import gzip
import math
import ssl
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn, cast

import aiohttp
import orjson
import pytest
from aiohttp import client_reqrep, hdrs, web
from aiohttp.abc import AbstractResolver
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr
from structlog.testing import capture_logs

from bot.domain.reload import Ending, Outcome
from bot.model_api.answer import (
    DEFAULT_WAIT,
    LONGEST_BELIEVED_WAIT,
    Answer,
    Rendering,
    classify,
    read_rendering,
)
from bot.model_api.body import BODY_BYTES
from bot.model_api.client import (
    CONNECT_TIMEOUT,
    KEY_CHECK_TIMEOUT,
    RECONNECT_DELAY,
    RELOAD_TIMEOUT,
    KeyCheck,
    ModelApi,
    open_session,
)
from tests.stand_ins import model_api as stand_in
from tests.stand_ins import raw
from tests.stand_ins.model_api import ACCEPTED, ModelApiServer
from tests.stand_ins.raw import RawServer
from tests.world import CANARY

KEY = SecretStr(CANARY)
YES = orjson.dumps(ACCEPTED)


def read(status: int, body: Any, headers: dict[str, str] | None = None, model: str = "sdxl") -> Answer:
    raw_body = body if isinstance(body, bytes) else orjson.dumps(body)
    return classify(status, headers or {}, raw_body, KEY, model)


def error(text: Any, **more: Any) -> dict[str, Any]:
    return {"status": "error", "message": text, **more}


OLD_TIP = "make sure you are sending the request as json, and that your key is right"
SPAM_TIP = "Spam filter: wait 30 seconds before the same request"


# --- What an answer means -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"status": "success", "message": "Model is reloading"}),
        (200, {"status": "success", "messege": "Model is reloading"}),
        (200, {"status": "processing", "message": "Model is reloading"}),
        (200, {"status": "Success "}),
        (200, {"status": "success"}),
        (200, {"status": "success", "message": None}),
        (201, {"status": "success", "output": [], "id": 1, "generationTime": 0.3}),
        (200, b"\xef\xbb\xbf" + YES),
        (200, b"  \r\n" + YES + b"\n"),
    ],
)
def test_a_clear_yes_starts_the_countdown(status: int, body: Any) -> None:
    assert read(status, body) == Answer(Outcome.ACCEPTED)
    assert read(status, body).outcome.ending is Ending.READY


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        # The documented wording, both generations.
        (200, {"status": "error", "messege": "Invalid Api Key", "tip": OLD_TIP}, Outcome.WRONG_KEY),
        (200, error("Invalid Api Key", tip=OLD_TIP), Outcome.WRONG_KEY),
        (401, error("Invalid API key"), Outcome.WRONG_KEY),
        (401, error("API key required"), Outcome.WRONG_KEY),
        (200, error("INVALID API KEY"), Outcome.WRONG_KEY),
        (200, {"status": "error", "messege": "Model id not found"}, Outcome.UNKNOWN_MODEL),
        (200, error("Model not found: sdxl-turbo"), Outcome.UNKNOWN_MODEL),
        (404, error(f"Model not found: {'x' * 100}"), Outcome.UNKNOWN_MODEL),
        (402, error("Insufficient credits. Please top up your wallet."), Outcome.NO_CREDITS),
        (200, error("Insufficient credits. Please top up your wallet."), Outcome.NO_CREDITS),
        (403, error("This feature requires a premium subscription"), Outcome.PLAN_TOO_SMALL),
        (403, error("Feature not available"), Outcome.PLAN_TOO_SMALL),
        (200, {"status": "failed", "message": "Failed, Try Again"}, Outcome.REFUSED),
        (200, error("Something else"), Outcome.REFUSED),
        (400, error("Bad request"), Outcome.REFUSED),
        (200, {"status": "error"}, Outcome.REFUSED),
        (200, error(None), Outcome.REFUSED),
        # Words without a status word.
        (200, {"messege": "Invalid Api Key"}, Outcome.WRONG_KEY),
        (401, {"error": "Invalid API key"}, Outcome.WRONG_KEY),
        (401, {"error": {"code": "x", "message": "Invalid API key"}}, Outcome.WRONG_KEY),
        # Validation failures nest their text.
        (200, error({"key": ["The key field is required."]}), Outcome.WRONG_KEY),
        (422, error({"model_id": ["The selected model id is invalid."]}), Outcome.UNKNOWN_MODEL),
        (422, error({"model_id": ["The model id field is required."]}), Outcome.REFUSED),
        (200, error(["Invalid Api Key", "and more"]), Outcome.WRONG_KEY),
        (200, error([{"deep": [["Model id not found"]]}]), Outcome.UNKNOWN_MODEL),
        # The status is the reason where a JSON object does not say yes.
        (401, {"message": "Unauthenticated."}, Outcome.WRONG_KEY),
        (401, error("Go away"), Outcome.WRONG_KEY),
        (402, {}, Outcome.NO_CREDITS),
        (403, {"status": "error"}, Outcome.PLAN_TOO_SMALL),
        (404, {"status": "error"}, Outcome.UNKNOWN_MODEL),
        (403, {"status": "ok"}, Outcome.PLAN_TOO_SMALL),
        # Laravel's own 404 speaks of our request's path, not of the model.
        (404, {"message": "The route api/v4/x could not be found."}, Outcome.REFUSED),
        # Trouble on their side, said clearly.
        (500, error("Something went wrong. Please try again."), Outcome.VENDOR_TROUBLE),
        (503, error("Service unavailable, try again later"), Outcome.VENDOR_TROUBLE),
        (500, error("Invalid API key"), Outcome.WRONG_KEY),
    ],
)
def test_a_refusal_ends_as_failed_with_its_reason(status: int, body: Any, outcome: Outcome) -> None:
    answer = read(status, body)
    assert (answer.outcome, answer.outcome.ending) == (outcome, Ending.FAILED)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"null"),
        (200, b"true"),
        (200, b"[]"),
        (200, b'"success"'),
        (200, b'[{"status": "success"}]'),
        (200, b"{}"),
        (200, b'{"status": "success"'),
        (200, b'{"status": "success"} <br>'),
        (200, b"\xff\xfe\x00"),
        (200, b"[" * 60_000),
        (200, {"status": "ok"}),
        (200, {"status": "queued", "message": "Model is reloading"}),
        (200, {"status": True}),
        (200, {"status": ["success"]}),
        (200, {"status": 200, "message": "Model is reloading"}),
        (200, {"message": "Model is reloading"}),
        (200, {"messege": "Model is reloading"}),
        (200, b"<html>Model is reloading</html>"),
        (401, b"<html>Unauthorized</html>"),
        (404, b"<html>Not found</html>"),
        (403, b"[]"),
        (500, b"<html>Server Error</html>"),
        (500, {"message": "Server Error"}),
        (502, b"Bad gateway"),
        (503, b""),
        (504, b"<html>Gateway time-out</html>"),
        (301, YES),
        (302, b""),
        (307, error("Invalid API key")),
        (308, YES),
    ],
)
def test_no_clear_word_ends_as_unknown(status: int, body: Any) -> None:
    answer = read(status, body)
    assert answer.outcome is Outcome.NO_USABLE_ANSWER
    assert answer.outcome.ending is Ending.UNKNOWN


LIMIT = "Rate limit exceeded. Maximum 5 queued requests allowed."


@pytest.mark.parametrize(
    ("body", "headers", "wait"),
    [
        (error(LIMIT, retry_after=30), {}, 30),
        (error(LIMIT, retry_after=1), {}, 1),
        (error(LIMIT, retry_after=60), {}, 60),
        (error(LIMIT, retry_after=2.5), {}, 2.5),
        (error(LIMIT, retry_after="30"), {}, 30),
        (error(LIMIT), {"retry-after": "30"}, 30),
        (error(LIMIT, retry_after=10), {"retry-after": "20"}, 20),
        (error(LIMIT, retry_after="soon"), {"retry-after": "20"}, 20),
        (b"<html>Too many requests</html>", {"retry-after": "5"}, 5),
        ({"retry_after": 7}, {}, 7),
    ],
)
def test_a_429_that_names_a_short_wait_may_be_waited_out(
    body: Any, headers: dict[str, str], wait: float
) -> None:
    answer = read(429, body, headers)
    assert (answer.outcome, answer.wait, answer.named) == (Outcome.SLOW_DOWN, wait, True)


@pytest.mark.parametrize(
    ("status", "body", "headers", "wait"),
    [
        (429, error(LIMIT), {}, DEFAULT_WAIT),
        (429, b"", {}, DEFAULT_WAIT),
        (429, error(LIMIT, retry_after=61), {}, 61),
        (429, error(LIMIT, retry_after=3600), {}, 3600),
        (429, error(LIMIT, retry_after=172800), {}, 172800),
        (429, error(LIMIT, retry_after=30), {"retry-after": "120"}, 120),
        (429, error(LIMIT, retry_after=0.5), {}, 0.5),
        (429, error(LIMIT, retry_after=0), {}, DEFAULT_WAIT),
        (429, error(LIMIT, retry_after=-30), {}, DEFAULT_WAIT),
        (429, error(LIMIT, retry_after=True), {}, DEFAULT_WAIT),
        (429, error(LIMIT, retry_after=None), {}, DEFAULT_WAIT),
        (429, error(LIMIT, retry_after=[30]), {}, DEFAULT_WAIT),
        (429, error(LIMIT, retry_after="NaN"), {}, DEFAULT_WAIT),
        (429, error(LIMIT, retry_after="inf"), {}, DEFAULT_WAIT),
        (429, error(LIMIT, retry_after="half a minute"), {}, DEFAULT_WAIT),
        (429, error(LIMIT, retry_after=1e300), {}, DEFAULT_WAIT),
        (429, b'{"status": "error", "retry_after": %s}' % (b"9" * 400), {}, DEFAULT_WAIT),
        (429, error(LIMIT), {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, DEFAULT_WAIT),
        (429, error(LIMIT), {"retry-after": "-1"}, DEFAULT_WAIT),
        # Without a 429 no wait is waited out, whatever it says.
        (200, error("Rate limit exceeded", tips=SPAM_TIP), {}, DEFAULT_WAIT),
        (200, {"status": "error", "messege": "Rate limit exceeded", "retry_after": 30}, {}, 30),
        (200, {"message": "Too many requests"}, {"retry-after": "12"}, 12),
        (503, error("Please slow down"), {}, DEFAULT_WAIT),
    ],
)
def test_any_other_slow_down_ends_as_failed_with_the_time_when_it_works_again(
    status: int, body: Any, headers: dict[str, str], wait: float
) -> None:
    answer = read(status, body, headers)
    assert (answer.outcome, answer.wait, answer.named) == (Outcome.SLOW_DOWN, wait, False)
    assert answer.outcome.ending is Ending.FAILED


def test_a_429_with_a_reason_is_read_by_its_words() -> None:
    assert read(429, error("Invalid API key")).outcome is Outcome.WRONG_KEY


@pytest.mark.parametrize(
    "model",
    [
        "premium-anime",
        "key-invalid",
        "api-key-required",
        "no-credits",
        "subscription-girl",
        "unknown-model",
        "a",
    ],
)
@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("Model not found: {}", Outcome.UNKNOWN_MODEL),
        ("Model {} does not exist", Outcome.UNKNOWN_MODEL),
        ("The selected model [{}] is invalid.", Outcome.UNKNOWN_MODEL),
        ("Could not load {}", Outcome.REFUSED),
        ("{} is busy", Outcome.REFUSED),
        ("Invalid API key for {}", Outcome.WRONG_KEY),
    ],
)
def test_an_echoed_model_id_does_not_speak_for_the_api(model: str, text: str, outcome: Outcome) -> None:
    """The words of the id are the uploader's: "Model not found: premium-anime" is about the model."""
    for echoed in (model, model.upper()):
        assert read(200, error(text.format(echoed)), model=model).outcome is outcome


@pytest.mark.parametrize("word", ["ok", "queued"])
def test_a_429_that_may_mean_yes_is_not_asked_again(word: str) -> None:
    body = {"status": word, "message": "Model is reloading", "retry_after": 5}
    assert read(429, body) == Answer(Outcome.NO_USABLE_ANSWER, "Model is reloading")


def test_a_flood_of_nested_text_is_read_quickly_and_bounded() -> None:
    answer = read(200, error([["x" * 10] * 10] * 500))
    assert answer.outcome is Outcome.REFUSED
    assert len(answer.said) <= 60


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(["status", "message", "messege", "error", "retry_after", "tip"])
words = st.sampled_from(
    [
        "success",
        "SUCCESS",
        "processing",
        "error",
        "failed",
        "ok",
        LIMIT,
        "Invalid Api Key",
        "nan",
        "30",
        CANARY,
    ]
)
objects = st.dictionaries(fields, words | json_values, max_size=6).map(orjson.dumps)
bodies = st.binary(max_size=300) | json_values.map(orjson.dumps) | objects
header_sets = st.dictionaries(st.sampled_from(["retry-after", "content-type"]), st.text() | words, max_size=2)


@given(status=st.integers(-1, 1000), headers=header_sets, body=bodies)
@example(status=200, headers={}, body=b'{"status":"\\u212a"}')
def test_no_answer_at_all_can_break_the_reading_or_pass_for_a_yes(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    answer = classify(status, headers, body, KEY, "sdxl")
    if answer.outcome is Outcome.ACCEPTED:
        value = orjson.loads(body.removeprefix(b"\xef\xbb\xbf"))
        assert isinstance(value, dict)
        assert value["status"].strip().lower() in ("success", "processing")
        assert not 300 <= status < 400
    assert answer.wait is None or (math.isfinite(answer.wait) and 0 < answer.wait <= LONGEST_BELIEVED_WAIT)
    if answer.named:
        assert status == 429
        assert answer.wait is not None
        assert 1 <= answer.wait <= 60


keys = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=8, max_size=64)


@given(key=keys, parts=st.lists(st.text(max_size=40), min_size=1, max_size=4), data=st.data())
def test_what_the_api_said_is_one_short_harmless_line_without_the_key(
    key: str, parts: list[str], data: st.DataObject
) -> None:
    shown_as = data.draw(st.sampled_from([key, key.upper(), key.lower(), key.swapcase()]))
    said = read_with(key, shown_as.join(["", *parts, ""]))
    assert key.lower() not in said.lower()
    assert len(said) <= 60
    assert said.isprintable()
    assert "`" not in said
    assert said == said.strip()


HIDDEN = "[hidden: it repeats the key]"


def spaced(size: int, between: str) -> str:
    return between.join(CANARY[at : at + size] for at in range(0, len(CANARY), size))


def every_seventh(spell: Callable[[str], str]) -> str:
    return "".join(spell(c) if at % 7 == 6 else c for at, c in enumerate(CANARY))


DISGUISES = {
    "spaces": spaced(7, " "),
    "dashes": spaced(4, "-"),
    "zero-width spaces": spaced(7, "\u200b"),
    "soft hyphens": spaced(7, "\u00ad"),
    "lines": spaced(4, "\n"),
    "an invisible joiner": spaced(7, "\u034f"),
    "variation selectors": spaced(7, "\ufe0f"),
    "fillers": spaced(7, "\u3164"),
    "full width": "".join(chr(ord(c) + 0xFEE0) for c in CANARY),
    "reversed": CANARY[::-1],
    "percent": "".join(f"%{ord(c):02x}" for c in CANARY),
    "percent here and there": every_seventh(lambda c: f"%{ord(c):02X}"),
    "escaped": "".join(f"\\u{ord(c):04x}" for c in CANARY),
    "entities": every_seventh(lambda c: f"&#{ord(c)};"),
    "base64": base64.b64encode(CANARY.encode()).decode(),
    "base64 of user and key": base64.b64encode(b"a:" + CANARY.encode()).decode(),
    "base64 of a field": base64.b64encode(b"key=" + CANARY.encode()).decode(),
    "hex": CANARY.encode().hex(),
    "a piece of it": f"No: {CANARY[3:14]}***",
}


@pytest.mark.parametrize("how", DISGUISES)
def test_a_key_is_not_shown_in_disguise_either(how: str) -> None:
    assert read(200, error(f"Bad: {DISGUISES[how]}")).said == HIDDEN


@pytest.mark.parametrize(
    "text", ["Invalid request, try again later please", "The sky is falling", "Ошибка запроса", "无效的请求"]
)
def test_what_has_nothing_of_the_key_is_shown(text: str) -> None:
    assert read(200, error(text)).said == text


@pytest.mark.parametrize("key", ["-_-_-_-_-_-_", "!@#$%^&*()!@#", "🔑" * 10, "ключ-от-модели"])
def test_a_key_of_any_letters_or_none_is_not_shown(key: str) -> None:
    assert read_with(key, f"Bad: {key}") == HIDDEN


@pytest.mark.parametrize("key", ["a", "ab1", "x" * 3])
def test_a_key_too_short_to_matter_hides_nothing(key: str) -> None:
    assert read_with(key, "A taxi ab1 xxxx") == "A taxi ab1 xxxx"


def read_with(key: str, text: str) -> str:
    return classify(200, {}, orjson.dumps(error(text)), SecretStr(key), "sdxl").said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"The key {CANARY} is bad", HIDDEN),
        (f"The key {CANARY.upper()} is bad", HIDDEN),
        ({"key": [CANARY, "is bad"]}, HIDDEN),
        ("\u0130stek ge\u00e7ersiz", "\u0130stek ge\u00e7ersiz"),
        ("\u3164\u2800\u3164", ""),
        ("e" + "\u0338" * 50, "e" + "\u0338" * 2),
        ("two\nlines\tand `code`", "two lines and code"),
        ("x" * 80, "x" * 59 + "…"),
        ("a\u202eb\u200bc\x00d", "a b c d"),
        (7, ""),
    ],
)
def test_the_apis_words_are_made_harmless(text: Any, said: str) -> None:
    assert read(200, error(text)).said == said


def test_not_even_a_piece_of_the_key_is_shown() -> None:
    """The text is cut, and space is squeezed out of it: neither may come before the key is looked for."""
    said = read(200, error(" " * 480 + CANARY)).said
    assert CANARY[:12] not in said


# --- On the wire --------------------------------------------------------------------------------------


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session() as session:
        yield session


@pytest.mark.parametrize(
    ("version", "path"),
    [("v4", "/api/v4/dreambooth/model_reload"), ("v6", "/api/v6/images/model_reload")],
)
async def test_the_request_is_the_documented_one(
    api: ModelApiServer, session: aiohttp.ClientSession, version: str, path: str
) -> None:
    answer = await ModelApi(session, api.url, version).reload(KEY, "Org/Model.v1_x-2")
    assert answer == Answer(Outcome.ACCEPTED)
    (call,) = api.calls
    assert call.path == path
    assert call.body == {"key": CANARY, "model_id": "Org/Model.v1_x-2"}
    assert call.headers["Content-Type"] == "application/json"
    assert call.headers["Accept"] == "application/json"
    assert CANARY not in str(call.headers)


async def test_only_packings_are_offered_that_can_be_unpacked(
    api: ModelApiServer, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Aiohttp offers br where Brotli is installed, and zstd from Python 3.14 on; we unpack neither."""
    offers = client_reqrep.ClientRequest.DEFAULT_HEADERS
    monkeypatch.setitem(offers, hdrs.ACCEPT_ENCODING, "gzip, deflate, br, zstd")
    await ModelApi(session, api.url, "v4").reload(KEY, "m")
    offered = {name.strip() for name in api.calls[0].headers["Accept-Encoding"].split(",")}
    assert offered <= {"gzip", "deflate", "identity"}


async def test_each_call_makes_its_own_connection(
    api: ModelApiServer, session: aiohttp.ClientSession
) -> None:
    """On a connection that the server closes just now, nobody could tell what happened to the call."""
    peers = []

    async def note(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.append(request.transport.get_extra_info("peername"))
        return web.json_response(ACCEPTED)

    api.reloads = [stand_in.Answer(handler=note)]
    client = ModelApi(session, api.url, "v4")
    for _ in range(3):
        assert (await client.reload(KEY, "m")).outcome is Outcome.ACCEPTED
    assert len(set(peers)) == 3


async def reload_from(session: aiohttp.ClientSession, talk: raw.Talk, *, reads: bool = True) -> Answer:
    """Ask a raw server, and make sure that it was asked no more than once."""
    async with RawServer(talk, reads=reads) as server:
        answer = await ModelApi(session, server.url, "v4").reload(KEY, "m")
        assert server.connections == 1, "a call that may have had an effect must not be repeated"
        return answer


@pytest.mark.looptime
async def test_a_hang_ends_as_unknown_after_20_seconds(session: aiohttp.ClientSession) -> None:
    started = asyncio.get_running_loop().time()
    answer = await reload_from(session, raw.hang)
    assert answer == Answer(Outcome.NO_USABLE_ANSWER)
    assert asyncio.get_running_loop().time() - started == pytest.approx(RELOAD_TIMEOUT, abs=1)


def dripping(body: bytes, every: float) -> raw.Talk:
    async def talk(request: bytes, writer: asyncio.StreamWriter) -> None:
        head, _, rest = raw.with_body(body).partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        for byte in rest:
            await asyncio.sleep(every)
            writer.write(bytes([byte]))

    return talk


@pytest.mark.looptime
async def test_a_slow_body_is_read_while_it_keeps_within_the_20_seconds(
    session: aiohttp.ClientSession,
) -> None:
    answer = await reload_from(session, dripping(YES, every=15 / len(YES)))
    assert answer.outcome is Outcome.ACCEPTED


@pytest.mark.looptime
async def test_a_body_that_drips_for_ever_is_cut_after_20_seconds(session: aiohttp.ClientSession) -> None:
    started = asyncio.get_running_loop().time()
    answer = await reload_from(session, dripping(YES, every=3))
    assert answer.outcome is Outcome.NO_USABLE_ANSWER
    assert asyncio.get_running_loop().time() - started == pytest.approx(RELOAD_TIMEOUT, abs=1)


def padded(size: int) -> bytes:
    """An acceptance of exactly this many bytes."""
    return YES + b" " * (size - len(YES))


def packed(data: bytes, wbits: int = zlib.MAX_WBITS) -> bytes:
    box = zlib.compressobj(wbits=wbits)
    return box.compress(data) + box.flush()


def encoded(name: str, body: bytes) -> bytes:
    return raw.with_body(body, f"Content-Encoding: {name}")


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(raw.with_body(padded(BODY_BYTES)), id="exactly 64 KiB"),
        pytest.param(raw.with_body(YES).replace(b"application/json", b"text/html"), id="called HTML"),
        pytest.param(encoded("gzip", gzip.compress(YES)), id="gzip"),
        pytest.param(encoded("GZIP", gzip.compress(YES)), id="gzip in capitals"),
        pytest.param(encoded("deflate", packed(YES)), id="deflate"),
        pytest.param(encoded("identity", YES), id="identity"),
        pytest.param(encoded("gzip", gzip.compress(padded(BODY_BYTES))), id="64 KiB after gzip"),
        pytest.param(chunked(YES[:5], YES[5:]), id="chunked"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\n" + YES, id="until the connection closes"),
    ],
)
async def test_an_acceptance_is_read_however_it_is_packed(
    session: aiohttp.ClientSession, response: bytes
) -> None:
    assert (await reload_from(session, raw.answering(response))).outcome is Outcome.ACCEPTED


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(raw.with_body(padded(BODY_BYTES + 1)), id="over 64 KiB"),
        pytest.param(encoded("gzip", gzip.compress(padded(BODY_BYTES + 1))), id="over 64 KiB after gzip"),
        pytest.param(encoded("gzip", gzip.compress(YES)[:-3]), id="gzip cut off"),
        pytest.param(encoded("gzip", b"\x1f\x8b" + b"x" * 40), id="gzip broken"),
        pytest.param(encoded("gzip", YES), id="not gzip at all"),
        pytest.param(encoded("gzip", b""), id="gzip of nothing"),
        pytest.param(encoded("br", YES), id="br"),
        pytest.param(encoded("zstd", YES), id="zstd"),
        pytest.param(encoded("gzip, gzip", gzip.compress(gzip.compress(YES))), id="packed twice"),
        pytest.param(raw.with_body(YES)[:-5], id="body cut off"),
        pytest.param(chunked(YES, end=b""), id="no last chunk"),
        pytest.param(chunked(YES, end=b"zz\r\n"), id="broken chunk"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", id="half a head"),
        pytest.param(b"\x00\xff garbage \r\n\r\n", id="not HTTP"),
        pytest.param(b"HTTP/1.1 9999 ?\r\n\r\n" + YES, id="odd status"),
        pytest.param(raw.with_body(YES, "X: " + "y" * 100_000), id="endless header"),
        pytest.param(raw.with_body(YES, "no colon"), id="broken header"),
        pytest.param(
            raw.with_body(YES).replace(b"Content-Length: ", b"Content-Length: x"), id="broken length"
        ),
        pytest.param(raw.with_body(b"<html>", status="502 Bad Gateway"), id="error page"),
    ],
)
async def test_an_answer_that_cannot_be_read_is_no_answer(
    session: aiohttp.ClientSession, response: bytes
) -> None:
    answer = await reload_from(session, raw.answering(response))
    assert answer.outcome is Outcome.NO_USABLE_ANSWER


async def test_a_gzip_bomb_takes_no_memory(session: aiohttp.ClientSession) -> None:
    inside = 40 * 1024 * 1024
    bomb = gzip.compress(b'{"status": "success", "x": "' + b"x" * inside)
    assert len(bomb) < BODY_BYTES, "within the limit of what is read"
    tracemalloc.start()
    try:
        answer = await reload_from(session, raw.answering(encoded("gzip", bomb)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.outcome is Outcome.NO_USABLE_ANSWER
    assert peak < 4 * 1024 * 1024


async def test_an_endless_body_is_not_read_to_its_end(session: aiohttp.ClientSession) -> None:
    async def endless(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:  # ends when the other side goes
            writer.write(b" " * 65536)
            await writer.drain()

    assert (await reload_from(session, endless)).outcome is Outcome.NO_USABLE_ANSWER


@pytest.mark.parametrize("reads", [False, True], ids=["before the request was read", "after"])
async def test_a_reset_ends_as_unknown_and_is_not_tried_again(
    session: aiohttp.ClientSession, reads: bool
) -> None:
    answer = await reload_from(session, raw.reset, reads=reads)
    assert answer.outcome is Outcome.NO_USABLE_ANSWER


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_does_not_take_the_key_elsewhere(
    session: aiohttp.ClientSession, api: ModelApiServer, status: int
) -> None:
    elsewhere = f"Location: {api.url}/api/v4/dreambooth/model_reload"
    response = raw.with_body(YES, elsewhere, status=f"{status} Moved")
    answer = await reload_from(session, raw.answering(response))
    assert answer.outcome is Outcome.NO_USABLE_ANSWER
    assert api.calls == []


def attempts(session: aiohttp.ClientSession) -> list[float]:
    """When connections were begun, by the loop's clock."""
    begun: list[float] = []

    async def note(*_: object) -> None:
        begun.append(asyncio.get_running_loop().time())

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(note)
    trace.freeze()
    session.trace_configs.append(trace)
    return begun


@pytest.mark.looptime
async def test_a_refused_connection_is_tried_exactly_once_more(session: aiohttp.ClientSession) -> None:
    begun = attempts(session)
    with raw.free_port() as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        answer = await ModelApi(session, url, "v4").reload(KEY, "m")
    assert answer == Answer(Outcome.NO_CONNECTION)
    assert answer.outcome.ending is Ending.FAILED
    first, second = begun
    assert second - first == pytest.approx(RECONNECT_DELAY, abs=0.5)


@pytest.mark.looptime
async def test_an_api_that_comes_up_just_in_time_is_asked_once(session: aiohttp.ClientSession) -> None:
    port = raw.free_port()
    server = RawServer(raw.answering(raw.with_body(YES)), port)
    client = ModelApi(session, f"http://127.0.0.1:{port.getsockname()[1]}", "v4")
    asking = asyncio.create_task(client.reload(KEY, "m"))
    await asyncio.sleep(RECONNECT_DELAY / 2)
    async with server:
        answer = await asking
    assert answer.outcome is Outcome.ACCEPTED
    assert len(server.requests) == 1


@pytest.mark.looptime
async def test_a_name_that_does_not_resolve_means_that_nothing_was_sent() -> None:
    class Nowhere(AbstractResolver):
        async def resolve(self, *_: Any, **__: Any) -> NoReturn:
            raise OSError("no such name")

        async def close(self) -> None:
            pass

    connector = aiohttp.TCPConnector(resolver=Nowhere())
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        answer = await ModelApi(session, "http://model-api.invalid", "v4").reload(KEY, "m")
    assert answer.outcome is Outcome.NO_CONNECTION


@pytest.mark.looptime
async def test_a_connection_that_is_not_made_in_5_seconds_means_that_nothing_was_sent() -> None:
    class Slow(AbstractResolver):
        async def resolve(self, *_: Any, **__: Any) -> NoReturn:
            await asyncio.Event().wait()
            raise AssertionError

        async def close(self) -> None:
            pass

    connector = aiohttp.TCPConnector(resolver=Slow())
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        started = asyncio.get_running_loop().time()
        answer = await ModelApi(session, "http://model-api.invalid", "v4").reload(KEY, "m")
        took = asyncio.get_running_loop().time() - started
    assert answer.outcome is Outcome.NO_CONNECTION
    assert took == pytest.approx(2 * CONNECT_TIMEOUT + RECONNECT_DELAY, abs=2)


# --- Whatever the library raises ----------------------------------------------------------------------


def family(root: type[BaseException]) -> list[type[BaseException]]:
    found = [root]
    for kind in root.__subclasses__():
        found.extend(family(kind))
    return found


def network_errors() -> list[type[BaseException]]:
    """Every class of aiohttp's client, and what the system, TLS and text decoding raise."""
    kinds = [kind for kind in family(aiohttp.ClientError) if kind.__module__.startswith("aiohttp")]
    kinds += [kind for kind in family(OSError) if kind.__module__ in ("builtins", "ssl", "socket")]
    kinds += [builtins.UnicodeDecodeError, ssl.CertificateError, ValueError]
    return sorted(set(kinds), key=lambda kind: kind.__name__)


class BrokenSession:
    """The network's edge: each call ends in this error."""

    def __init__(self, error: BaseException) -> None:
        self._error = error
        self.posts = 0

    def post(self, *_: Any, **__: Any) -> NoReturn:
        self.posts += 1
        raise self._error


@pytest.mark.parametrize("kind", network_errors(), ids=lambda kind: kind.__name__)
@pytest.mark.looptime
async def test_no_error_of_the_network_gets_through(kind: type[BaseException]) -> None:
    """Made without its constructor, as only the class decides what is done with it."""
    session = BrokenSession(kind.__new__(kind))
    client = ModelApi(cast("aiohttp.ClientSession", session), "http://x", "v4")
    answer = await client.reload(KEY, "m")
    never_connected = issubclass(kind, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError))
    assert answer.outcome is (Outcome.NO_CONNECTION if never_connected else Outcome.NO_USABLE_ANSWER)
    assert session.posts == (2 if never_connected else 1)
    assert await client.check_key(KEY) is KeyCheck.COULD_NOT_CHECK


def test_the_list_of_network_errors_is_not_empty() -> None:
    names = {kind.__name__ for kind in network_errors()}
    assert {"ClientPayloadError", "ServerDisconnectedError", "InvalidURL", "ConnectionResetError"} <= names
    assert len(names) > 30


@pytest.mark.looptime
async def test_no_trouble_brings_the_key_into_the_log() -> None:
    """An error of the library may carry the request: its text and its repr stay out of the log."""
    with capture_logs() as lines:
        for kind in (aiohttp.ClientPayloadError, aiohttp.InvalidURL, ConnectionResetError, ValueError):
            client = ModelApi(cast("aiohttp.ClientSession", BrokenSession(kind(CANARY))), "http://x", "v4")
            await client.reload(KEY, "m")
            await client.check_key(KEY)
    assert len(lines) == 8
    assert CANARY not in str(lines)


async def test_cancelling_a_call_cancels_it(session: aiohttp.ClientSession) -> None:
    arrived = asyncio.Event()

    async def hang(request: bytes, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await raw.hang(request, writer)

    async with RawServer(hang) as server:
        asking = asyncio.create_task(ModelApi(session, server.url, "v4").reload(KEY, "m"))
        await arrived.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


# --- Checking a key -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "check"),
    [
        (200, stand_in.BALANCE, KeyCheck.VALID),
        (200, {"status": "success", "data": None}, KeyCheck.VALID),
        (200, error("Invalid Api Key"), KeyCheck.INVALID),
        (400, {"status": "error", "messege": "Invalid API key"}, KeyCheck.INVALID),
        (401, error("Invalid API key"), KeyCheck.INVALID),
        (401, {"message": "Unauthenticated."}, KeyCheck.COULD_NOT_CHECK),
        (401, b"<html>Unauthorized</html>", KeyCheck.COULD_NOT_CHECK),
        (400, error("Bad request"), KeyCheck.COULD_NOT_CHECK),
        (404, {"message": "The route api/wallet_balance could not be found."}, KeyCheck.COULD_NOT_CHECK),
        (429, error(LIMIT), KeyCheck.COULD_NOT_CHECK),
        (500, error("Try again"), KeyCheck.COULD_NOT_CHECK),
        (200, b"<html>", KeyCheck.COULD_NOT_CHECK),
        (200, b"", KeyCheck.COULD_NOT_CHECK),
        (200, [], KeyCheck.COULD_NOT_CHECK),
        (200, b"\x00\xff", KeyCheck.COULD_NOT_CHECK),
    ],
)
async def test_only_a_clear_word_says_whether_a_key_works(
    api: ModelApiServer, session: aiohttp.ClientSession, status: int, body: Any, check: KeyCheck
) -> None:
    api.balances = [stand_in.Answer(body, status)]
    assert await ModelApi(session, api.url, "v6").check_key(KEY) is check
    (call,) = api.balance_calls
    assert call.body == {"key": CANARY}
    assert api.calls == []


@pytest.mark.looptime
async def test_a_key_check_that_hangs_is_given_up(session: aiohttp.ClientSession) -> None:
    async with RawServer(raw.hang) as server:
        started = asyncio.get_running_loop().time()
        check = await ModelApi(session, server.url, "v4").check_key(KEY)
        took = asyncio.get_running_loop().time() - started
    assert check is KeyCheck.COULD_NOT_CHECK
    assert took == pytest.approx(KEY_CHECK_TIMEOUT, abs=1)


async def test_a_redirected_key_check_is_not_followed(
    session: aiohttp.ClientSession, api: ModelApiServer
) -> None:
    there = f"Location: {api.url}/api/wallet_balance"
    async with RawServer(raw.answering(raw.with_body(b"{}", there, status="308 Moved"))) as server:
        check = await ModelApi(session, server.url, "v4").check_key(KEY)
    assert check is KeyCheck.COULD_NOT_CHECK
    assert api.balance_calls == []


@pytest.mark.looptime
async def test_calls_that_hang_do_not_hold_up_another_servers(session: aiohttp.ClientSession) -> None:
    """By default aiohttp makes 100 connections at once, and lets the next call wait for a place."""
    async with RawServer(raw.hang) as hanging, ModelApiServer() as api:
        slow = [
            asyncio.create_task(ModelApi(session, hanging.url, "v4").reload(KEY, "m")) for _ in range(150)
        ]
        await asyncio.sleep(1)
        started = asyncio.get_running_loop().time()
        answer = await ModelApi(session, api.url, "v4").reload(KEY, "m")
        assert answer.outcome is Outcome.ACCEPTED
        assert asyncio.get_running_loop().time() - started < 1
        await asyncio.gather(*slow)


async def test_no_cookie_goes_from_one_servers_call_to_anothers(api: ModelApiServer) -> None:
    """Under a name: for an address, aiohttp's jar would keep none anyway."""
    api.reloads = [
        stand_in.Answer({"status": "success"}, headers={"Set-Cookie": "session=of-server-a; Path=/"})
    ]
    async with open_session() as session:
        client = ModelApi(session, api.url.replace("127.0.0.1", "localhost"), "v4")
        await client.reload(SecretStr("key-of-server-a"), "x")
        await client.reload(SecretStr("key-of-server-b"), "x")
    assert ["Cookie" in call.headers for call in api.calls] == [False, False]


@pytest.mark.parametrize("shape", ["{}", "{:.14}***", "{:.10} {:.10}", "%22{}%22"])
def test_not_even_a_cut_key_is_shown(shape: str) -> None:
    key = "sk-live-0123456789abcdef"
    text = shape.format(key, key[10:])
    body = orjson.dumps({"status": "error", "message": f"No: {text}"})
    said = classify(400, {}, body, SecretStr(key), "sdxl").said
    assert not any(key[at : at + 8] in said for at in range(len(key) - 7))


# --- A picture ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "render", "fetch"),
    [
        ("v4", "/api/v4/dreambooth", "/api/v4/dreambooth/fetch"),
        ("v6", "/api/v6/images/text2img", "/api/v6/images/fetch/7"),
    ],
)
async def test_a_picture_is_asked_for_as_documented(
    api: ModelApiServer, session: aiohttp.ClientSession, version: str, render: str, fetch: str
) -> None:
    """What is in the body is checked by the stand-in."""
    ours = ModelApi(session, api.url, version)
    api.renders = [stand_in.Answer(api.rendering(eta=7))]
    assert await ours.render(KEY, "m", "a cup") == Rendering(Outcome.RENDERING, job="7", wait=7.0)
    assert await ours.rendered(KEY, "m", "7") == Rendering(Outcome.RENDERED, picture=f"{api.url}/picture.png")
    assert ([call.path for call in api.render_calls], [call.path for call in api.fetch_calls]) == (
        [render],
        [fetch],
    )
    assert api.render_calls[0].body["prompt"] == "a cup"


def rendering(status: int, body: Any) -> Rendering:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return read_rendering(status, {}, raw, KEY, "sdxl-turbo")


URL = "https://pictures.example/1.png"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"status": "success", "output": [URL]}, Rendering(Outcome.RENDERED, picture=URL)),
        ({"status": "success", "output": [None, URL, "x"]}, Rendering(Outcome.RENDERED, picture=URL)),
        ({"status": "processing", "output": [URL]}, Rendering(Outcome.RENDERED, picture=URL)),
        ({"status": "processing", "id": 7}, Rendering(Outcome.RENDERING, job="7", wait=3.0)),
        (
            {"status": "processing", "id": "a-b", "eta": "5"},
            Rendering(Outcome.RENDERING, job="a-b", wait=5.0),
        ),
        ({"status": "processing", "id": 7, "eta": 9e9}, Rendering(Outcome.RENDERING, job="7", wait=3.0)),
        ({"status": "processing", "id": 7, "eta": 999}, Rendering(Outcome.RENDERING, job="7", wait=20.0)),
        *(
            ({"status": "processing", "id": odd}, Rendering(Outcome.NO_USABLE_ANSWER))
            for odd in ("a/b", "../x", "", "x" * 65, [7], {"a": 1}, "7?key=1")
        ),
        ({"status": "success", "output": []}, Rendering(Outcome.NO_PICTURE)),
        ({"status": "success", "output": [f"{URL}?key={CANARY}"]}, Rendering(Outcome.NO_PICTURE)),
        ({"status": "success", "output": [f"{URL}?{'x' * 2048}"]}, Rendering(Outcome.NO_PICTURE)),
        ({"status": "processing", "id": CANARY}, Rendering(Outcome.NO_USABLE_ANSWER)),
        ({"status": "success", "output": URL}, Rendering(Outcome.NO_PICTURE)),
        ({"status": "success", "id": 7}, Rendering(Outcome.NO_PICTURE)),
        ({"status": "error", "output": [URL]}, Rendering(Outcome.REFUSED)),
        (
            {"status": "failed", "message": "Failed, Try Again"},
            Rendering(Outcome.REFUSED, said="Failed, Try Again"),
        ),
        ({"output": [URL]}, Rendering(Outcome.NO_USABLE_ANSWER)),
        ([URL], Rendering(Outcome.NO_USABLE_ANSWER)),
        (b"\xff", Rendering(Outcome.NO_USABLE_ANSWER)),
    ],
)
def test_what_an_answer_about_a_picture_means(body: Any, expected: Rendering) -> None:
    assert rendering(200, body) == expected


@given(
    status=st.integers(-1, 1000),
    body=bodies | json_values.map(lambda v: orjson.dumps({"status": "success", "output": v})),
)
def test_no_answer_about_a_picture_can_break_the_reading(status: int, body: bytes) -> None:
    answer = rendering(status, body)
    assert (answer.outcome is Outcome.RENDERED) == bool(answer.picture)
    assert (answer.outcome is Outcome.RENDERING) == bool(answer.job)
    assert answer.outcome is not Outcome.RENDERING or 3 <= answer.wait <= 20
    assert math.isfinite(answer.wait)


async def test_a_picture_whose_answer_is_lost_is_not_asked_for_again(
    api: ModelApiServer, session: aiohttp.ClientSession
) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    api.renders = [stand_in.Answer(handler=cut)]
    assert (await ModelApi(session, api.url, "v4").render(KEY, "m", "x")).outcome is Outcome.NO_USABLE_ANSWER
    assert len(api.render_calls) == 1
