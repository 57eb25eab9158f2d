"""The model API's host that a key belongs to: found by the bot, without a second call that could count."""

import asyncio
import functools
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from bot.admin import check, init
from bot.admin.env_file import ENV
from bot.app import Rewarm
from bot.domain.reload import State
from bot.jobs.catalogue_refresh import FIRST_DELAY
from bot.model_api.versions import VERSIONS
from bot.vault import new_encryption_key
from tests import wire as wires
from tests.stand_ins.discord import Interaction
from tests.stand_ins.model_api import ACCEPTED, Answer, ModelApiServer
from tests.wire import Wire, running
from tests.world import CANARY

pytestmark = pytest.mark.usefixtures("virtual")
INVALID = Answer({"status": "error", "message": "Invalid API key"}, 401)
OLD_INVALID = Answer({"status": "error", "messege": "Invalid Api Key"})
ended = functools.partial(wires.ended, seconds=60.0)
OLD_PATH, PATH = "/api/v4/dreambooth/model_reload", "/api/v6/images/model_reload"


@pytest.fixture
async def old(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ModelApiServer]:
    """The old host; the current one is `wire.api`."""
    async with ModelApiServer() as server:
        monkeypatch.setitem(VERSIONS, "v4", VERSIONS["v4"]._replace(host=server.url))
        yield server


@pytest.fixture
async def bot(wire: Wire, old: ModelApiServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rewarm]:
    """A bot that knows both hosts, and no key."""
    monkeypatch.setitem(VERSIONS, "v6", VERSIONS["v6"]._replace(host=wire.api.url))
    async with running(wire.settings(model_api_url="", model_api_version="auto"), monkeypatch) as bot:
        await wire.ready()
        yield bot


async def set_key(wire: Wire, says: str = "been stored") -> str:
    """Store the key; return the moderator's answer."""
    modal = await wire.server.slash(wire.mod, wire.general, "key set")
    form = await wire.server.submit_modal(modal, {0: CANARY})
    await wire.server.wait_for(lambda: says in wire.reply(form).text, 30)
    return wire.reply(form).text


async def status(wire: Wire) -> str:
    asked = await wire.server.slash(wire.mod, wire.general, "key status")
    await wire.server.wait_for(lambda: asked.message_id is not None and wire.reply(asked).text)
    return wire.reply(asked).text


async def of_0_1_0(wire: Wire, bot: Rewarm) -> None:
    """Make the key's row as 0.1.0 wrote it."""
    await set_key(wire)
    row = await bot.store.key(wire.guild.id)
    assert row is not None
    await bot.store.set_key(wire.guild.id, replace(row, version=""))
    wire.api.balance_calls.clear()


async def version(wire: Wire, bot: Rewarm) -> str:
    row = await bot.store.key(wire.guild.id)
    assert row is not None
    return row.version


def host(api: ModelApiServer) -> str:
    return api.url.removeprefix("http://")


async def test_key_that_the_current_host_takes_is_not_shown_to_the_old_one(
    wire: Wire, bot: Rewarm, old: ModelApiServer
) -> None:
    assert "The key works" in await set_key(wire)
    assert f"It's sent to `{host(wire.api)}`." in await status(wire)
    assert (await ended(wire, bot, await wire.reload())).startswith("Ready")
    assert [call.path for call in wire.api.calls] == [PATH]
    assert old.calls == old.balance_calls == []


async def test_key_of_the_old_host_is_found_out_and_used_there(
    wire: Wire, bot: Rewarm, old: ModelApiServer
) -> None:
    wire.api.balances = [INVALID]
    assert "The key works" in await set_key(wire)
    assert f"It's sent to `{host(old)}`." in await status(wire)
    assert (await ended(wire, bot, await wire.reload())).startswith("Ready")
    assert [call.path for call in old.calls] == [OLD_PATH]
    assert wire.api.calls == []


@pytest.mark.parametrize("answer", [Answer(b"<html>", 502), Answer({"status": "error"}, 401), OLD_INVALID])
async def test_key_that_the_old_host_cannot_vouch_for_is_refused(
    wire: Wire, bot: Rewarm, old: ModelApiServer, answer: Answer
) -> None:
    wire.api.balances, old.balances = [INVALID], [answer]
    assert "invalid, so it wasn't stored" in await set_key(wire, "wasn't stored")
    assert await bot.store.key(wire.guild.id) is None
    assert len(old.balance_calls) == 1


async def test_key_that_cannot_be_checked_is_stored_for_the_current_host_and_marked(
    wire: Wire, bot: Rewarm, old: ModelApiServer
) -> None:
    wire.api.balances = [Answer({"message": "Unauthenticated."}, 401)]
    assert "couldn't check whether it works" in await set_key(wire)
    assert old.balance_calls == [], "only words send a key to the other host"
    said = await status(wire)
    assert f"It's sent to `{host(wire.api)}`. We don't know yet whether it works." in said
    assert (await ended(wire, bot, await wire.reload())).startswith("Ready")
    assert "don't know yet" not in await status(wire), "now it has"


async def test_row_of_0_1_0_counts_as_v4_until_an_answer_says_otherwise(
    wire: Wire, bot: Rewarm, old: ModelApiServer
) -> None:
    await of_0_1_0(wire, bot)
    assert f"It's sent to `{host(old)}`." in await status(wire)
    assert (await ended(wire, bot, await wire.reload())).startswith("Ready")
    assert ([call.path for call in old.calls], wire.api.calls) == ([OLD_PATH], [])


async def test_refused_key_is_asked_about_once_at_the_other_host_which_is_remembered(
    wire: Wire, bot: Rewarm, old: ModelApiServer
) -> None:
    await of_0_1_0(wire, bot)
    stored = []

    async def look(request: web.Request) -> web.StreamResponse:
        [row] = await bot.store.open()
        stored.append((row.state, row.called_at, await version(wire, bot)))
        await asyncio.sleep(1)
        return web.json_response(ACCEPTED if request.path == PATH else OLD_INVALID.body)

    old.reloads = wire.api.reloads = [Answer(handler=look)]
    asked = await wire.reload()
    assert (await ended(wire, bot, asked)).startswith("Ready")
    assert [call.path for call in (*old.calls, *wire.api.calls)] == [OLD_PATH, PATH]
    (_, first, _), (state, second, where) = stored
    assert (state, where) == (State.CALLING, "v6")
    assert first is not None
    assert second is not None
    assert second >= first + 1, "both are stored before the second call goes out"
    assert f"It's sent to `{host(wire.api)}`." in await status(wire)
    assert len([ping for ping in wire.pings() if ping.mentions]) == 1
    await ended(wire, bot, await wire.reload(model="another"))
    assert len(old.calls) == 1, "it is remembered"


@pytest.mark.parametrize(
    "answer",
    [Answer({"message": "Unauthenticated."}, 401), Answer({"status": "error"}, 401), Answer(b"<html>", 401)],
    ids=["text", "word", "page"],
)
async def test_bare_401_sends_a_key_nowhere_else(
    wire: Wire, bot: Rewarm, old: ModelApiServer, answer: Answer
) -> None:
    await set_key(wire)
    wire.api.reloads = [answer]
    assert (await ended(wire, bot, await wire.reload())).startswith(("Failed", "Unclear"))
    assert (len(wire.api.calls), old.calls) == (1, [])


async def test_key_that_both_refuse_stays_where_it_was(wire: Wire, bot: Rewarm, old: ModelApiServer) -> None:
    await set_key(wire)
    wire.api.reloads, old.reloads = [INVALID], [OLD_INVALID]
    for number in (1, 2):
        text = await ended(wire, bot, await wire.reload(model=f"m{number}"))
        assert "rejects this server's key" in text
        assert (len(wire.api.calls), len(old.calls)) == (number, number), "once at each"
    assert await version(wire, bot) == "v6"


@pytest.mark.parametrize(
    ("answer", "ending"),
    [
        (
            Answer({"message": "Route not found"}, 404),
            "Failed sdxl-turbo\nThe API rejects this server's key",
        ),
        (Answer(b"<html>parked</html>"), "Unclear sdxl-turbo\nThe request was sent"),
        (None, "Failed sdxl-turbo\nThe API rejects this server's key"),
    ],
    ids=["gone", "parked", "shut"],
)
async def test_other_host_that_is_no_help_is_not_remembered(
    wire: Wire, bot: Rewarm, old: ModelApiServer, answer: Answer | None, ending: str
) -> None:
    await set_key(wire)
    wire.api.reloads = [INVALID]
    if answer is None:
        await old.close()
    else:
        old.reloads = [answer]
    assert (await ended(wire, bot, await wire.reload())).startswith(ending)
    assert await version(wire, bot) == "v6"


async def test_key_that_was_replaced_meanwhile_goes_nowhere_else(
    wire: Wire, bot: Rewarm, old: ModelApiServer
) -> None:
    await set_key(wire)

    async def replaced(_: web.Request) -> web.StreamResponse:
        row = await bot.store.key(wire.guild.id)
        assert row is not None
        await bot.store.set_key(wire.guild.id, replace(row, sealed=row.sealed + "x"))
        return web.json_response(INVALID.body)

    wire.api.reloads = [Answer(handler=replaced)]
    assert "rejects" in await ended(wire, bot, await wire.reload())
    assert old.calls == []
    assert await version(wire, bot) == "v6"


async def test_key_that_replaced_the_accepted_one_stays_unchecked(
    wire: Wire, bot: Rewarm, old: ModelApiServer
) -> None:
    wire.api.balances = [Answer(b"<html>", 502)]
    await set_key(wire)

    async def replaced(_: web.Request) -> web.StreamResponse:
        await set_key(wire)
        return web.json_response(ACCEPTED)

    wire.api.reloads = [Answer(handler=replaced), Answer(ACCEPTED)]
    assert (await ended(wire, bot, await wire.reload())).startswith("Ready")
    assert "don't know yet whether it works" in await status(wire), "the API has said that of another key"
    await ended(wire, bot, await wire.reload(model="another"))
    assert "don't know yet" not in await status(wire)


async def test_two_reloads_at_once_move_the_key_together(
    wire: Wire, bot: Rewarm, old: ModelApiServer
) -> None:
    await of_0_1_0(wire, bot)
    both = asyncio.Event()

    async def refuse(_: web.Request) -> web.StreamResponse:
        if len(old.calls) == 2:
            both.set()
        await both.wait()
        return web.json_response(OLD_INVALID.body)

    old.reloads = [Answer(handler=refuse)]
    asked = [await wire.reload(model="one"), await wire.reload(wire.ben, model="two")]
    texts = [await ended(wire, bot, one) for one in asked]
    assert [text[:5] for text in texts] == ["Ready", "Ready"]
    assert (len(old.calls), len(wire.api.calls)) == (2, 2)


@pytest.mark.parametrize("slower", ["one", "two"], ids=["accepted last", "accepted first"])
async def test_two_reloads_at_once_remember_where_one_was_accepted(
    wire: Wire, bot: Rewarm, old: ModelApiServer, slower: str
) -> None:
    await of_0_1_0(wire, bot)
    both = asyncio.Event()

    async def refuse(_: web.Request) -> web.StreamResponse:
        if len(old.calls) == 2:
            both.set()
        await both.wait()
        return web.json_response(OLD_INVALID.body)

    async def answer(_: web.Request) -> web.StreamResponse:
        model = wire.api.calls[-1].body["model_id"]
        await asyncio.sleep(2 if model == slower else 0)
        return web.json_response(ACCEPTED) if model == "one" else web.Response(status=502)

    old.reloads, wire.api.reloads = [Answer(handler=refuse)], [Answer(handler=answer)]
    asked = [await wire.reload(model="one"), await wire.reload(wire.ben, model="two")]
    texts = [await ended(wire, bot, one) for one in asked]
    assert [text.split()[0] for text in texts] == ["Ready", "Unclear"]
    assert await version(wire, bot) == "v6"
    assert "don't know yet" not in await status(wire)


async def test_wait_that_the_other_host_names_is_waited_out_there(
    wire: Wire, bot: Rewarm, old: ModelApiServer
) -> None:
    await of_0_1_0(wire, bot)
    old.reloads = [OLD_INVALID]
    busy = Answer({"status": "error", "message": "Rate limit exceeded", "retry_after": 5}, 429)
    wire.api.reloads = [busy, INVALID]
    assert "rejects" in await ended(wire, bot, await wire.reload())
    assert (len(old.calls), len(wire.api.calls)) == (1, 2), "and not asked about at the first host again"


async def test_public_list_comes_from_the_host_of_the_key(
    wire: Wire, bot: Rewarm, old: ModelApiServer
) -> None:
    wire.api.balances = [INVALID]
    await set_key(wire)
    await asyncio.sleep(FIRST_DELAY + 70)
    assert (len(old.list_calls), wire.api.list_calls) == (1, [])


@pytest.mark.parametrize("version", ["v4", "v6"])
async def test_with_a_version_set_nothing_goes_elsewhere(
    wire: Wire, old: ModelApiServer, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setitem(VERSIONS, "v6", VERSIONS["v6"]._replace(host=wire.api.url))
    mine, other = (old, wire.api) if version == "v4" else (wire.api, old)
    settings = wire.settings(model_api_url="", model_api_version=version)
    async with running(settings, monkeypatch) as bot:
        await wire.ready()
        await set_key(wire)
        row = await bot.store.key(wire.guild.id)
        assert row is not None
        elsewhere = "v6" if version == "v4" else "v4"
        await bot.store.set_key(wire.guild.id, replace(row, version=elsewhere))
        mine.reloads, mine.balances = [OLD_INVALID], [INVALID]
        assert "rejects" in await ended(wire, bot, await wire.reload())
        await set_key(wire, "wasn't stored")
    assert (len(mine.calls), len(mine.balance_calls)) == (1, 2)
    assert (other.calls, other.balance_calls, other.list_calls) == ([], [], [])


async def test_redirect_is_told_to_the_operator_by_its_host_only(wire: Wire, bot: Rewarm) -> None:
    await set_key(wire)
    where = f"https://elsewhere.example/api?key={CANARY}"
    wire.api.reloads = [Answer(ACCEPTED, 308, {"Location": where})]
    with capture_logs() as lines:
        assert (await ended(wire, bot, await wire.reload())).startswith("Unclear")
    [line] = [line for line in lines if line["event"] == "model_api.address"]
    assert line["host"] == wire.api.url
    assert "redirects to elsewhere.example" in line["problem"]
    assert "MODEL_API_VERSION" in line["cure"]
    assert CANARY not in str(lines)
    assert "/api?" not in str(lines)


async def test_gone_address_is_told_to_both(wire: Wire, bot: Rewarm) -> None:
    await set_key(wire)
    wire.api.reloads = [Answer({"status": "error", "message": "Route not found"}, 404)]
    with capture_logs() as lines:
        text = await ended(wire, bot, await wire.reload())
    assert "The API address the bot uses no longer exists. Nothing was reloaded." in text
    assert "tell whoever runs the bot" in text
    [line] = [line for line in lines if line["event"] == "model_api.address"]
    assert "no longer has this address" in line["problem"]
    choices = await wire.server.slash(wire.ana, wire.general, "models")
    await wire.server.wait_for(functools.partial(_lists, wire, choices))


def _lists(wire: Wire, choices: Interaction) -> bool:
    """The model is not mistaken for one that doesn't exist."""
    return choices.message_id is not None and "sdxl-turbo" in wire.reply(choices).text


async def test_key_check_that_hangs_at_the_old_host_refuses_the_key(
    wire: Wire, bot: Rewarm, old: ModelApiServer
) -> None:
    async def hang(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    wire.api.balances, old.balances = [INVALID], [Answer(handler=hang)]
    await set_key(wire, "wasn't stored")


# --- The command line ---------------------------------------------------------------------------------


async def checked(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what `check` says about the model API."""
    monkeypatch.setitem(VERSIONS, "v6", VERSIONS["v6"]._replace(host=wire.api.url))
    try:
        return await check._model_api(wire.settings(model_api_url="", model_api_version="auto"))
    except check.NotRightError as error:
        return f"✗ {error}"


async def test_check_asks_both_hosts(
    wire: Wire, old: ModelApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.api.balances, old.balances = [INVALID], [OLD_INVALID]
    assert await checked(wire, monkeypatch) == (
        f"{wire.api.url} answers, and rejects a made-up key as it should; "
        f"{old.url}, which is asked about keys that the first one rejects, does the same"
    )
    old.balances = [Answer({"message": "Not Found"}, 404)]
    assert (await checked(wire, monkeypatch)).endswith("rejects, no longer has this address (status 404)")


async def test_check_says_where_the_current_host_redirects_to(
    wire: Wire, old: ModelApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.api.balances = [Answer(b"", 301, {"Location": "https://elsewhere.example/x?key=1"})]
    text = await checked(wire, monkeypatch)
    assert text.startswith(f"✗ {wire.api.url} redirects to elsewhere.example, where no key is sent.")
    assert "key=1" not in text


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ({}, "Servers' API keys go to modelslab.com; any it rejects also go to stablediffusionapi.com."),
        ({"MODEL_API_VERSION": "v4"}, "Servers' API keys go to stablediffusionapi.com only."),
        (
            {"MODEL_API_VERSION": "v6", "MODEL_API_URL": "http://127.0.0.1:8000"},
            "Servers' API keys go to 127.0.0.1:8000 only.",
        ),
        (
            {"MODEL_API_URL": "http://127.0.0.1:8000"},
            "MODEL_API_URL needs MODEL_API_VERSION (v4 or v6), which decides the paths.",
        ),
        ({"MODEL_API_VERSION": "v5"}, "MODEL_API_VERSION must be auto, v4 or v6."),
        (
            {"MODEL_API_VERSION": "v6", "MODEL_API_URL": "modelslab.com"},
            "MODEL_API_URL must be just a scheme and a host, like https://modelslab.com.",
        ),
    ],
)
async def test_init_says_where_keys_go_or_what_is_wrong(
    known: dict[str, str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    known = {"DISCORD_TOKEN": "made-up", "KEY_ENCRYPTION_KEYS": new_encryption_key(), **known}
    ENV.write_text("".join(f"{name}={value}\n" for name, value in known.items()))
    assert init._model_api() == says
