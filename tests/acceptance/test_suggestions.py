"""Suggestions of `/reload`: this server's models first, then the API's public ones, forgiving typos."""

from collections.abc import Awaitable, Callable

import pytest

from tests.stand_ins.model_api import LIST, Answer, ModelApiServer
from tests.world import World

Restart = Callable[[], Awaitable[None]]


async def suggested(world: World, typed: str) -> list[str]:
    choices = await world.ana.autocomplete(world.general, "reload", "model_id", typed)
    return [str(choice["value"]) for choice in choices]


@pytest.fixture
async def listed(world: World) -> World:
    """The public list has been fetched."""
    await world.env.advance_time(90)
    return world


async def test_before_the_list_is_there_own_models_are_suggested(world: World) -> None:
    await world.reload(model="ours")
    assert await suggested(world, "") == ["ours"]


async def test_own_models_come_first_then_public_ones(listed: World) -> None:
    await listed.reload(model="vision-of-ours")
    assert await suggested(listed, "") == ["vision-of-ours", "midjourney", "realistic-vision"]
    assert await suggested(listed, "vision") == ["vision-of-ours", "realistic-vision", "vision"]


async def test_what_is_used_often_comes_before_what_was_used_once(listed: World) -> None:
    for model in ("often", "often", "once"):
        await listed.reload(model=model)
        await listed.env.advance_time(155)
    assert (await suggested(listed, ""))[:2] == ["often", "once"]


async def test_and_what_is_used_lately_before_what_was_used_often_long_ago(listed: World) -> None:
    for _ in range(2):
        await listed.reload(model="long-ago")
        await listed.env.advance_time(155)
    await listed.days(30)
    await listed.reload(model="lately")
    assert (await suggested(listed, ""))[:2] == ["lately", "long-ago"]


async def test_a_typo_is_understood_in_both(listed: World) -> None:
    await listed.reload(model="our-private-model")
    assert await suggested(listed, "midjorney") == ["midjorney", "midjourney"]
    assert await suggested(listed, "privat model") == ["our-private-model"]


async def test_what_is_typed_is_never_replaced(listed: World) -> None:
    """Discord preselects the first: Enter, Enter would reload a model other than the typed one."""
    await listed.reload(model="another-model")
    assert await suggested(listed, "my-own-model-v2") == ["my-own-model-v2", "another-model"]
    await listed.reload(model="my-own")
    await listed.reload(model="my-own-model")
    await listed.env.advance_time(155)
    await listed.reload(model="my-own-model")
    assert await suggested(listed, "MY-O") == ["my-own-model", "my-own", "MY-O"], "one of those is meant"
    assert await suggested(listed, "my-own") == ["my-own", "my-own-model"], "typed in full"
    assert "two words" not in await suggested(listed, "two words")
    await listed.reload(model="ours-is-realistic")
    expected = ["realistic-vision", "ours-is-realistic", "realistic"]
    assert await suggested(listed, "realistic") == expected, "preselected is what was begun"


async def test_a_public_model_says_its_name(world: World, api: ModelApiServer) -> None:
    api.lists = [Answer([*LIST, {"model_id": "x-1", "model_name": "Something <@123> else"}])]
    await world.env.advance_time(90)
    _, choice = await world.ana.autocomplete(world.general, "reload", "model_id", "something")
    assert (choice["name"], choice["value"]) == ("x-1 · Something <@123> else", "x-1")


async def test_no_server_sees_anothers_models(listed: World) -> None:
    elsewhere = World(listed.env)
    await elsewhere.set_key()
    await elsewhere.reload(model="their-secret")
    for typed in ("", "their", "secret", "thier"):
        assert "their-secret" not in await suggested(listed, typed)


async def test_it_is_there_at_once_after_a_restart(
    listed: World, api: ModelApiServer, restart: Restart
) -> None:
    await restart()
    assert await suggested(listed, "midjorney") == ["midjorney", "midjourney"]
    assert len(api.list_calls) == 1


async def test_there_are_at_most_25(world: World, api: ModelApiServer) -> None:
    api.lists = [Answer([{"model_id": f"model-{n}", "model_name": "x" * 200} for n in range(60)])]
    await world.env.advance_time(90)
    await world.reload(model="model-7")
    choices = await world.ana.autocomplete(world.general, "reload", "model_id", "model")
    assert len(choices) == 25
    assert choices[0]["value"] == "model-7"
    assert len({choice["value"] for choice in choices}) == 25
    assert choices[-1]["value"] == "model"
    assert all(1 <= len(choice["name"]) <= 100 for choice in choices)


async def test_a_pasted_page_suggests_its_own_model_first(listed: World) -> None:
    await listed.reload(model="unknown-model")
    assert (await suggested(listed, "https://modelslab.com/models/realistic-visio"))[0] == "realistic-visio"
    assert (await suggested(listed, "modelslab.com/models/midjourney")) == ["midjourney"]
