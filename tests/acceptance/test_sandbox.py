"""The sandbox around its page: access control, what it leaves behind, the outcomes its models show."""

import asyncio
import os
import pty
import signal
import socket
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from bot.sandbox.model_api import ANSWERS, StandInModelApi
from bot.sandbox.page import PORT
from tests import ROOT, as_read
from tests.sandbox import Sandbox, sandbox, start
from tests.wire import Wire, all_ended, running

ENDINGS = {
    "works": ("Reloading", "Ready"),
    "slow": ("Ready",),
    "picture-fails": ("Reloading", "Ready"),
    "unknown-model": ("Failed", "doesn't know this model"),
    "no-status-word": ("Reloading", "Ready"),
    "not-loading": ("Unclear",),
    "picture-late": ("Reloading", "Ready"),
    "picture-elsewhere": ("Reloading", "Ready"),
    "picture-queued": ("Reloading", "Ready"),
    "picture-lost": ("Reloading", "Ready"),
    "no-credits": ("Failed", "out of credits or over its limit"),
    "monthly-limit": ("Failed", "out of credits or over its limit"),
    "half-an-hour": ("Failed", "again at"),
    "queue-full": ("Failed", "again at"),
    "no-route": ("Failed", "no longer exists"),
    "no-status-but-text": ("Failed", "The API refused: `The model id must be a string.`"),
    "moved": ("Unclear",),
    "small-plan": ("Failed", "plan"),
    "wrong-key": ("Failed", "key"),
    "busy": ("Waiting", "Starting in 10 s", "Failed", "You can use"),
    "overloaded": ("Failed", "You can use"),
    "vendor-trouble": ("Failed",),
    "garbage": ("Unclear",),
    "hangs": ("Unclear",),
    "old-host": ("Reloading", "Ready"),
    "crowd": ("Reloading", "Ready"),
}
"""The states that people see, by model ID."""


async def ask(url: str, method: str = "GET", **how: Any) -> aiohttp.ClientResponse:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, allow_redirects=False, **how) as response,
    ):
        await response.read()
        return response


def headers(it: Sandbox, **changed: str) -> dict[str, str]:
    return {"X-Simcord-Capability": urlsplit(it.url).fragment, **changed}


async def test_strangers_are_refused(tmp_path: Path) -> None:
    """Wrong Host (a page elsewhere whose name leads here), missing or wrong token, foreign Origin."""
    async with sandbox(tmp_path, seconds=5) as it:
        page, pages = it.url.partition("#")[0], it.url.partition("#")[0] + "api/pages"
        assert (await ask(pages, "POST", json={}, headers=headers(it))).status == 200
        assert (await ask(page)).status == 200
        for path in ("", "sandbox.js", "app.js"):
            assert (await ask(page + path, headers={"Host": "rewarm.example"})).status == 403
        refused: tuple[dict[str, str], ...] = (
            {},
            headers(it, **{"X-Simcord-Capability": "guessed"}),
            headers(it, Host="rewarm.example"),
            headers(it, Origin="https://rewarm.example"),
        )
        for theirs in refused:
            assert (await ask(pages, "POST", json={}, headers=theirs)).status == 401
            restart = {"kind": "restart"}
            assert (await ask(f"{page}api/action", "POST", json=restart, headers=theirs)).status == 401
        with pytest.raises(aiohttp.ClientConnectorError):  # on 127.0.0.1 only
            await ask(page.replace("127.0.0.1", "127.0.0.2"))


async def test_without_a_number_a_reload_takes_half_a_minute_and_says_so(tmp_path: Path) -> None:
    """No browser opens when nobody is there to see it."""
    free = _is_free(PORT)
    opened = tmp_path / "opened"
    it = await start(tmp_path, port=None, BROWSER=f"touch {opened} %s", DISPLAY=":0")
    try:
        async with aiohttp.ClientSession() as session, session.get(it.url) as page:
            assert "A reload takes 30 s here" in as_read(await page.text())
        assert urlsplit(it.url).port == PORT or not (free and _is_free(PORT))  # somebody else may have it
    finally:
        assert await it.stop() == (0, "")
    assert not opened.exists()


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


async def test_another_port_where_the_usual_one_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        usual = taken.getsockname()[1]
        async with sandbox(tmp_path, seconds=5, port=usual) as it:
            assert urlsplit(it.url).port not in (None, usual)
            assert f"Port {usual} can't be used (Address already in use), so" in it.said
            assert (await ask(it.url)).status == 200
            at = urlsplit(it.url).port
    async with sandbox(tmp_path, seconds=5, port=at) as it:
        assert urlsplit(it.url).port == at
        assert "can't be used" not in it.said


async def test_a_port_that_only_root_may_use_is_not_called_taken(tmp_path: Path) -> None:
    without = ("setpriv", "--bounding-set", "-net_bind_service", "--inh-caps", "-net_bind_service")
    process = await asyncio.create_subprocess_exec(
        *(without if os.geteuid() == 0 else ()),
        *(sys.executable, "-m", "bot", "sandbox", "--port", "81"),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said = await asyncio.wait_for(process.stdout.readline(), 30)
    process.terminate()
    await process.communicate()
    assert said == b"Port 81 can't be used (Permission denied), so this sandbox uses another one.\n"


async def test_a_pipe_that_has_closed_ends_it_quietly(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    it = await start(tmp_path, stdout=theirs, port=0)
    os.close(theirs)
    await asyncio.to_thread(os.read, ours, 10)
    os.close(ours)
    assert await it.stop() == (1, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_stop_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    it = await start(tmp_path, seconds=60)
    assert [path.name.partition("-")[0] for path in tmp_path.iterdir()] == ["rewarm"]
    it.process.send_signal(number)
    assert await it.stop() == (0, "")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(aiohttp.ClientConnectorError):
        await ask(it.url)


async def test_stop_does_not_wait_for_who_never_finishes(tmp_path: Path) -> None:
    it = await start(tmp_path, seconds=60)
    url = urlsplit(it.url)
    _, stalled = await asyncio.open_connection(url.hostname, url.port)
    token = f"X-Simcord-Capability: {url.fragment}"
    stalled.write(
        f"POST /api/pages HTTP/1.1\r\nHost: {url.netloc}\r\n{token}\r\nContent-Length: 100\r\n\r\n{{".encode()
    )
    await stalled.drain()
    async with asyncio.timeout(10):
        assert await it.stop() == (0, "")
    stalled.close()


async def test_on_a_desktop_the_browser_opens(tmp_path: Path) -> None:
    """The address works only once: other users can see a browser's arguments."""
    opened = tmp_path / "opened"
    opener = tmp_path / "browser"
    opener.write_text(f'#!/bin/sh\necho "$1" > {opened}.part && mv {opened}.part {opened}\n')
    opener.chmod(0o700)
    ours, theirs = pty.openpty()
    it = await start(tmp_path, seconds=5, stdout=theirs, BROWSER=f"{opener} %s", DISPLAY=":0")
    os.close(theirs)
    try:
        async with asyncio.timeout(10):
            while not opened.exists():
                await asyncio.sleep(0.05)
        url = opened.read_text().strip()
        printed = os.read(ours, 4096).decode()
        token = printed.partition("#")[2].split()[0]
        assert token
        assert token not in url
        assert (await ask(url, headers={"Host": "rewarm.example"})).status == 403
        first = await ask(url)
        assert (first.status, first.headers["Location"]) == (302, f"/#{token}")
        assert (await ask(url)).status == 404
    finally:
        assert (await it.stop())[0] == 0
        os.close(ours)


@pytest.mark.usefixtures("virtual")
async def test_each_model_shows_its_ending(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(ENDINGS) == set(ANSWERS)
    async with StandInModelApi() as api:
        settings = wire.settings(reload_seconds=30)
        async with running(settings, monkeypatch, api_hosts=api.hosts) as bot:
            api.places = bot.hosts.places
            await wire.ready()
            modal = await wire.server.slash(wire.mod, wire.general, "key set")
            form = await wire.server.submit_modal(modal, {0: "wrong-key"})
            await wire.server.wait_for(lambda: "this key is invalid" in wire.reply(form).text)
            await wire.set_key("any-key")
            assert urlsplit(api.url).netloc in await _key_status(wire)
            texts = {model: await _states(wire, model) for model in ENDINGS}
            assert f"localhost:{urlsplit(api.url).port}" in await _key_status(wire)
            after_the_crowd = " ".join(await _states(wire, "works-too"))
    for words in ("**Waiting", "Many requests are waiting", "**Failed", "Nothing was sent"):
        assert words in after_the_crowd
    for model, ending in ENDINGS.items():
        states = " ".join(texts[model]).replace("**", "")
        for words in ending:
            assert words in states, model
    alike = ("slow", "hangs", "no-status-word", "not-loading", "moved", "monthly-limit", "picture-")
    others = {model: text for model, text in texts.items() if model not in ("old-host", "crowd")}
    last = [text[-1].replace(model, "") for model, text in others.items() if not model.startswith(alike)]
    assert len(set(last)) == len(last), "each one says something of its own"


PICTURES = {
    "picture-late": "**Confirmed**",
    "picture-elsewhere": "**Confirmed**",
    "picture-queued": "**Confirmed**",
    "picture-lost": "the API sent no picture that we can show",
    "picture-fails": "the API says `Failed, Try Again`",
}


@pytest.mark.usefixtures("virtual")
async def test_each_picture_shows_what_came_of_it(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    async with StandInModelApi() as api, running(wire.settings(model_api_url=api.url), monkeypatch) as bot:
        await wire.ready()
        await wire.set_key("any-key")
        for model, words in PICTURES.items():
            asked = await wire.reload(model=model)
            await wire.server.wait_for(lambda asked=asked: "**Ready**" in wire.reply(asked).text, 30)  # type: ignore[misc]
            await all_ended(bot, 30)  # its ending is shown before that is stored
            form = await wire.server.press(wire.ana, wire.reply(asked), "Test image")
            await wire.server.submit_modal(form, {"prompt": "an apple"})
            await wire.server.wait_for(
                lambda asked=asked, words=words: words in wire.reply(asked).text,  # type: ignore[misc]
                90,
                model,
            )


async def _key_status(wire: Wire) -> str:
    asked = await wire.server.slash(wire.mod, wire.general, "key status")
    await wire.server.wait_for(
        lambda: asked.message_id and wire.reply(asked).text, 10
    )  # it asks for the balance
    return wire.reply(asked).text


async def _states(wire: Wire, model: str) -> list[str]:
    asked = await wire.reload(model=model)
    seen: list[str] = []
    endings = ("**Ready", "**Failed", "**Unclear")
    for _ in range(600):
        message = wire.server.messages.get(asked.message_id or 0)
        if message is not None and (not seen or message.text != seen[-1]):
            seen.append(message.text)
        if seen and seen[-1].startswith(endings):
            await asyncio.sleep(6)  # one member may have the API called ten times a minute
            return seen
        await asyncio.sleep(0.5)
    raise AssertionError(seen)
