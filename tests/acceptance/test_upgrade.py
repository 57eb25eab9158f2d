"""Version 0.1.0's data still works: its store, as a file and in PostgreSQL, `.env`, buttons."""

import asyncio
import functools
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import tests.wire
from bot.app import Rewarm
from bot.domain.reload import Ending
from bot.domain.rows import ServerSettings
from bot.settings import Settings, load_settings
from tests import ROOT
from tests.stand_ins.discord import Interaction, Message
from tests.wire import Wire, running

OLD = ROOT / "tests" / "written_by_0_1_0"
KILLED_AT = 1_795_000_000.0
"""When that bot was killed, in seconds since 1970, with a countdown that had 20 s to go."""
SERVER, GENERAL, ART = 200000000000000001, 210000000000000001, 210000000000000002
MOD, ANA, BEN = 220000000000000001, 220000000000000002, 220000000000000003
REPLY = 230000000000000020
CONFIRMED, READY, OPEN = 300000000000000010, 300000000000000012, 300000000000000020


@pytest.fixture
def old(wire: Wire) -> Wire:
    """The server as it was: the same ids, and the reply that counts."""
    server = wire.server
    wire.guild.id = SERVER
    for channel, id_ in ((wire.general, GENERAL), (wire.art, ART)):
        server.channels[id_] = server.channels.pop(channel.id)
        channel.id = id_
    wire.mod.id, wire.ana.id, wire.ben.id = MOD, ANA, BEN
    text = {"type": 10, "id": 1, "content": "**Lädt** `dreamshaper`"}
    server.messages[REPLY] = Message(REPLY, GENERAL, components=[text], flags=1 << 15)
    return wire


@pytest.fixture(params=["file", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    """PostgreSQL's URL; None for the file."""
    return request.getfixturevalue("postgres_url") if request.param == "postgres" else None


@pytest.fixture
async def settings(old: Wire, url: str | None) -> Settings:
    """That `.env`'s settings, pointed at the stand-ins and at a store that it left."""
    env = load_settings(OLD / "settings.env").model_dump(exclude={"model_api_url", "discord_api_url"})
    given = {**env, "discord_token": old.server.token, "data_dir": old.folder / "data", "shard_count": 1}
    given |= {"model_api_url": old.api.url, "discord_api_url": old.server.url}
    if url is None:
        (old.folder / "data").mkdir()
        shutil.copy(OLD / "rewarm.db", old.folder / "data" / "rewarm.db")
        return load_settings(None, **given)
    connection = await asyncpg.connect(url)
    await connection.execute((OLD / "rewarm.sql").read_text())
    await connection.close()
    return load_settings(None, **{**given, "store_url": url})


@pytest.fixture
def left() -> float:
    """The seconds that the countdown has left when this version starts."""
    return 18.0


@pytest.fixture
async def bot(settings: Settings, left: float, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rewarm]:
    """This version's bot."""
    monkeypatch.setattr(tests.wire, "EPOCH", KILLED_AT + 20 - left - asyncio.get_running_loop().time())
    async with running(settings, monkeypatch) as bot:
        yield bot


@pytest.mark.parametrize("left", [2.0])
@pytest.mark.usefixtures("bot")
async def test_the_open_reload_ends_in_its_language_and_pings_both(old: Wire) -> None:
    await old.server.wait_for(lambda: len(old.pings()) == 2, 10)
    assert "**Bereit** `dreamshaper`" in old.server.messages[REPLY].text
    assert {(ping.channel_id, *ping.mentions) for ping in old.pings()} == {(GENERAL, ANA), (ART, BEN)}
    assert old.api.calls == [], "it was called by the old one"


async def test_key_settings_watches_and_history_are_found(old: Wire, bot: Rewarm) -> None:
    await old.ready()
    status = await old.server.slash(old.mod, old.general, "key status")
    await old.server.wait_for(lambda: status.message_id is not None and old.reply(status).text)
    assert re.search(r"set by mod on <t:1791544000:f>\. It ends in `cdef`", old.reply(status).text)

    key = await bot.keys.open(SERVER)
    assert (key.row.version, key.row.checked, key.api.version) == ("", True, "v4"), "as was configured"

    chosen = await bot.store.settings(SERVER)
    assert (chosen.quiet, chosen.language, chosen.ledger_channel) == (True, "de", ART)
    assert (chosen.tests_per_day, await bot.store.paid_calls(SERVER)) == (10, [])
    watched = {watch.model: watch async for watch in bot.store.all_watches()}
    assert watched["anything-v3"].said_of == KILLED_AT - 6.5 * 86400
    assert set(watched) == {"anything-v3", "sdxl-turbo"}

    history = await bot.store.history(SERVER)
    assert {reload.model: reload.ending for reload in history} == {
        "dreamshaper": None,
        "slow-one": Ending.FAILED,
        "sdxl-turbo": Ending.READY,
        "no-such-model": Ending.FAILED,
        "anything-v3": Ending.CONFIRMED,
    }


@pytest.mark.usefixtures("bot")
async def test_its_buttons_and_forms_work_with_its_key(old: Wire) -> None:
    await old.ready()
    for custom_id, answer in (
        (f"rewarm:notify:{OPEN}", "You'll be pinged when `dreamshaper` is ready"),
        (f"rewarm:mute:{OPEN}", "You won't be pinged about `dreamshaper`"),
        (f"rewarm:again:{READY}", "**Lädt** `sdxl-turbo`"),
        ("rewarm:models:0", "This server's models"),
        (f"rewarm:watch:0:{READY}", "Watched"),
        (f"rewarm:unwatch:0:{READY}", "`sdxl-turbo`"),
    ):
        pressed = await press(old, custom_id)
        await old.server.wait_for(functools.partial(is_shown, old, pressed, answer))
    assert old.api.calls[0].body == {"key": "canary-K3y-0123456789abcdef", "model_id": "sdxl-turbo"}
    for what in ("test", "keep"):
        pressed = await press(old, f"rewarm:{what}:{CONFIRMED if what == 'keep' else READY}")
        assert pressed.modal is not None
        assert pressed.modal["custom_id"].startswith(f"rewarm:prompt:{what}:"), "as in one that is still open"
        await old.server.submit_modal(pressed, {"prompt": what})
        await old.server.wait_for(functools.partial(is_asked_for, old, what))


async def test_its_menus_work(old: Wire, bot: Rewarm) -> None:
    await old.ready()
    chosen = await choose(old, "rewarm:model:0", "sdxl-turbo")
    await old.server.wait_for(functools.partial(is_shown, old, chosen, "`sdxl-turbo`"))
    for what, value in (("ping", "all"), ("language", "auto"), ("channel", str(GENERAL))):
        await choose(old, f"rewarm:set:{what}", value)
    assert await bot.store.settings(SERVER) == ServerSettings(ledger_channel=GENERAL)


def is_shown(old: Wire, pressed: Interaction, text: str) -> bool:
    """Return whether a press led to it: in a new message, or in the pressed one."""
    return text in old.server.messages[pressed.message_id or REPLY + 1].text


def is_asked_for(old: Wire, prompt: str) -> bool:
    return prompt in [call.body["prompt"] for call in old.api.render_calls]


async def press(old: Wire, custom_id: str) -> Interaction:
    """Press a button under a message of that bot's."""
    button = {"type": 2, "id": 2, "style": 2, "label": "It", "custom_id": custom_id}
    return await old.server.press(old.mod, holding(old, button), "It")


async def choose(old: Wire, custom_id: str, value: str) -> Interaction:
    """Choose in a menu of a message of that bot's."""
    kind = (
        {"type": 8}
        if custom_id.endswith("channel")
        else {"type": 3, "options": [{"label": value, "value": value}]}
    )
    menu = {"id": 2, "custom_id": custom_id} | kind
    return await old.server.choose(old.mod, holding(old, menu), value)


def holding(old: Wire, item: dict[str, Any]) -> Message:
    message = Message(REPLY + 1, GENERAL, components=[{"type": 1, "id": 1, "components": [item]}])
    old.server.messages[message.id] = message
    return message


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
async def test_once_a_newer_version_has_come_nothing_more_is_taken_on(
    old: Wire, bot: Rewarm, url: str
) -> None:
    await old.ready()
    newer = await asyncpg.connect(url)
    await newer.execute("INSERT INTO migrations (number) VALUES (1000)")
    await old.server.wait_for(lambda: bot.store.is_outdated)
    for asked in (await old.reload(model="another"), await press(old, f"rewarm:notify:{OPEN}")):
        await old.server.wait_for(functools.partial(is_shown, old, asked, "The bot is restarting."))
    assert old.api.calls == []
    async with asyncio.timeout(10):  # what is open is left to it
        while not await newer.fetchval("SELECT is_open AND owner IS NULL FROM reloads WHERE id = $1", OPEN):
            await asyncio.sleep(0.05)
    await newer.close()


def test_every_setting_of_its_env_is_still_known(tmp_path: Path) -> None:
    named = re.findall(r"^([A-Z_]+)=", (OLD / "settings.env").read_text(), re.MULTILINE)
    assert [name for name in named if name.lower() not in Settings.model_fields] == []
    settings = load_settings(OLD / "settings.env")
    assert (settings.reload_seconds, settings.history_days) == (120, 90)
