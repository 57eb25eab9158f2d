"""Channels that are hidden from the bot, threads, and channels of a type that discord.py does not know."""

import asyncio
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from bot.app import Rewarm
from bot.domain.rows import ServerSettings
from tests.acceptance.test_press import TEST, ended, shows
from tests.stand_ins.discord import Channel, Interaction, Message, flat
from tests.stand_ins.discord.state import FORUM, HIDDEN_NAME, NEWS, VOICE
from tests.wire import Wire, running

pytestmark = pytest.mark.usefixtures("virtual")
UNKNOWN_TYPE = 99
CANNOT_WRITE = "The bot isn't allowed to write in"


async def reload_in(wire: Wire, channel: Channel) -> Interaction:
    return await wire.server.slash(wire.ana, channel, "reload", {"model_id": "sdxl-turbo"})


async def picture_in(wire: Wire, channel: Channel) -> dict[str, Any]:
    """Make a test image there; return the picture as shown."""
    message = wire.reply(await reload_in(wire, channel))
    await shows(wire, message, "Ready")
    await ended(wire)
    form = await wire.server.press(wire.ana, message, TEST)
    await wire.server.submit_modal(form, {})
    await shows(wire, message, "Confirmed", 60)
    [picture] = [item for part in flat(message.components) for item in part.get("items", ())]
    assert isinstance(picture, dict)
    return picture


def everything_sent(wire: Wire) -> str:
    bodies = [request.body for request in wire.server.requests if request.body is not None]
    return orjson.dumps(bodies).decode()


def paths(wire: Wire) -> list[str]:
    return [f"{request.method} {request.path}" for request in wire.server.requests]


# Hidden channels


async def test_a_reload_in_a_hidden_channel(wire: Wire, bot: Rewarm) -> None:
    wire.server.let_view(wire.art, may_view=False)
    with capture_logs() as logs:
        asked = await reload_in(wire, wire.art)
        await shows(wire, wire.reply(asked), "Ready")
        await ended(wire)
    [ping] = wire.pings()
    assert ping.interaction is asked, "a follow-up, as it may not write there"
    assert HIDDEN_NAME not in everything_sent(wire) + str(logs)
    assert wire.server.violations == []


@pytest.mark.parametrize("kind", [0, VOICE, NEWS])
async def test_a_picture_in_a_hidden_age_restricted_channel_is_no_spoiler(
    wire: Wire, bot: Rewarm, kind: int
) -> None:
    place = wire.server.add_channel(wire.guild, "grown-ups", kind)
    place.nsfw = True
    wire.server.let_view(place, may_view=False)
    assert not (await picture_in(wire, place)).get("spoiler")
    assert HIDDEN_NAME not in everything_sent(wire)


@pytest.mark.parametrize("nsfw", [True, False])
async def test_a_picture_in_a_thread_is_as_its_channel(wire: Wire, bot: Rewarm, nsfw: bool) -> None:
    wire.art.nsfw = nsfw
    wire.server.channel_changed(wire.art)
    thread = wire.server.add_thread(wire.art, "a thread")
    assert bool((await picture_in(wire, thread)).get("spoiler")) is not nsfw


async def settings_panel(wire: Wire) -> Message:
    return wire.reply(await wire.server.slash(wire.mod, wire.general, "settings"))


async def choose_channel(wire: Wire, panel: Message, channel: Channel) -> str:
    """Choose where cold models are announced; return what the panel then says."""
    await wire.server.choose(wire.mod, panel, str(channel.id), "rewarm:set:channel")
    await asyncio.sleep(0.1)
    return panel.text


async def test_settings_with_a_channel_that_is_hidden_or_becomes_so(wire: Wire, bot: Rewarm) -> None:
    panel = await settings_panel(wire)
    assert CANNOT_WRITE not in await choose_channel(wire, panel, wire.art)
    wire.server.let_view(wire.art, may_view=False)
    panel = await settings_panel(wire)
    assert f"{CANNOT_WRITE} <#{wire.art.id}>" in panel.text, "it has become hidden"
    secret = wire.server.add_channel(wire.guild, "secret")
    wire.server.let_view(secret, may_view=False)
    assert f"{CANNOT_WRITE} <#{secret.id}>" in await choose_channel(wire, panel, secret)
    assert (await bot.store.settings(wire.guild.id)).ledger_channel == secret.id
    wire.server.let_view(secret, may_view=True)
    assert CANNOT_WRITE not in (await settings_panel(wire)).text, "it is shown again"
    assert HIDDEN_NAME not in everything_sent(wire)
    assert wire.server.violations == []


async def test_what_discord_says_with_the_choice_counts_more_than_the_cache(wire: Wire, bot: Rewarm) -> None:
    """No event has reported the change, so the cache still says the opposite."""
    panel = await settings_panel(wire)
    wire.art.may_send = False
    assert f"{CANNOT_WRITE} <#{wire.art.id}>" in await choose_channel(wire, panel, wire.art)
    wire.server.channel_changed(wire.art)
    await asyncio.sleep(0.1)
    wire.art.may_send = True
    assert CANNOT_WRITE not in await choose_channel(wire, panel, wire.art)
    wire.server.emit("CHANNEL_DELETE", {"id": str(wire.art.id), "guild_id": str(wire.guild.id), "type": 0})
    await asyncio.sleep(0.1)
    assert CANNOT_WRITE not in await choose_channel(wire, panel, wire.art)
    assert await bot.store.settings(wire.guild.id) == ServerSettings(ledger_channel=wire.art.id)


@pytest.mark.parametrize("what", ["hidden", "a hidden channel's thread", "open", "chosen and hidden"])
async def test_a_watch_that_could_not_be_announced_says_so(wire: Wire, bot: Rewarm, what: str) -> None:
    place = wire.server.add_channel(wire.guild, "place")
    hidden = wire.art if what == "chosen and hidden" else place
    if what == "chosen and hidden":
        await choose_channel(wire, await settings_panel(wire), wire.art)
    if what != "open":
        wire.server.let_view(hidden, may_view=False)
    if "thread" in what:
        hidden = place = wire.server.add_thread(place, "a thread")
    await ended_in(wire, await reload_in(wire, place))
    listed = wire.reply(await wire.server.slash(wire.ana, place, "models"))
    await wire.server.choose(wire.ana, listed, "sdxl-turbo")
    assert CANNOT_WRITE not in listed.text, "nobody watches it yet"
    await wire.server.press(wire.ana, listed, "Watch")
    assert "Watched:" in listed.text
    assert (f"{CANNOT_WRITE} <#{hidden.id}>" in listed.text) is (what != "open")


async def test_in_the_chosen_channel_its_own_permissions_count(wire: Wire, bot: Rewarm) -> None:
    panel = await settings_panel(wire)
    await choose_channel(wire, panel, wire.general)
    wire.general.may_send = False  # no event has come of it
    assert f"{CANNOT_WRITE} <#{wire.general.id}>" in (await settings_panel(wire)).text


# Threads and posts


async def test_a_post_that_the_bot_has_not_been_told_of(wire: Wire, bot: Rewarm) -> None:
    forum = wire.server.add_channel(wire.guild, "questions", FORUM)
    forum.may_view = False
    post = wire.server.add_thread(forum, "how?")
    forum.may_view = True
    asked = await reload_in(wire, post)
    await shows(wire, wire.reply(asked), "Ready")
    await ended(wire)
    assert [ping.channel_id for ping in wire.pings()] == [post.id]


async def test_a_press_in_a_thread_needs_the_right_in_its_channel(wire: Wire, bot: Rewarm) -> None:
    thread = wire.server.add_thread(wire.art, "a thread")
    message = wire.reply(await reload_in(wire, thread))
    await shows(wire, message, "Ready")
    reload = next(int(c["id"]) for c in wire.server.commands if c["name"] == "reload")
    wire.server.permissions[reload] = [{"id": str(wire.art.id), "type": 3, "permission": False}]
    refused = await wire.server.press(wire.ana, message, TEST)
    assert refused.modal is None
    assert wire.reply(refused).ephemeral


# Channels of a type that discord.py does not know


async def test_a_reload_in_a_channel_of_an_unknown_type(wire: Wire, bot: Rewarm) -> None:
    place = wire.server.add_channel(wire.guild, "new", UNKNOWN_TYPE)
    asked = await reload_in(wire, place)
    message = wire.reply(asked)
    await shows(wire, message, "left")
    joined = await wire.reload(wire.ben)
    assert f"/{wire.guild.id}/{place.id}/{message.id}" in wire.reply(joined).text
    pressed = await wire.server.press(wire.mod, message, "Notify me")
    assert "You'll be pinged" in wire.reply(pressed).text
    await shows(wire, message, "Ready")
    await wire.server.wait_for(lambda: len(wire.pings()) == 2)
    of_ana = next(ping for ping in wire.pings() if wire.ana.id in ping.mentions)
    assert of_ana.interaction in (asked, pressed), "a follow-up"
    assert not [
        path for path in paths(wire) if "/channels/0/" in path or f"POST /channels/{place.id}/" in path
    ]
    assert "/0/" not in everything_sent(wire)
    assert wire.server.violations == []


async def test_a_reload_there_ends_by_channel_where_the_token_is_dead(wire: Wire, bot: Rewarm) -> None:
    place = wire.server.add_channel(wire.guild, "new", UNKNOWN_TYPE)
    asked = await reload_in(wire, place)
    await shows(wire, wire.reply(asked), "left")
    wire.server.kill_token(asked)
    await shows(wire, wire.reply(asked), "Ready")


async def test_a_watch_there_is_announced_in_that_channel(wire: Wire, bot: Rewarm) -> None:
    place = wire.server.add_channel(wire.guild, "new", UNKNOWN_TYPE)
    await ended_in(wire, await reload_in(wire, place))
    listed = await wire.server.slash(wire.ana, place, "models")
    chosen = await wire.server.choose(wire.ana, wire.reply(listed), "sdxl-turbo")
    await wire.server.press(wire.ana, wire.reply(chosen), "Watch")
    watch = await bot.store.watch(wire.guild.id, "sdxl-turbo")
    assert watch is not None
    assert watch.channel == place.id


async def ended_in(wire: Wire, asked: Interaction) -> None:
    await shows(wire, wire.reply(asked), "Ready")
    await ended(wire)


async def test_an_interaction_that_does_not_say_where_it_is(
    wire: Wire, bot: Rewarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Discord leaves a field out: everything goes by token, and the link leads to the server."""
    whole = type(wire.server)._event

    def without(server: Any, new: Interaction, data: Any) -> Any:
        event = whole(server, new, data)
        return {name: value for name, value in event.items() if name not in ("channel", "channel_id")}

    monkeypatch.setattr(type(wire.server), "_event", without)
    asked = await wire.reload()
    message = wire.reply(asked)
    await shows(wire, message, "left")
    joined = await wire.reload(wire.ben)
    assert wire.reply(joined).text.endswith(f"\nhttps://discord.com/channels/{wire.guild.id}")
    await shows(wire, message, "Ready")
    await wire.server.wait_for(lambda: wire.pings())
    assert wire.pings()[0].mentions == {wire.ana.id, wire.ben.id}
    assert not [path for path in paths(wire) if "/channels/0/" in path]
    assert "/0/" not in everything_sent(wire)


async def test_after_a_restart_such_a_reload_ends_too(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    place = wire.server.add_channel(wire.guild, "new", UNKNOWN_TYPE)
    async with running(wire.settings(), monkeypatch):
        await wire.set_key()
        asked = await reload_in(wire, place)
        await shows(wire, wire.reply(asked), "left")
    async with running(wire.settings(), monkeypatch):
        await shows(wire, wire.reply(asked), "Ready")
        await ended(wire)
    assert wire.pings()[0].mentions == {wire.ana.id}
