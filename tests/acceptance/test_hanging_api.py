"""A hanging model API: people who wait know why, others are served, and the process has files left."""

import asyncio
from collections import Counter
from typing import NamedTuple

import pytest
from aiohttp import web

from bot.domain.reload import State
from bot.model_api.client import RELOAD_TIMEOUT
from bot.model_api.places import PLACE_TIMEOUT
from tests.stand_ins.discord import Channel, Interaction, Member
from tests.stand_ins.model_api import ACCEPTED, Answer
from tests.wire import Wire, all_ended, running

pytestmark = pytest.mark.usefixtures("virtual")
WAITS = "Many requests are waiting for the API. This one will wait until <t:"


class Place(NamedTuple):
    """A server with a key."""

    channel: Channel
    member: Member


def hang(wire: Wire) -> None:
    """Make the API hang on models whose IDs say so."""

    async def answer(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60 if wire.api.calls[-1].body["model_id"].startswith("hang") else 0)
        return web.json_response(ACCEPTED)

    wire.api.reloads = [Answer(handler=answer)]


async def place(wire: Wire, number: int) -> Place:
    guild = wire.server.add_guild(f"server {number}")
    channel = wire.server.add_channel(guild, "general")
    mod = wire.server.add_member(guild, "mod", manage_guild=True)
    modal = await wire.server.slash(mod, channel, "key set")
    form = await wire.server.submit_modal(modal, {0: f"key-of-server-{number}"})
    await wire.server.wait_for(lambda: "been stored" in wire.reply(form).text)
    return Place(channel, wire.server.add_member(guild, "somebody"))


async def ask(wire: Wire, where: Place, model: str) -> Interaction:
    return await wire.server.slash(where.member, where.channel, "reload", {"model_id": model})


async def test_others_are_served_and_who_waits_hears_that_nothing_was_sent(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang(wire)
    async with running(wire.settings(), monkeypatch, calls=4) as bot:
        await wire.ready()
        servers = [await place(wire, number) for number in range(5)]
        began = asyncio.get_running_loop().time()
        hanging = [await ask(wire, where, f"hangs-{n}") for n in range(5) for where in servers[:4]]
        await asyncio.sleep(4)
        waiting = [one for one in hanging if WAITS in wire.reply(one).text]
        assert len(waiting) == 16, "each reply says that it waits"
        rows = [row for row in await bot.store.open() if row.id in {one.id for one in waiting}]
        assert {(row.state, row.message is not None) for row in rows} == {(State.ASKED, True)}
        newcomer = await ask(wire, servers[4], "sdxl-turbo")
        await wire.server.wait_for(lambda: "**Reloading**" in wire.reply(newcomer).text, 30)
        assert asyncio.get_running_loop().time() - began < 23, "the first place that came free was theirs"
        await all_ended(bot, 200)
        texts = [wire.reply(one).text for one in hanging]
        not_sent = [
            text for text in texts if "Too many requests were waiting for the API. Nothing was sent" in text
        ]
        assert len(not_sent) == 20 - len(wire.api.calls) + 1
        assert 4 <= len(not_sent) <= 8, "four at once, after 20 s, after 40 s, and some after 60 s"
        assert all("**Failed**" in text for text in not_sent)
        assert len([text for text in texts if "**Unclear**" in text]) == 20 - len(not_sent)
        assert asyncio.get_running_loop().time() - began < PLACE_TIMEOUT + 30
    hung = [call for call in wire.api.calls if call.body["model_id"].startswith("hang")]
    began_at = sorted(call.at for call in hung)
    gaps = [later - earlier for earlier, later in zip(began_at, began_at[4:], strict=False)]
    assert min(gaps) > RELOAD_TIMEOUT - 1, "no more than four at once"
    by_server = Counter(call.body["key"] for call in hung)
    assert max(by_server.values()) - min(by_server.values()) <= 1, "fair"


async def test_who_waits_at_a_stop_goes_on_at_the_next_start(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang(wire)
    settings = wire.settings()
    async with running(settings, monkeypatch, calls=1):
        await wire.set_key()
        await wire.reload(model="hangs")
        asked = await wire.reload(wire.ben, model="sdxl-turbo")
        await wire.server.wait_for(lambda: WAITS in wire.reply(asked).text)
    wire.server.connected.clear()
    async with running(settings, monkeypatch, calls=1) as bot:
        await all_ended(bot, 200)
    assert "**Ready**" in wire.reply(asked).text
    assert Counter(call.body["model_id"] for call in wire.api.calls) == {"hangs": 1, "sdxl-turbo": 1}


async def test_short_wait_is_not_announced(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.5)
        return web.json_response(ACCEPTED)

    wire.api.reloads = [Answer(handler=slow)]
    async with running(wire.settings(), monkeypatch, calls=1) as bot:
        await wire.set_key()
        asked = [await wire.reload(model="one"), await wire.reload(wire.ben, model="two")]
        await all_ended(bot, 200)
    for one in asked:
        assert "Many requests" not in str(wire.reply(one).history)
        assert "**Ready**" in wire.reply(one).text
