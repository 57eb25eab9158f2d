"""One member cannot have the API called with the server's key again and again."""

import pytest

from bot.domain.member_calls import CALLS_PER_MEMBER
from tests.stand_ins.model_api import Answer, ModelApiServer
from tests.world import World, said

REFUSED = Answer({"status": "error", "message": "No credits"})


@pytest.fixture
async def busy(world: World, api: ModelApiServer) -> World:
    """Ana has made ten requests; the API refused each immediately, so none is open."""
    api.reloads = [REFUSED]
    for number in range(CALLS_PER_MEMBER):
        await world.reload(world.ana, f"model-{number}")
        await world.pass_time(1)
    assert len(api.calls) == CALLS_PER_MEMBER
    return world


async def test_the_eleventh_reload_in_a_minute_is_not_sent_and_says_when_it_works_again(
    busy: World, api: ModelApiServer
) -> None:
    told = said(await busy.reload(busy.ana, "model-11"))
    again = round(busy.env.now().timestamp()) + 50
    assert told == (
        "You've made 10 API requests within a minute, which is the limit per member. "
        f"You can make the next one <t:{again}:R>."
    )
    await busy.pass_time(5)
    assert len(api.calls) == CALLS_PER_MEMBER
    assert "model-11" not in busy.last().text
    await busy.pass_time(46)
    await busy.reload(busy.ana, "model-11")
    await busy.pass_time(1)
    assert len(api.calls) == CALLS_PER_MEMBER + 1


async def test_others_and_other_servers_go_on(busy: World, api: ModelApiServer) -> None:
    await busy.reload(busy.ben, "model-11")
    elsewhere = World(busy.env)
    await elsewhere.set_key()
    await elsewhere.reload(elsewhere.ana)
    await busy.pass_time(1)
    assert len(api.calls) == CALLS_PER_MEMBER + 2


async def test_a_join_is_no_request(busy: World, api: ModelApiServer) -> None:
    api.reloads = [Answer({"status": "success", "message": "Model is reloading"})]
    await busy.reload(busy.ben, "shared")
    told = said(await busy.reload(busy.ana, "shared"))
    assert "You'll be pinged" in told
    await busy.pass_time(125)
    assert busy.pings()[-1].pinged == {busy.ana.id, busy.ben.id}


async def test_what_sends_nothing_is_not_counted(world: World, api: ModelApiServer) -> None:
    """Joins, a second delivery of one event, no model's id."""
    await world.reload(world.ben, "shared")
    for _ in range(CALLS_PER_MEMBER):
        await world.reload(world.ana, "shared")
        await world.reload(world.ana, "no model")
    event = world.reload_event(world.ana, "mine")
    for _ in range(CALLS_PER_MEMBER):
        world.deliver(event)
    api.reloads = [REFUSED]
    for number in range(CALLS_PER_MEMBER - 1):
        await world.reload(world.ana, f"model-{number}")
        await world.pass_time(1)
    assert len(api.calls) == 2 + CALLS_PER_MEMBER - 1


async def test_an_event_that_comes_twice_is_not_refused_the_second_time(
    world: World, api: ModelApiServer
) -> None:
    api.reloads = [REFUSED]
    for number in range(CALLS_PER_MEMBER - 1):
        await world.reload(world.ana, f"model-{number}")
        await world.pass_time(1)
    event = world.reload_event(world.ana, "the-last")
    for _ in range(3):
        world.deliver(event)
        await world.pass_time(1)
    assert len(api.calls) == CALLS_PER_MEMBER
    assert world.last().word == "Failed"
    refusals = [r for r in world.env.http_requests if "within a minute" in str(r.json)]
    assert refusals == []


async def test_test_images_and_reload_again_count_too(world: World, api: ModelApiServer) -> None:
    await world.reload(world.ben)
    await world.pass_time(125)
    ready = world.last()
    api.reloads = [REFUSED]
    for number in range(CALLS_PER_MEMBER):
        await world.reload(world.ana, f"model-{number}")
        await world.pass_time(1)
    assert "within a minute" in said(await world.press(world.ana, "Reload again", ready))
    form = await world.press(world.ana, "Test image", ready)
    assert "within a minute" in said(await world.ana.submit_modal(form, {"prompt": "a cup"}))
    await world.pass_time(5)
    assert (len(api.calls), len(api.render_calls)) == (1 + CALLS_PER_MEMBER, 0)


async def test_keys_that_are_tried_out_count(world: World, api: ModelApiServer) -> None:
    """The moderator has stored one already: nine more are checked, and the tenth is not."""
    for number in range(CALLS_PER_MEMBER - 1):
        await world.set_key(f"a-guess-of-many-{number}")
    assert len(api.balance_calls) == CALLS_PER_MEMBER
    assert "within a minute" in said(await world.set_key("a-guess-too-many"))
    assert len(api.balance_calls) == CALLS_PER_MEMBER


async def test_key_status_asks_for_the_balance_no_more_often_and_shows_the_rest(
    world: World, api: ModelApiServer
) -> None:
    for _ in range(CALLS_PER_MEMBER - 1):
        await world.mod.slash(world.general, "key status")
    assert len(api.balance_calls) == CALLS_PER_MEMBER
    told = said(await world.mod.slash(world.general, "key status"))
    assert "within a minute" in told
    assert "ends in" in told
    assert len(api.balance_calls) == CALLS_PER_MEMBER
