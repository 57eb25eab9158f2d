"""The buttons of a reply: who is pinged, asking again; permissions and state are checked with each press."""

from collections.abc import Awaitable, Callable
from typing import Any

import discord
import pytest
import simcord
from simcord.actors import MemberActor

from bot.app import Rewarm
from bot.domain.reload import Asker, Outcome, Reload, State
from tests.stand_ins.model_api import Answer, ModelApiServer
from tests.world import Seen, World, said

Restart = Callable[[], Awaitable[None]]
NOTIFY, MUTE, AGAIN, TEST = "Notify me", "Don't notify me", "Reload again", "Test image"
TOO = "Test it too"


async def test_a_countdown_offers_pings_and_an_ending_what_comes_next(world: World) -> None:
    await world.reload()
    assert world.buttons() == [NOTIFY, MUTE, TOO]
    await world.env.advance_time(125)
    assert world.buttons() == [AGAIN, TEST]


@pytest.mark.parametrize(
    "answer", [Answer({"status": "error", "message": "No credits"}), Answer(b"<html>", 502)]
)
async def test_what_is_not_ready_cannot_be_tested(world: World, api: ModelApiServer, answer: Answer) -> None:
    api.reloads = [answer]
    await world.reload()
    await world.env.advance_time(1)
    assert world.buttons() == [AGAIN]


async def test_notify_me_joins(world: World, api: ModelApiServer) -> None:
    await world.reload(world.ana)
    await world.env.advance_time(75)
    assert said(await world.press(world.ben, NOTIFY)) == (
        "You'll be pinged when `sdxl-turbo` is ready, in about 45 s."
    )
    await world.env.advance_time(5)
    assert f"Requested by <@{world.ana.id}>, <@{world.ben.id}>" in world.last().text
    await world.env.advance_time(50)
    [ping] = world.pings()
    assert ping.pinged == {world.ana.id, world.ben.id}
    assert len(api.calls) == 1


async def test_do_not_notify_me(world: World) -> None:
    await world.reload(world.ana)
    await world.press(world.ben, NOTIFY)
    assert said(await world.press(world.ana, MUTE)) == "You won't be pinged about `sdxl-turbo`."
    await world.env.advance_time(125)
    [ping] = world.pings()
    assert ping.pinged == {world.ben.id}
    assert world.last().word == "Ready"


async def test_nobody_wants_to_be_pinged(world: World) -> None:
    await world.reload(world.ana)
    await world.press(world.ana, MUTE)
    await world.press(world.ben, MUTE)
    await world.env.advance_time(125)
    assert world.pings() == []
    assert world.last().word == "Ready"


@pytest.mark.parametrize("how", ["button", "command"])
async def test_who_asks_again_is_pinged_after_all(world: World, how: str) -> None:
    await world.reload(world.ana)
    await world.press(world.ana, MUTE)
    await (world.press(world.ana, NOTIFY) if how == "button" else world.reload(world.ana))
    await world.env.advance_time(125)
    [ping] = world.pings()
    assert ping.pinged == {world.ana.id}


async def test_what_was_pressed_survives_a_restart(world: World, restart: Restart) -> None:
    await world.reload(world.ana)
    await world.press(world.ben, NOTIFY)
    await world.press(world.ana, MUTE)
    await restart()
    await world.env.advance_time(125)
    [ping] = world.pings()
    assert ping.pinged == {world.ben.id}


async def test_buttons_from_before_a_restart_work(world: World, restart: Restart) -> None:
    await world.reload(world.ana)
    await restart()
    said(await world.press(world.ben, NOTIFY))
    await world.env.advance_time(125)
    [ping] = world.pings()
    assert ping.pinged == {world.ana.id, world.ben.id}


async def test_while_waiting_for_its_turn_too(world: World, api: ModelApiServer) -> None:
    slow = {"status": "error", "message": "Rate limit exceeded", "retry_after": 20}
    api.reloads = [Answer(slow, 429), *api.reloads]
    await world.reload(world.ana)
    assert (world.last().word, world.buttons()) == ("Waiting", [NOTIFY, MUTE, TOO])
    assert said(await world.press(world.ben, NOTIFY)) == "You'll be pinged when `sdxl-turbo` is ready."


async def test_reload_again_is_a_new_reload_by_who_pressed(world: World, api: ModelApiServer) -> None:
    await world.reload(world.ana)
    await world.env.advance_time(125)
    first = world.last()
    await world.press(world.ben, AGAIN)
    await world.env.advance_time(125)
    again = world.last()
    assert again.message != first.message
    assert (again.word, f"Requested by <@{world.ben.id}>" in again.text) == ("Ready", True)
    assert [ping.pinged for ping in world.pings()] == [{world.ana.id}, {world.ben.id}]
    assert len(api.calls) == 2


async def test_reload_again_twice_joins(world: World, api: ModelApiServer) -> None:
    await world.reload(world.ana)
    await world.env.advance_time(125)
    first = world.last()
    await world.press(world.ana, AGAIN, first)
    assert "is already reloading" in said(await world.press(world.ben, AGAIN, first))
    assert len(api.calls) == 2


async def test_reload_again_works_after_a_restart_and_days_later(
    world: World, api: ModelApiServer, restart: Restart
) -> None:
    await world.reload(world.ana)
    await world.env.advance_time(125)
    await world.days(3)
    await restart()
    await world.press(world.ben, AGAIN)
    assert world.last().word == "Reloading"
    assert len(api.calls) == 2


# --- What is long over, and what is not allowed -----------------------------------------------------------


def pressed_late(world: World) -> Seen:
    """The countdown as it stands on somebody's screen that has not been drawn anew."""
    return next(seen for seen in world.replies() if seen.word == "Reloading")


async def press_stale(world: World, who: MemberActor, custom_id: str) -> str:
    """Press what stood there a moment ago: the click is on its way while the message changes."""
    message = world.last()
    stored = world.env.backend.get_message(message.channel, message.message)
    row = {"type": 1, "components": [{"type": 2, "style": 2, "label": "old", "custom_id": custom_id}]}
    stored.components[-1] = row
    return said(await who.click(world.message(message), custom_id=custom_id))


async def only(bot: Any) -> Reload:
    assert isinstance(bot, Rewarm)
    [server] = await bot.store.servers()
    return (await bot.store.history(server))[0]


@pytest.mark.parametrize("what", ["notify", "mute"])
async def test_a_press_that_comes_after_the_ending(world: World, what: str) -> None:
    await world.reload(world.ana)
    await world.env.advance_time(125)
    reload = await only(world.env.bot)
    text = await press_stale(world, world.ben, f"rewarm:{what}:{reload.id}")
    assert text.startswith("This reload is over; see its reply. Use </reload:")


@pytest.mark.parametrize("what", ["notify", "mute", "again", "test"])
async def test_a_press_on_what_is_forgotten(world: World, what: str) -> None:
    await world.reload(world.ana)
    reload = await only(world.env.bot)
    await world.env.advance_time(125)
    bot = bot_of(world)
    await bot.store.expire(bot.now(), bot.now())
    text = await press_stale(world, world.ben, f"rewarm:{what}:{reload.id}")
    assert text.startswith("This reload is too old; the bot no longer remembers it. Use </reload:")


@pytest.mark.parametrize("what", ["notify", "mute", "again", "test"])
async def test_a_made_up_id_reaches_no_other_server(world: World, api: ModelApiServer, what: str) -> None:
    elsewhere = World(world.env)
    await elsewhere.set_key()
    await elsewhere.reload(elsewhere.ana, "their-secret-model")
    theirs = (await bot_of(world).store.history(elsewhere.guild.id))[0]
    await world.reload(world.ana)
    text = await press_stale(world, world.ben, f"rewarm:{what}:{theirs.id}")
    assert "no longer remembers it" in text
    assert "their-secret-model" not in text
    await world.env.advance_time(125)
    assert len(api.calls) == 2
    assert world.ben.id not in {user for ping in world.pings() for user in ping.pinged}


def bot_of(world: World) -> Rewarm:
    assert isinstance(world.env.bot, Rewarm)
    return world.env.bot


@pytest.mark.parametrize(
    "custom_id",
    ["rewarm:again:", "rewarm:again:x", "rewarm:drop:1", "rewarm:again:1:2", "rewarm:again:" + "9" * 40],
)
async def test_what_we_never_made_does_nothing(world: World, api: ModelApiServer, custom_id: str) -> None:
    await world.reload(world.ana)
    message = world.last()
    stored = world.env.backend.get_message(message.channel, message.message)
    row = {"type": 1, "components": [{"type": 2, "style": 2, "label": "odd", "custom_id": custom_id}]}
    stored.components[-1] = row
    result = await world.ben.click(world.message(message), custom_id=custom_id)
    assert result.response is None
    assert len(api.calls) == 1


async def test_an_id_beyond_any_number_of_discords_is_forgotten(world: World) -> None:
    await world.reload(world.ana)
    assert "no longer remembers it" in await press_stale(world, world.ben, "rewarm:again:" + "9" * 20)


async def test_reload_again_needs_the_right_to_reload(world: World, api: ModelApiServer) -> None:
    await world.reload(world.ana)
    await world.env.advance_time(125)
    [command] = [c for c in world.env.backend.commands[None].values() if c["name"] == "reload"]
    world.guild.set_command_permissions(
        int(command["id"]), {world.ana: True, world.guild.default_role: False}
    )
    text = said(await world.press(world.ben, AGAIN))
    assert text == f"You're not allowed to use </reload:{command['id']}> here. Ask a moderator."
    assert len(api.calls) == 1
    await world.press(world.ana, AGAIN)
    assert len(api.calls) == 2


async def test_without_a_word_of_discord_the_command_is_offered(
    env: simcord.Env, world: World, api: ModelApiServer
) -> None:
    await world.reload(world.ana)
    await env.advance_time(125)
    env.inject_error("GET", "*/permissions", status=500, times=None)
    text = said(await world.press(world.ben, AGAIN))
    assert text.startswith("Discord didn't tell us whether you're allowed to do this. Use </reload:")
    assert len(api.calls) == 1


async def test_without_a_key_the_button_says_so(world: World, api: ModelApiServer) -> None:
    await world.reload(world.ana)
    await world.env.advance_time(125)
    await world.remove_key()
    assert said(await world.press(world.ben, AGAIN)).startswith("This server has no API key yet.")
    assert len(api.calls) == 1


async def test_a_muted_owner_whose_reply_is_gone_is_told_without_a_mention(world: World) -> None:
    await world.reload(world.ana)
    await world.press(world.ana, MUTE)
    reply = world.last()
    world.env.backend.delete_message(reply.channel, reply.message)
    await world.env.advance_time(125)
    [alone] = [seen for seen in world.seen() if seen.message != reply.message]
    assert alone.text.startswith("**Ready** `sdxl-turbo`")
    assert alone.pinged == frozenset()
    assert world.message(alone).flags.suppress_notifications, "it makes no sound either"


async def test_nothing_is_left_in_discord_pys_view_store(world: World) -> None:
    await world.reload(world.ana)
    await world.env.advance_time(125)
    await world.ana.slash(world.general, "models")
    await world.press(world.ana, TEST)
    store = world.env.bot._connection._view_store
    assert (store._views, store._modals, store._synced_message_views) == ({}, {}, {})


def test_outcomes_of_tests_end_no_reload() -> None:
    owner = Asker(1, 2, "t")
    assert Reload(1, 2, "m", (owner,), 0.0, 1.0, State.ENDED, outcome=Outcome.ACCEPTED).test is None


async def test_in_a_thread_its_channels_rule_counts(world: World, api: ModelApiServer) -> None:
    channel = world.env.bot.get_channel(world.general.id)
    assert isinstance(channel, discord.TextChannel)
    await channel.create_thread(name="pictures", type=discord.ChannelType.public_thread)
    [thread] = world.general.threads
    await world.reload(world.ana, where=thread)
    await world.env.advance_time(125)
    [command] = [c for c in world.env.backend.commands[None].values() if c["name"] == "reload"]
    world.guild.set_command_permissions(int(command["id"]), {world.general: False})
    assert "not allowed to use" in said(await world.press(world.ben, AGAIN))
    world.guild.set_command_permissions(int(command["id"]), {world.art: False})
    await world.press(world.ben, AGAIN)
    assert len(api.calls) == 2
