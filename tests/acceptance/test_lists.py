"""/models and /help: what people see there, on any page, before and after a restart."""

from collections.abc import Awaitable, Callable

import pytest
import simcord
from simcord.actors import MemberActor
from simcord.results import InteractionResult

from bot.app import Rewarm
from tests.stand_ins.discord import flat
from tests.stand_ins.model_api import Answer, ModelApiServer
from tests.world import World, said, texts

Restart = Callable[[], Awaitable[None]]
MENU = 3


async def models(world: World, who: MemberActor | None = None) -> InteractionResult:
    return await (who or world.ana).slash(world.general, "models")


def shown(result: InteractionResult) -> str:
    """What a private layout says."""
    assert result.response is not None
    assert result.response.ephemeral
    return texts(result.response.components)


async def choose(
    world: World, result: InteractionResult, model: str, who: MemberActor | None = None
) -> InteractionResult:
    assert result.response is not None
    return await (who or world.ana).select(result.response.message, [model])


async def press(world: World, result: InteractionResult, label: str) -> InteractionResult:
    assert result.response is not None
    return await world.ana.click(result.response.message, label=label)


async def test_nothing_yet(world: World) -> None:
    assert shown(await models(world)) == "Nobody has reloaded a model in this server yet."


async def test_reloading_warm_and_cold(world: World, api: ModelApiServer) -> None:
    await world.reload(model="cold")
    await world.env.advance_time(125)
    await world.days(8)
    await world.reload(model="warm")
    await world.env.advance_time(125)
    await world.reload(model="now")
    await world.env.advance_time(60)
    text = shown(await models(world))
    assert "**Reloading now**\n`now` 1\u00a0min left: https://discord.com/channels/" in text
    assert "**Warm**\n`warm` until <t:" in text
    assert "**Cold**\n`cold` since <t:" in text
    assert "It can't see use elsewhere." in text
    assert len(api.calls) == 3, "looking costs no call"


async def test_one_model_and_its_reload(world: World, api: ModelApiServer) -> None:
    await world.reload(world.ben)
    await world.env.advance_time(125)
    api.reloads = [Answer({"status": "error", "message": "Insufficient credits"}, 402)]
    await world.reload(world.ben)
    await world.env.advance_time(1)
    one = await choose(world, await models(world), "sdxl-turbo")
    text = shown(one)
    assert text.startswith("**Warm** `sdxl-turbo`\nuntil <t:")
    assert [line.partition(" · ")[2] for line in text.splitlines() if " · " in line] == ["Failed", "Ready"]
    await press(world, one, "Reload")
    assert world.last().word == "Waiting", "the API refuses the same again within 30 s"
    assert f"Requested by <@{world.ana.id}>" in world.last().text


async def test_the_same_model_can_be_looked_at_twice(world: World) -> None:
    """Discord's app remembers what was chosen in a menu by its id, and sends nothing for the same again."""
    await world.reload()
    await world.env.advance_time(125)
    listed = await models(world)
    menus = []
    for _ in range(2):
        assert listed.response is not None
        menus += [part for part in flat(listed.response.components) if part["type"] == MENU]
        one = await choose(world, listed, "sdxl-turbo")
        assert "**Warm** `sdxl-turbo`" in shown(one)
        await world.env.advance_time(1)
        listed = await press(world, one, "All models")
    first, second = (menu["custom_id"] for menu in menus)
    assert first != second


async def test_only_moderators_see_who(world: World) -> None:
    await world.reload(world.ben)
    await world.env.advance_time(125)
    member = await choose(world, await models(world), "sdxl-turbo")
    assert "<@" not in shown(member)
    mod = await choose(world, await models(world, world.mod), "sdxl-turbo", world.mod)
    assert f"Ready · <@{world.ben.id}>" in shown(mod)


async def test_pages(world: World, restart: Restart) -> None:
    for n in range(12):
        await world.reload(model=f"model-{n:02}")
        await world.env.advance_time(125)
    first = await models(world)
    assert "Page 1 of 2" in shown(first)
    assert "model-11" in shown(first)
    assert "model-01" not in shown(first)
    await restart()
    second = await press(world, first, "Next")
    assert "Page 2 of 2" in shown(second)
    assert "model-01" in shown(second)
    one = await choose(world, second, "model-01")
    assert "**Warm** `model-01`" in shown(one)
    assert "Page 2 of 2" in shown(await press(world, one, "All models"))


async def test_a_page_from_before_changes_shows_what_is_now(world: World) -> None:
    for n in range(11):
        await world.reload(model=f"model-{n:02}")
        await world.env.advance_time(125)
    second = await press(world, await models(world), "Next")
    assert isinstance(world.env.bot, Rewarm)
    await world.env.bot.store.expire(world.env.bot.now() - 125 * 5, 0.0)
    one = await choose(world, second, "model-00")
    assert "This server's models" in shown(one), "what is forgotten leads back to the list"
    assert "Page" not in shown(one)


async def test_a_list_shows_this_server_only(world: World) -> None:
    elsewhere = World(world.env)
    await elsewhere.set_key()
    await elsewhere.reload(elsewhere.ana, "theirs")
    assert "theirs" not in shown(await models(world))


async def test_help_has_tappable_commands(world: World) -> None:
    text = said(await world.ana.slash(world.general, "help"))
    assert "</reload:" in text
    assert "</models:" in text
    assert "/key" not in text
    assert "Questions" not in text
    assert "</key set:" in said(await world.mod.slash(world.general, "help"))
    assert len(text) < 400
    assert "takes about 2 min, shows a countdown" in text


async def test_help_says_where_to_ask(with_support: None, world: World) -> None:
    text = said(await world.ana.slash(world.general, "help"))
    assert text.endswith("\nQuestions: https://example.com/help")


@pytest.fixture
def with_support(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPPORT_URL", "https://example.com/help")


async def test_joining_a_server_posts_nothing(env: simcord.Env) -> None:
    before = len(env.backend.transcript)
    World(env)
    env.create_guild("another")
    await env.advance_time(60)
    assert [name for _, name, _ in env.backend.transcript[before:] if name == "MESSAGE_CREATE"] == []
