"""A picture from an address that came from outside: what is asked, and what is taken for a picture."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from bot.domain.picture import Picture
from bot.model_api.client import open_session
from bot.model_api.picture import MOST_BYTES, TRIES, fetch
from tests.stand_ins.model_api import PNG, Answer, ModelApiServer

OWN = "https://modelslab.com"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session() as session:
        yield session


KINDS = {
    "png": PNG,
    "jpg": b"\xff\xd8\xff\xe0....JFIF",
    "gif": b"GIF89a....",
    "webp": b"RIFF\0\0\0\0WEBPVP8 ",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("virtual")
async def test_a_picture_is_known_by_its_first_bytes(
    api: ModelApiServer, session: aiohttp.ClientSession, kind: str
) -> None:
    api.pictures = [Answer(KINDS[kind], headers={"Content-Type": "text/html"})]
    assert await fetch(session, f"{api.url}/picture.png", api.url) == Picture(
        KINDS[kind], f"test-image.{kind}"
    )


ODD = {
    "a page": Answer(b"<html>"),
    "a drawing with scripts in it": Answer(b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "nothing": Answer(b""),
    "too long": Answer(PNG + bytes(MOST_BYTES)),
    "packed": Answer(b"\x1f\x8b" + PNG, headers={"Content-Encoding": "gzip"}),
    "elsewhere": Answer(PNG, 302, {"Location": "/picture.png"}),
    "not there": Answer(PNG, 404),
}


@pytest.mark.parametrize("case", ODD)
@pytest.mark.usefixtures("virtual")
async def test_what_is_no_picture_is_none(
    api: ModelApiServer, session: aiohttp.ClientSession, case: str
) -> None:
    api.pictures = [ODD[case]]
    assert await fetch(session, f"{api.url}/picture.png", api.url) is None
    assert len(api.picture_calls) <= TRIES


@pytest.mark.parametrize(
    "address", ["https://xn--a.b/x.png", "http://127.0.0.1:1/x.png", "https://no.invalid/x"]
)
@pytest.mark.usefixtures("virtual")
async def test_a_host_that_cannot_be_asked_is_no_defect(session: aiohttp.ClientSession, address: str) -> None:
    assert await fetch(session, address, "http://127.0.0.1:1") is None


@pytest.mark.usefixtures("virtual")
async def test_a_picture_that_never_ends_is_given_up(
    api: ModelApiServer, session: aiohttp.ClientSession
) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while request.transport is not None and not request.transport.is_closing():
            await response.write(PNG + bytes(2**20))
            sent += 2**20
        return response

    api.pictures = [Answer(handler=endless)]
    assert await fetch(session, f"{api.url}/picture.png", api.url) is None
    assert sent < TRIES * 4 * MOST_BYTES
