"""Moderators hear about the key and settings in a channel of their own; `/key status` has the last ten."""

import asyncio
from typing import Any

from bot.app import Rewarm
from bot.domain.events import What
from bot.domain.reload import MOST_REFUSED, Outcome
from tests.stand_ins.discord import Message
from tests.stand_ins.model_api import ACCEPTED, Answer
from tests.wire import Wire

REFUSED = Answer({"status": "error", "message": "Invalid API key"}, 401)
SPENT = Answer({"status": "error", "message": "Insufficient credits"}, 402)
WORKS = Answer(ACCEPTED)
_SILENT = 1 << 12


async def panel(wire: Wire) -> Message:
    return wire.reply(await wire.server.slash(wire.mod, wire.general, "settings"))


async def choose(wire: Wire, value: Any, what: str) -> str:
    message = await panel(wire)
    chosen = await wire.server.choose(wire.mod, message, str(value), f"rewarm:set:{what}")
    await asyncio.sleep(5)
    return wire.reply(chosen).text


def told(wire: Wire) -> list[str]:
    messages = [m for m in wire.server.messages.values() if m.channel_id == wire.art.id]
    assert not any(m.mentions or m.flags & _SILENT for m in messages), (
        "nobody is mentioned, nothing is silent"
    )
    return [message.text for message in messages]


async def answered(wire: Wire, answer: Answer) -> None:
    wire.api.reloads = [answer]
    await wire.reload(model=f"m-{len(wire.api.calls)}")
    await asyncio.sleep(60)


async def test_they_hear_once_for_each_change(virtual: None, wire: Wire, bot: Rewarm) -> None:
    await choose(wire, wire.art.id, "news")
    assert told(wire) == ["mod changed a setting: Where to tell moderators about the key and settings."]
    for answer in (WORKS, REFUSED, REFUSED, SPENT, WORKS, WORKS):
        await answered(wire, answer)
    assert [text.partition(".")[0] for text in told(wire)[1:]] == [
        "The API rejects this server's key",
        "The API says this server's key is out of credits or over its limit",
        "The API accepts this server's key again",
    ]
    await answered(wire, REFUSED)
    assert len(told(wire)) == 4, "one of a kind an hour"
    await asyncio.sleep(3600)
    await answered(wire, WORKS)
    await answered(wire, REFUSED)
    assert len(told(wire)) == 5, "that it works they have heard last"
    await wire.remove_key()
    await asyncio.sleep(5)
    assert told(wire)[-1] == "mod removed this server's API key."
    assert wire.server.violations == []


async def test_credits_that_images_lack_are_not_back_because_a_reload_costs_nothing(
    virtual: None, wire: Wire, bot: Rewarm
) -> None:
    await choose(wire, wire.art.id, "news")
    spent = "The API says this server's key is out of credits or over its limit."
    works = "The API accepts this server's key again."
    for answer, heard in ((SPENT, []), (SPENT, [spent]), (Answer(wire.api.rendered()), [spent])):
        await answered(wire, WORKS)
        assert told(wire)[1:] == heard, "the reload says nothing about it"
        [*_, reply] = [m for m in wire.server.messages.values() if m.text.startswith("**Ready**")]
        form = await wire.server.press(wire.ben, reply, "Test image")
        wire.api.renders = [answer]
        await wire.server.submit_modal(form, {"prompt": "x"})
        await asyncio.sleep(10)
    assert told(wire)[1:] == [spent, works]


async def test_what_still_holds_after_the_hour_is_told_then(virtual: None, wire: Wire, bot: Rewarm) -> None:
    await choose(wire, wire.art.id, "news")
    for answer in (REFUSED, WORKS, REFUSED):
        await answered(wire, answer)
    refused = "The API rejects this server's key."
    assert [text.startswith(refused) for text in told(wire)[1:]] == [True, False], "one an hour"
    await asyncio.sleep(3600)
    for _ in range(2):
        await answered(wire, REFUSED)
    assert [text.startswith(refused) for text in told(wire)[1:]] == [True, False, True]


async def test_the_channel_that_they_leave_hears_who_moved_them(
    virtual: None, wire: Wire, bot: Rewarm
) -> None:
    """Otherwise the one change that silences it is the one that nobody there hears of."""
    await choose(wire, wire.art.id, "news")
    await asyncio.sleep(3700)
    await choose(wire, wire.general.id, "news")
    changed = "mod changed a setting: Where to tell moderators about the key and settings."
    assert told(wire) == [changed, changed]
    there = [message.text for message in wire.server.messages.values() if message.channel_id != wire.art.id]
    assert there.count(changed) == 1
    assert wire.server.violations == []


async def test_the_same_in_two_servers_in_the_same_instant_is_told_in_both(
    virtual: None, wire: Wire, bot: Rewarm
) -> None:
    other = wire.server.add_channel(wire.server.add_guild("Another"), "mods")
    for channel in (wire.art, other):
        await bot.store.change_settings(channel.guild.id, news_channel=channel.id)
    instant = bot.now()
    bot.moderators._now = lambda: instant
    for channel in (wire.art, other):
        bot.moderators.heard(channel.guild.id, Outcome.WRONG_KEY)
    await asyncio.sleep(60)
    texts = [m.text for m in wire.server.messages.values() if m.channel_id == other.id]
    assert texts == told(wire)
    assert len(texts) == 1


async def test_a_channel_that_is_closed_silences_no_other_server(
    virtual: None, wire: Wire, bot: Rewarm
) -> None:
    await choose(wire, wire.art.id, "news")
    wire.art.may_send = False
    for n in range(MOST_REFUSED + 1):
        bot.moderators.changed(wire.guild.id, What.SETTING, wire.mod.id, "mod", "ping")
        await asyncio.sleep(3700)
        assert n or len(told(wire)) == 1
    wire.art.may_send = True
    bot.moderators.changed(wire.guild.id, What.SETTING, wire.mod.id, "mod", "ping")
    await asyncio.sleep(60)
    assert len(told(wire)) == 2


async def test_without_a_channel_the_status_has_it(virtual: None, wire: Wire, bot: Rewarm) -> None:
    wire.mod.name = "\u202ehttps://x.example"
    await choose(wire, "fr", "language")
    await answered(wire, REFUSED)
    status = await wire.server.slash(wire.mod, wire.general, "key status")
    await wire.server.wait_for(lambda: wire.reply(status).text)
    text = wire.reply(status).text
    assert "> The API rejects this server's key." in text
    assert "changed a setting: Language of the bot's messages in channels." in text
    assert "> mod set this server's API key." in text
    assert "https://" not in text
    assert told(wire) == []


async def test_the_channel_for_watched_models_is_not_theirs(virtual: None, wire: Wire, bot: Rewarm) -> None:
    await choose(wire, wire.art.id, "news")
    assert "choose a different one for moderators" in await choose(wire, wire.art.id, "channel")
    assert (await bot.store.settings(wire.guild.id)).ledger_channel is None
