"""Servers don't affect one another: not by a flood, a slow API or broken permissions; data stays apart."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from bot.app import Rewarm
from tests.stand_ins.discord import Interaction
from tests.stand_ins.model_api import ACCEPTED, Answer
from tests.wire import Wire, running

pytestmark = pytest.mark.usefixtures("virtual")
SECONDS = 20.0
FLOOD = 200
PROMPT = 3.0
"""Seconds within which Discord wants a first answer. Time passes here while the store's thread works, so a
busy machine may need more than one."""


class Other:
    """A second server, with a key of its own."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.guild = wire.server.add_guild("Another server")
        self.channel = wire.server.add_channel(self.guild, "general")
        self.mod = wire.server.add_member(self.guild, "mod", manage_guild=True)
        self.cleo = wire.server.add_member(self.guild, "cleo")

    async def set_key(self) -> None:
        modal = await self._wire.server.slash(self.mod, self.channel, "key set")
        form = await self._wire.server.submit_modal(modal, {0: "another-servers-key-0123"})
        await self._wire.server.wait_for(lambda: "been stored" in self._wire.reply(form).text)

    async def reload(self, model: str = "quiet-model") -> Interaction:
        return await self._wire.server.slash(self.cleo, self.channel, "reload", {"model_id": model})


@pytest.fixture
async def bot(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rewarm]:
    async with running(wire.settings(reload_seconds=SECONDS), monkeypatch) as bot:
        await wire.set_key()
        yield bot


@pytest.fixture
async def other(wire: Wire, bot: Rewarm) -> Other:
    other = Other(wire)
    await other.set_key()
    return other


async def flood(wire: Wire, *, one_model: bool = False) -> list[Interaction]:
    """Everybody in a server types /reload in the same instant."""
    made = []
    for number in range(FLOOD):
        member = wire.server.add_member(wire.guild, "somebody")
        model = "one" if one_model else f"model-{number}"
        made.append(await wire.server.slash(member, wire.general, "reload", {"model_id": model}, wait=0))
    return made


@pytest.mark.parametrize("how", ["many models", "one model", "slow API", "no permissions"])
async def test_flood_in_one_server_does_not_delay_another(wire: Wire, other: Other, how: str) -> None:
    async def slow_for_one(request: web.Request) -> web.StreamResponse:
        if "another-servers-key" not in await request.text():
            await asyncio.sleep(60)
        return web.json_response(ACCEPTED)

    if how == "slow API":
        wire.api.reloads = [Answer(handler=slow_for_one)]
    made = await flood(wire, one_model=how == "one model")
    if how == "no permissions":
        wire.general.may_view = wire.general.may_send = False
        for interaction in made:
            wire.server.kill_token(interaction)
    asked = await other.reload()
    await wire.server.wait_for(lambda: any(other.cleo.id in ping.mentions for ping in wire.pings()), 60)

    first = next(r.at for r in wire.server.requests if str(asked.id) in r.path)
    assert first - asked.at < PROMPT
    ended = next(at for at, version in wire.reply(asked).history if "**Ready**" in str(version))
    assert ended - asked.at - SECONDS < PROMPT
    [ping] = [ping for ping in wire.pings() if other.cleo.id in ping.mentions]
    assert ping.history[0][0] - asked.at - SECONDS < PROMPT
    await wire.server.wait_for(lambda: all(one.answered.is_set() for one in made))
    assert wire.server.violations == []


async def test_form_of_one_server_sets_no_key_in_another(wire: Wire, other: Other, bot: Rewarm) -> None:
    """Its custom ID names no server: the submitter's server counts, and so do their permissions."""
    modal = await wire.server.slash(wire.mod, wire.general, "key set")
    modal.member, modal.channel = other.cleo, other.channel
    refused = await wire.server.submit_modal(modal, {0: "stolen-place-0123456789"})
    assert "Manage Server" in wire.reply(refused).text
    kept = [(await bot.keys.open(guild.id)).secret.get_secret_value() for guild in (wire.guild, other.guild)]
    assert "stolen-place-0123456789" not in kept


async def test_nothing_typed_in_one_server_shows_anothers_models_or_joins_its_reloads(
    wire: Wire, other: Other
) -> None:
    await wire.reload(model="secret-model")
    choices = await wire.server.autocomplete(other.cleo, other.channel, "reload", "model_id", "secret")
    assert [choice["value"] for choice in choices] == ["secret"], "what was typed, and nothing else"
    asked = await other.reload("secret-model")
    assert not asked.ephemeral, "a reload of its own"
    await wire.server.wait_for(lambda: len(wire.pings()) == 2, 60)
    assert [call.body["key"] for call in wire.api.calls] == [
        "canary-K3y-0123456789abcdef",
        "another-servers-key-0123",
    ]
    by_channel = {ping.channel_id: ping.mentions for ping in wire.pings()}
    assert by_channel == {wire.general.id: {wire.ana.id}, other.channel.id: {other.cleo.id}}


@pytest.mark.parametrize("from_another", [False, True])
async def test_no_custom_id_is_taken_from_outside(wire: Wire, other: Other, from_another: bool) -> None:
    """A click with any custom id: no button is built yet, so nothing may answer or change."""
    asked = await wire.reload()
    clicked = await other.reload() if from_another else asked
    for custom_id in ("key", "reload", str(asked.id), f"join:{asked.id}", "x" * 100):
        event = {**clicked.event, "id": str(wire.server._new_id()), "type": 3}
        event["data"] = {"component_type": 2, "custom_id": custom_id}
        event["message"] = wire.server._message_payload(wire.reply(asked))
        wire.server._emit(clicked.channel.guild, "INTERACTION_CREATE", event)
    pings = 2 if from_another else 1
    await wire.server.wait_for(lambda: len(wire.pings()) == pings, 60)
    assert [p.mentions for p in wire.pings() if p.channel_id == wire.general.id] == [{wire.ana.id}]
    assert len(wire.api.calls) == pings
