"""Servers that remove the bot: forgotten immediately, or found later, with care; outages delete nothing."""

import asyncio
import sqlite3

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from bot.app import Rewarm
from bot.store.file import NAME as FILE_NAME
from tests.stand_ins.discord import Fault
from tests.stand_ins.model_api import Answer
from tests.wire import EPOCH, Wire, running, sleep_through

pytestmark = pytest.mark.usefixtures("virtual")
HOUR, YEAR = 3600.0, 365 * 86400.0


async def left_of(wire: Wire, bot: Rewarm) -> list[str]:
    """Return what the store still has about the server."""
    kept = ["key"] if await bot.store.key(wire.guild.id) else []
    return kept + ["reload" for _ in await bot.store.history(wire.guild.id)]


@pytest.fixture
async def stored(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, a countdown, and a stopped bot."""
    async with running(wire.settings(), monkeypatch):
        await wire.set_key()
        await wire.reload()


@pytest.mark.usefixtures("stored")
async def test_removal_that_was_missed_is_found_within_a_day(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.server.remove_guild(wire.guild)
    async with running(wire.settings(), monkeypatch) as bot:
        await asyncio.sleep(HOUR)
        assert "key" in await left_of(wire, bot), "one check is not enough"
        await asyncio.sleep(13 * HOUR)
        assert await left_of(wire, bot) == []


@pytest.mark.usefixtures("stored")
async def test_checks_before_and_after_a_restart_count_together(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.server.remove_guild(wire.guild)
    async with running(wire.settings(), monkeypatch) as bot:
        await asyncio.sleep(HOUR)
    await asyncio.sleep(6 * HOUR)
    async with running(wire.settings(), monkeypatch) as bot:
        await asyncio.sleep(HOUR)
        assert await left_of(wire, bot) == []


@pytest.mark.usefixtures("stored")
async def test_clock_that_is_set_ahead_between_two_checks_proves_nothing(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small computer without a battery-backed clock was a year ahead during its previous run."""
    wire.server.remove_guild(wire.guild)
    async with running(wire.settings(), monkeypatch, ahead=-YEAR):
        await asyncio.sleep(HOUR)
    async with running(wire.settings(), monkeypatch) as bot:
        await asyncio.sleep(900)
        assert "key" in await left_of(wire, bot), "one check of this process is not enough"
        wire.server.add_back(wire.guild)
        await asyncio.sleep(13 * HOUR)
        assert "key" in await left_of(wire, bot)


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("jump", [-YEAR, -HOUR, HOUR, YEAR])
async def test_checks_within_a_process_go_by_no_clock_that_can_be_set(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    wire.server.remove_guild(wire.guild)
    async with running(wire.settings(), monkeypatch) as bot:
        await asyncio.sleep(HOUR)
        bot.servers._now = lambda: EPOCH + asyncio.get_running_loop().time() + jump
        await asyncio.sleep(4 * HOUR)
        assert "key" in await left_of(wire, bot)
        looks = [r for r in wire.server.requests if r.route == "/users/@me/guilds"]
        await asyncio.sleep(2 * HOUR)
        assert await left_of(wire, bot) == []
    assert len(looks) == 1


@pytest.mark.usefixtures("stored")
async def test_checks_go_on_while_the_machine_sleeps_at_night(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.server.remove_guild(wire.guild)
    async with running(wire.settings(), monkeypatch) as bot:
        await asyncio.sleep(HOUR)
        sleep_through(8 * HOUR)
        await asyncio.sleep(60)
        assert await left_of(wire, bot) == []


@pytest.mark.usefixtures("stored")
async def test_restart_soon_after_a_check_proves_nothing(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    wire.server.remove_guild(wire.guild)
    for _ in range(3):
        async with running(wire.settings(), monkeypatch) as bot:
            await asyncio.sleep(HOUR)
            assert "key" in await left_of(wire, bot)


@pytest.mark.usefixtures("stored")
async def test_server_that_is_back_at_the_second_check_is_kept(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.server.remove_guild(wire.guild)
    async with running(wire.settings(), monkeypatch) as bot:
        await asyncio.sleep(HOUR)
        wire.server.add_back(wire.guild)
        await asyncio.sleep(13 * HOUR)
        assert "key" in await left_of(wire, bot)
        assert await bot.store.value("missing_servers") == {}


@pytest.mark.usefixtures("stored")
async def test_outage_keeps_everything_however_long(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(wire.settings(), monkeypatch) as bot:
        await wire.ready()
        wire.server.guild_outage(wire.guild)
        await asyncio.sleep(13 * HOUR)
        assert "key" in await left_of(wire, bot)


@pytest.mark.usefixtures("stored")
async def test_list_that_cannot_be_read_proves_nothing(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    wire.server.faults.append(Fault("GET", "/users/@me/guilds", times=1000, status=503))
    async with running(wire.settings(), monkeypatch) as bot:
        with capture_logs() as logs:
            await asyncio.sleep(13 * HOUR)
        assert "key" in await left_of(wire, bot)
    assert "servers.not_compared" in [line["event"] for line in logs]


async def test_many_servers_are_listed_page_by_page(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(450):
        wire.server.add_guild(f"server {number}")
    async with running(wire.settings(), monkeypatch) as bot:
        await wire.set_key()
        await asyncio.sleep(13 * HOUR)
        assert await left_of(wire, bot) == ["key"]
    assert wire.server.violations == []


async def test_removal_seen_live_stops_its_countdowns_immediately(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(wire.settings(), monkeypatch) as bot:
        await wire.set_key()
        asked = await wire.reload()
        await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
        wire.server.remove_guild(wire.guild)
        await asyncio.sleep(0.1)
        assert await left_of(wire, bot) == []
        calls = len(wire.server.requests)
        await asyncio.sleep(HOUR)
        assert [r for r in wire.server.requests[calls:] if r.route != "/users/@me/guilds"] == []


async def test_key_that_is_being_checked_while_the_server_leaves_is_not_stored(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slowly(_: object) -> web.StreamResponse:
        await asyncio.sleep(1)
        return web.json_response({"status": "success"})

    async with running(wire.settings(), monkeypatch) as bot:
        await wire.set_key()
        wire.api.balances = [Answer(handler=slowly)]
        modal = await wire.server.slash(wire.mod, wire.general, "key set")
        form = await wire.server.submit_modal(modal, {0: "another-key-0123456789"})
        wire.server.remove_guild(wire.guild)
        await asyncio.sleep(2)
        assert await left_of(wire, bot) == []
        assert "n't a member" in wire.reply(form).text


async def test_server_that_is_back_before_it_could_be_forgotten_keeps_its_new_key(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(wire.settings(), monkeypatch) as bot:
        await wire.set_key()
        other = sqlite3.connect(wire.folder / "data" / FILE_NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        wire.server.remove_guild(wire.guild)
        await asyncio.sleep(3.5)  # the first try fails after 3 s, the next begins at 4 s
        other.rollback()
        other.close()
        wire.server.add_back(wire.guild)
        await wire.set_key("new-key-0123456789abcdef")
        await asyncio.sleep(60)
        assert (await bot.keys.open(wire.guild.id)).secret.get_secret_value() == "new-key-0123456789abcdef"


@pytest.mark.usefixtures("stored")
async def test_server_that_is_back_while_the_list_is_read_keeps_its_new_key(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.server.remove_guild(wire.guild)
    async with running(wire.settings(), monkeypatch) as bot:
        await asyncio.sleep(HOUR)
        wire.server.faults = [Fault("GET", "/users/@me/guilds", late=20)]
        while wire.server.faults:
            await asyncio.sleep(5)
        wire.server.add_back(wire.guild)
        await asyncio.sleep(1)
        await wire.set_key("new-key-0123456789abcdef")
        await asyncio.sleep(60)
        assert (await bot.keys.open(wire.guild.id)).secret.get_secret_value() == "new-key-0123456789abcdef"


async def test_ask_in_the_instant_of_a_removal_leaves_nothing(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(wire.settings(), monkeypatch) as bot:
        await wire.set_key()
        for number in range(10):
            person = wire.server.add_member(wire.guild, "somebody")
            options = {"model_id": f"model-{number}"}
            await wire.server.slash(person, wire.general, "reload", options, wait=0)
            if number == 5:
                wire.server.remove_guild(wire.guild)
        await asyncio.sleep(300)
        assert await left_of(wire, bot) == []


async def test_key_is_not_taken_where_the_bot_has_only_its_commands(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bot could neither ping by channel nor notice a removal, and would forget the key within a day."""
    wire.server.guilds.remove(wire.guild)
    async with running(wire.settings(), monkeypatch):
        await wire.ready()
        said = wire.reply(await wire.server.slash(wire.mod, wire.general, "key set"))
    assert said.ephemeral
    assert "n't a member of this server" in said.text
    link = f"client_id={wire.server.application_id}&scope=bot+applications.commands&permissions=274877975552"
    assert f"(https://discord.com/oauth2/authorize?{link}&guild_id={wire.guild.id})" in said.text


@pytest.mark.usefixtures("stored")
async def test_a_check_that_meets_trouble_is_made_again_soon(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that does not live for hours would never compare."""
    async with running(wire.settings(), monkeypatch):
        await asyncio.sleep(100)
        wire.server.faults.append(Fault("GET", r"^/users/@me/guilds$", status=429))
        await asyncio.sleep(HOUR)
        looks = [request.status for request in wire.server.requests if request.route == "/users/@me/guilds"]
        assert looks == [429, 200]


@pytest.mark.usefixtures("stored")
async def test_checks_are_few_where_the_last_process_had_a_clock_that_was_ahead(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.server.remove_guild(wire.guild)
    async with running(wire.settings(), monkeypatch, ahead=HOUR):
        await asyncio.sleep(HOUR)
    wire.server.requests.clear()
    async with running(wire.settings(), monkeypatch):
        await asyncio.sleep(13 * HOUR)
        looks = [request for request in wire.server.requests if request.route == "/users/@me/guilds"]
    assert len(looks) <= 4, "after ten minutes, perhaps after twenty, then every six hours"
