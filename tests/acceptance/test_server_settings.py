"""/settings: one private panel for pings, the language, and where a watched model is announced."""

from collections.abc import Awaitable, Callable
from typing import Any

from simcord.actors import MemberActor
from simcord.results import InteractionResult

from bot.app import Rewarm
from bot.domain.rows import ServerSettings
from tests.acceptance.test_lists import shown
from tests.acceptance.test_watches import told, watch
from tests.stand_ins.discord import flat
from tests.wire import Wire
from tests.world import World, said

Restart = Callable[[], Awaitable[None]]
NOTIFY = "Notify me"


async def panel(world: World) -> InteractionResult:
    return await world.mod.slash(world.general, "settings")


async def choose(
    world: World, shown: InteractionResult, what: str, values: list[Any], who: MemberActor | None = None
) -> InteractionResult:
    assert shown.response is not None
    custom_id = f"rewarm:set:{what}"
    return await (who or world.mod).select(shown.response.message, values, custom_id=custom_id)


def chosen(result: InteractionResult) -> dict[str, list[str]]:
    """Return the current choice of each menu."""
    assert result.response is not None
    menus = [part for part in flat(result.response.components) if part["type"] in (3, 8)]
    assert all(menu.get("placeholder") for menu in menus), "it names the menu to a screen reader"
    return {
        menu["custom_id"].rpartition(":")[2]: [
            o["value"] for o in menu.get("options", ()) if o.get("default")
        ]
        + [str(value["id"]) for value in menu.get("default_values") or ()]
        for menu in menus
    }


async def test_the_panel_shows_what_is_chosen(world: World, restart: Restart) -> None:
    first = await panel(world)
    assert chosen(first) == {
        "ping": ["all"],
        "language": ["auto"],
        "tests": ["10"],
        "channel": [],
        "news": [],
    }
    assert "Server settings" in shown(first)
    await choose(world, first, "ping", ["some"])
    await choose(world, first, "language", ["de"])
    await choose(world, first, "tests", ["None"])
    last = await choose(world, first, "channel", [world.art])
    expected = {
        "ping": ["some"],
        "language": ["de"],
        "tests": ["None"],
        "channel": [str(world.art.id)],
        "news": [],
    }
    assert chosen(last) == expected
    await restart()
    assert chosen(await panel(world)) == expected


async def test_a_panel_from_before_a_restart_works(world: World, restart: Restart) -> None:
    first = await panel(world)
    await restart()
    await choose(world, first, "ping", ["some"])
    assert await bot_of(world).store.settings(world.guild.id) == ServerSettings(quiet=True)


def bot_of(world: World) -> Rewarm:
    assert isinstance(world.env.bot, Rewarm)
    return world.env.bot


async def test_only_who_presses_notify_me_is_pinged(world: World) -> None:
    await choose(world, await panel(world), "ping", ["some"])
    await world.reload(world.ana)
    await world.press(world.ben, NOTIFY)
    assert "Press *Notify me* there if you want a ping." in said(await world.reload(world.mod))
    await world.env.advance_time(125)
    [ping] = world.pings()
    assert ping.pinged == {world.ben.id}
    assert world.last().word == "Ready"
    assert f"<@{world.ana.id}>" in world.last().text


async def test_who_pressed_it_and_asks_again_is_still_pinged(world: World) -> None:
    await choose(world, await panel(world), "ping", ["some"])
    await world.reload(world.ana)
    await world.press(world.ana, NOTIFY)
    await world.reload(world.ana)
    await world.env.advance_time(125)
    [ping] = world.pings()
    assert ping.pinged == {world.ana.id}


async def test_a_watched_model_is_announced_where_the_settings_say(world: World) -> None:
    await choose(world, await panel(world), "channel", [world.art])
    await world.reload(world.ben)
    await world.env.advance_time(125)
    await watch(world)
    await world.days(6)
    await world.hours(3)
    [soon] = told(world)
    assert soon.channel == world.art.id


async def test_a_channel_can_be_taken_back(world: World) -> None:
    first = await panel(world)
    await choose(world, first, "channel", [world.art])
    last = await choose(world, first, "channel", [])
    assert chosen(last)["channel"] == []


async def test_it_goes_with_the_server(world: World) -> None:
    await choose(world, await panel(world), "ping", ["some"])
    world.env.backend.remove_guild(world.guild.id)
    await world.env.settle()
    assert await bot_of(world).store.settings(world.guild.id) == ServerSettings()
    assert await bot_of(world).store.servers() == set()


async def test_over_sockets(virtual: None, wire: Wire, bot: Rewarm) -> None:
    opened = await wire.server.slash(wire.mod, wire.general, "settings")
    message = wire.reply(opened)
    assert opened.ephemeral
    await wire.server.choose(wire.mod, message, "some", "rewarm:set:ping")
    await wire.server.choose(wire.mod, message, str(wire.art.id), "rewarm:set:channel")
    wire.art.may_send = False
    await wire.server.choose(wire.mod, message, "fr", "rewarm:set:language")
    assert await bot.store.settings(wire.guild.id) == ServerSettings(True, "fr", wire.art.id)
    refused = await wire.server.choose(wire.ben, message, "all", "rewarm:set:ping")
    assert "Manage Server" in wire.reply(refused).text
    assert (await bot.store.settings(wire.guild.id)).quiet
    assert wire.server.violations == []
