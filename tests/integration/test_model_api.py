"""The model API: what happens on the wire."""

import asyncio
import builtins
import gzip
import ssl
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from typing import Any, NoReturn, cast

import aiohttp
import orjson
import pytest
from aiohttp import client_reqrep, hdrs, web
from aiohttp.abc import AbstractResolver
from pydantic import SecretStr
from structlog.testing import capture_logs

from bot.domain.reload import Ending, Outcome
from bot.model_api.answer import (
    Answer,
    Rendering,
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
from tests.unit.model_api.test_answer import LIMIT, error
from tests.world import CANARY

KEY = SecretStr(CANARY)
YES = orjson.dumps(ACCEPTED)


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
    """If the server closes a connection at that moment, nobody could tell what happened to the call."""
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
    """Ask a raw server, and make sure that it got no more than one request."""
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
async def test_a_body_that_drips_forever_is_cut_after_20_seconds(session: aiohttp.ClientSession) -> None:
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
        pytest.param(encoded("deflate", packed(YES, -zlib.MAX_WBITS)), id="deflate without zlib's header"),
        pytest.param(encoded("x-gzip", gzip.compress(YES)), id="x-gzip"),
        pytest.param(
            encoded("gzip", gzip.compress(YES[:9]) + gzip.compress(YES[9:])), id="gzip of two members"
        ),
        pytest.param(
            encoded("gzip", b"".join(gzip.compress(bytes([byte])) for byte in YES)), id="a member a byte"
        ),
        pytest.param(encoded("gzip", gzip.compress(b"") + gzip.compress(YES)), id="an empty member first"),
        pytest.param(encoded("gzip", gzip.compress(YES) + bytes(20)), id="gzip with padding"),
        pytest.param(
            chunked(*(bytes([byte]) for byte in gzip.compress(YES[:9]) + gzip.compress(YES[9:]))).replace(
                b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n", 1
            ),
            id="gzip of two members, byte by byte",
        ),
        pytest.param(encoded("identity", YES), id="identity"),
        pytest.param(encoded("gzip", gzip.compress(padded(BODY_BYTES))), id="64 KiB after gzip"),
        pytest.param(
            encoded("deflate", packed(padded(16_550), -zlib.MAX_WBITS)), id="a little more than a chunk"
        ),
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
        pytest.param(
            encoded("gzip", gzip.compress(YES) + gzip.compress(YES)[:9]), id="second member cut off"
        ),
        pytest.param(encoded("gzip", gzip.compress(b"")), id="gzip of an empty body"),
        pytest.param(
            encoded("gzip", gzip.compress(YES) + gzip.compress(bytes(BODY_BYTES))), id="two members, too long"
        ),
        pytest.param(encoded("deflate", packed(YES, -zlib.MAX_WBITS)[:-2]), id="bare deflate cut off"),
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
    assert (await client.check_key(KEY)).check is KeyCheck.COULD_NOT_CHECK


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
        (200, {"balance": 43.6, "currency": "USD"}, KeyCheck.VALID),
        (200, {"status": "error", "balance": 0}, KeyCheck.COULD_NOT_CHECK),
        (308, stand_in.BALANCE, KeyCheck.COULD_NOT_CHECK),
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
    assert (await ModelApi(session, api.url, "v6").check_key(KEY)).check is check
    (call,) = api.balance_calls
    assert call.body == {"key": CANARY}
    assert api.calls == []


@pytest.mark.looptime
async def test_a_key_check_that_hangs_is_given_up(session: aiohttp.ClientSession) -> None:
    async with RawServer(raw.hang) as server:
        started = asyncio.get_running_loop().time()
        check = (await ModelApi(session, server.url, "v4").check_key(KEY)).check
        took = asyncio.get_running_loop().time() - started
    assert check is KeyCheck.COULD_NOT_CHECK
    assert took == pytest.approx(KEY_CHECK_TIMEOUT, abs=1)


async def test_a_redirected_key_check_is_not_followed(
    session: aiohttp.ClientSession, api: ModelApiServer
) -> None:
    there = f"Location: {api.url}/api/wallet_balance"
    async with RawServer(raw.answering(raw.with_body(b"{}", there, status="308 Moved"))) as server:
        check = (await ModelApi(session, server.url, "v4").check_key(KEY)).check
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
    """It uses a host name: for an address, aiohttp's jar would keep none anyway."""
    api.reloads = [
        stand_in.Answer({"status": "success"}, headers={"Set-Cookie": "session=of-server-a; Path=/"})
    ]
    async with open_session() as session:
        client = ModelApi(session, api.url.replace("127.0.0.1", "localhost"), "v4")
        await client.reload(SecretStr("key-of-server-a"), "x")
        await client.reload(SecretStr("key-of-server-b"), "x")
    assert ["Cookie" in call.headers for call in api.calls] == [False, False]


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
    """The stand-in checks the body."""
    ours = ModelApi(session, api.url, version)
    api.renders = [stand_in.Answer(api.rendering(eta=7))]
    assert await ours.render(KEY, "m", "a cup") == Rendering(Outcome.RENDERING, job="7", wait=7.0)
    assert await ours.rendered(KEY, "m", "7") == Rendering(Outcome.RENDERED, picture=f"{api.url}/picture.png")
    assert ([call.path for call in api.render_calls], [call.path for call in api.fetch_calls]) == (
        [render],
        [fetch],
    )
    assert api.render_calls[0].body["prompt"] == "a cup"


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
