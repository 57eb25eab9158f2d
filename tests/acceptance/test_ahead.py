"""*Test it too*: requested during the countdown, made at its end; taken back, refused, restarted."""

from collections.abc import Awaitable, Callable

import discord
import pytest
from simcord.actors import MemberActor
from simcord.backend.models import Overwrite
from simcord.enums import OverwriteType
from simcord.results import InteractionResult

from bot.reloads.image_story import TOO_LATE_AGE
from bot.words.buttons import TEST_PROMPT
from tests.stand_ins.model_api import Answer, ModelApiServer
from tests.world import World, said

Restart = Callable[[], Awaitable[None]]
TOO, YES, BACK = "Test it too", "Yes, test it", "Cancel the test"
READY = "`sdxl-turbo` should be ready: its 2 minutes are up (not tested yet)."
CONFIRMED = "`sdxl-turbo` is confirmed: it made your test image."
NO_CREDITS = {"status": "error", "message": "Insufficient credits"}


@pytest.fixture
async def counting(world: World) -> World:
    """Ana's reload has a minute to go."""
    await world.reload(world.ana)
    await world.pass_time(60)
    return world


async def click(result: InteractionResult, who: MemberActor, label: str) -> InteractionResult:
    assert result.response is not None
    return await who.click(result.response.message, label=label)


async def ask(world: World, who: MemberActor) -> InteractionResult:
    """Press *Test it too*, and say yes."""
    return await click(await world.press(who, TOO), who, YES)


async def later(world: World, seconds: int = 100) -> None:
    for _ in range(0, seconds, 10):  # simcord must be polled often while sockets are waited for
        await world.pass_time(10)


def pings(world: World) -> set[tuple[str, frozenset[int]]]:
    """Return each message and its recipients, once each."""
    found = [(ping.text.partition(" <@")[0], ping.pinged) for ping in world.pings()]
    assert len(set(found)) == len(found)
    return set(found)


async def forbid(world: World, who: MemberActor) -> None:
    [command] = [c for c in world.env.backend.commands[None].values() if c["name"] == "reload"]
    world.guild.set_command_permissions(int(command["id"]), {who: False})


async def test_the_tester_hears_confirmed_and_the_others_ready(counting: World, api: ModelApiServer) -> None:
    cost = said(asked := await counting.press(counting.ben, TOO))
    assert "**uses one generation**" in cost
    await counting.press(counting.ben, "Notify me")
    assert "you'll be pinged with the result" in said(await click(asked, counting.ben, YES))
    await later(counting, 50)
    assert api.render_calls == [], "not before its end"
    await later(counting, 50)
    [call] = api.render_calls
    assert call.body["prompt"] == TEST_PROMPT
    assert counting.last().word == "Confirmed"
    assert len(counting.pictures()) == 1
    assert pings(counting) == {(READY, only(counting.ana)), (CONFIRMED, only(counting.ben))}


def only(*people: MemberActor) -> frozenset[int]:
    return frozenset(person.id for person in people)


async def test_the_owner_who_tests_hears_it_once(counting: World, api: ModelApiServer) -> None:
    """Even if they did not want to hear about the reload."""
    await counting.press(counting.ana, "Don't notify me")
    await ask(counting, counting.ana)
    api.renders = [Answer(NO_CREDITS, 402)]
    await later(counting)
    why = "the API account is out of credits or over its limit, or its plan has expired."
    text = f"`sdxl-turbo` made no test image: {why}"
    assert pings(counting) == {(text, only(counting.ana))}
    assert len(api.render_calls) == 1


async def test_whoever_mutes_a_reload_that_they_test_is_told_what_still_pings_them(
    counting: World, api: ModelApiServer
) -> None:
    await ask(counting, counting.ben)
    muted = said(await counting.press(counting.ben, "Don't notify me"))
    assert muted == "You'll only be pinged about the test image you requested with `sdxl-turbo`."
    others = said(await counting.press(counting.ana, "Don't notify me"))
    assert others == "You won't be pinged about `sdxl-turbo`."
    await later(counting)
    assert pings(counting) == {(CONFIRMED, only(counting.ben))}


async def test_one_person_tests_and_it_is_theirs_to_take_back(counting: World, api: ModelApiServer) -> None:
    one = await ask(counting, counting.ben)
    refused = said(await counting.press(counting.ana, TOO))
    assert refused == (
        "A test image has already been requested for the end of the countdown. It will appear in the reply."
    )
    assert "you'll be pinged" in said(await counting.press(counting.ben, TOO)), "it offers to take it back"
    assert said(await click(one, counting.ben, BACK)) == "`sdxl-turbo` won't make a test image."
    await later(counting)
    assert api.render_calls == []
    assert pings(counting) == {(READY, only(counting.ana))}
    assert counting.last().word == "Ready"


async def test_whoever_takes_it_back_leaves_it_to_another(counting: World, api: ModelApiServer) -> None:
    await click(await ask(counting, counting.ben), counting.ben, BACK)
    await ask(counting, counting.mod)
    await later(counting)
    assert len(api.render_calls) == 1
    assert (CONFIRMED, only(counting.mod)) in pings(counting)


async def test_it_outlives_restarts(counting: World, api: ModelApiServer, restart: Restart) -> None:
    await ask(counting, counting.ben)
    await restart()
    await later(counting)
    await restart()
    await later(counting, 30)
    assert len(api.render_calls) == 1
    assert counting.last().word == "Confirmed"
    assert pings(counting) == {(READY, only(counting.ana)), (CONFIRMED, only(counting.ben))}


async def test_over_ten_minutes_late_nothing_is_sent(
    counting: World, api: ModelApiServer, restart: Restart
) -> None:
    await ask(counting, counting.ben)
    counting.env.backend.advance_clock(60 + TOO_LATE_AGE + 5)
    await restart()
    await later(counting, 30)
    assert api.render_calls == []
    why = "the end of the countdown was announced too late; nothing was sent."
    assert why in counting.last().text
    text = f"`sdxl-turbo` made no test image: {why}"
    assert (text, only(counting.ben)) in pings(counting)


async def test_the_right_is_looked_at_again(counting: World, api: ModelApiServer) -> None:
    await ask(counting, counting.ben)
    await forbid(counting, counting.ben)
    await later(counting)
    assert api.render_calls == []
    assert "couldn't confirm that whoever requested it may still use" in counting.last().text
    assert len(pings(counting)) == 2


COMMANDS = discord.Permissions(use_application_commands=True).value


def let_use_commands(world: World, *, server: bool, channel: bool) -> None:
    """Let @everyone use commands in the server, in the reload's channel, in both or in neither."""
    backend, everyone = world.env.backend, world.guild.default_role
    known = backend.get_role(world.guild.id, everyone.id).permissions
    backend.edit_role(world.guild.id, everyone.id, {"permissions": known & ~COMMANDS | COMMANDS * server})
    said = Overwrite(everyone.id, OverwriteType.ROLE, COMMANDS * channel, COMMANDS * (not channel))
    backend.set_overwrite(world.general.id, said)


async def test_commands_that_only_their_channel_allows_are_allowed(
    counting: World, api: ModelApiServer
) -> None:
    let_use_commands(counting, server=False, channel=True)
    await ask(counting, counting.ben)
    await later(counting)
    assert len(api.render_calls) == 1
    assert (CONFIRMED, only(counting.ben)) in pings(counting)


async def test_commands_that_their_channel_has_come_to_forbid_are_forbidden(
    counting: World, api: ModelApiServer
) -> None:
    await ask(counting, counting.ben)
    let_use_commands(counting, server=True, channel=False)
    await later(counting)
    assert api.render_calls == []
    assert "couldn't confirm that whoever requested it may still use" in counting.last().text


async def test_the_key_is_looked_at_again(counting: World, api: ModelApiServer) -> None:
    await ask(counting, counting.ben)
    await counting.remove_key()
    await later(counting)
    assert api.render_calls == []
    assert "no longer has a working API key" in counting.last().text
    assert len(pings(counting)) == 2


async def choose_cap(world: World, value: str) -> None:
    panel = await world.mod.slash(world.general, "settings")
    assert panel.response is not None
    await world.mod.select(panel.response.message, [value], custom_id="rewarm:set:tests")


async def test_it_has_a_place_among_the_days_and_leaves_it_when_taken_back(
    counting: World, api: ModelApiServer
) -> None:
    await choose_cap(counting, "1")
    asked = await ask(counting, counting.ben)
    await counting.reload(counting.ana, "dream-shaper-8797")
    other = said(await counting.press(counting.ben, TOO))
    assert other.startswith("You've made 1 test image in the last 24 hours"), "before it says what it costs"
    await click(asked, counting.ben, BACK)
    assert "you'll be pinged" in said(await ask(counting, counting.ben))
    await later(counting, 140)
    assert [call.body["model_id"] for call in api.render_calls] == ["dream-shaper-8797"]
    await counting.reload(counting.ana, "anything-v3")
    assert said(await counting.press(counting.ben, TOO)).startswith("You've made 1 test image"), "it was made"


async def test_the_cap_is_looked_at_again(counting: World, api: ModelApiServer) -> None:
    await ask(counting, counting.ben)
    await choose_cap(counting, "0")
    await later(counting)
    assert api.render_calls == []
    why = "moderators now allow fewer test images per day; nothing was sent."
    assert why in counting.last().text
    assert (f"`sdxl-turbo` made no test image: {why}", only(counting.ben)) in pings(counting)
    await choose_cap(counting, "1")
    form = (await counting.press(counting.ben, "Test image")).modal
    assert form is not None, "its place was given back"


async def test_it_needs_what_test_image_needs(counting: World) -> None:
    asked = await counting.press(counting.ben, TOO)
    await forbid(counting, counting.ben)
    assert "not allowed to use" in said(await click(asked, counting.ben, YES))
    assert "not allowed to use" in said(await counting.press(counting.ben, TOO))


async def test_a_reload_that_fails_tells_them_and_tests_nothing(world: World, api: ModelApiServer) -> None:
    slow_down = {"status": "error", "message": "Rate limit exceeded", "retry_after": 40}
    api.reloads = [Answer(slow_down, 429), Answer(NO_CREDITS, 402)]
    await world.reload(world.ana)
    await world.pass_time(20)
    await ask(world, world.ben)
    await later(world, 60)
    assert world.last().word == "Failed"
    text = "`sdxl-turbo` was not reloaded. The reply says why."
    assert pings(world) == {(text, only(world.ana, world.ben))}
    assert api.render_calls == []


async def test_after_the_end_it_is_too_late(counting: World, api: ModelApiServer) -> None:
    asked = await counting.press(counting.ben, TOO)
    await later(counting)
    assert said(await click(asked, counting.ben, YES)).startswith("This reload is over")
    assert api.render_calls == []
