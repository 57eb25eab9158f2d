"""The stand-in for Discord, driven by a small real bot: what it accepts, refuses and notes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import discord
import orjson
import pytest
import yarl
from discord import app_commands
from discord.ext import commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

from tests.stand_ins.discord import Channel, DiscordServer, Fault, Guild, Interaction, Member

NOBODY = discord.AllowedMentions.none()
Act = Callable[[discord.Interaction], Awaitable[object]]


class KeyModal(discord.ui.Modal, title="Key"):
    key: discord.ui.Label[Any] = discord.ui.Label(
        text="Key", description="Private.", component=discord.ui.TextInput(custom_id="key", max_length=20)
    )

    async def on_submit(self, interaction: discord.Interaction) -> None:
        assert isinstance(self.key.component, discord.ui.TextInput)
        length = len(self.key.component.value)
        await interaction.response.send_message(f"{length} characters", ephemeral=True)


class TinyBot(commands.AutoShardedBot):
    """Its /reload does what the test puts into `act`."""

    def __init__(self) -> None:
        super().__init__(
            "!",
            intents=discord.Intents(guilds=True),
            allowed_mentions=NOBODY,
            guild_ready_timeout=0.05,
            help_command=None,
        )
        self.act: Act = _defer
        self.left: list[int] = []

    async def setup_hook(self) -> None:
        _, gateway, _ = await self.http.get_bot_gateway()
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)
        group = app_commands.Group(name="key", description="The key")

        @self.tree.command(name="reload", description="Wake up a model")
        @app_commands.allowed_installs(guilds=True)
        @app_commands.allowed_contexts(guilds=True)
        async def reload(interaction: discord.Interaction, model_id: str) -> None:
            await self.act(interaction)

        @reload.autocomplete("model_id")
        async def suggest(interaction: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
            return [app_commands.Choice(name=typed + end, value=typed + end) for end in ("-a", "-b")]

        @group.command(name="set", description="Store it")
        async def set_key(interaction: discord.Interaction) -> None:
            await interaction.response.send_modal(KeyModal())

        self.tree.add_command(group)
        await self.tree.sync()

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        self.left.append(guild.id)


class Place:
    """A server with a channel, a member, and the bot in it."""

    def __init__(self, server: DiscordServer, bot: TinyBot) -> None:
        self.server = server
        self.bot = bot
        self.guild: Guild = server.add_guild("home")
        self.channel: Channel = server.add_channel(self.guild, "general")
        self.ana: Member = server.add_member(self.guild, "ana")

    async def reload(self, act: Act, wait: float = 3.0) -> Interaction:
        self.bot.act = act
        return await self.server.slash(self.ana, self.channel, "reload", {"model_id": "x"}, wait)

    def partial(self, message_id: int) -> discord.PartialMessage:
        return self.bot.get_partial_messageable(self.channel.id).get_partial_message(message_id)

    def statuses(self, method: str, route: str) -> list[int]:
        return [r.status for r in self.server.requests if r.method == method and r.route.endswith(route)]


pytestmark = pytest.mark.usefixtures("virtual")


@pytest.fixture
async def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Place]:
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", DiscordWebSocket.DEFAULT_GATEWAY)
    async with DiscordServer(record=tmp_path / "requests.jsonl") as server:
        monkeypatch.setattr(Route, "BASE", server.url)
        bot = TinyBot()
        place = Place(server, bot)
        running = asyncio.create_task(bot.start(server.token))
        await server.wait_for(bot.is_ready)
        yield place
        await bot.close()
        await running


async def _defer(interaction: discord.Interaction) -> None:
    await interaction.response.defer(thinking=True)


def layout(text: str) -> discord.ui.LayoutView:
    view = discord.ui.LayoutView(timeout=None)
    view.add_item(discord.ui.Container(discord.ui.TextDisplay(text), accent_colour=discord.Colour.red()))
    return view


async def test_start_registers_commands_and_shows_the_server(place: Place) -> None:
    assert [command["name"] for command in place.server.commands] == ["reload", "key"]
    guild = place.bot.get_guild(place.guild.id)
    assert guild is not None
    assert [channel.name for channel in guild.channels] == ["general"]
    assert place.server.connected.is_set()
    await place.bot.application_info()
    await place.bot.tree.fetch_commands()
    assert place.server.violations == []


async def test_a_wrong_token_is_refused(place: Place) -> None:
    other = TinyBot()
    with pytest.raises(discord.LoginFailure):
        await other.start("wrong")
    await other.close()


async def test_defer_edit_follow_up(place: Place) -> None:
    seen: list[Any] = []

    async def act(interaction: discord.Interaction) -> None:
        assert abs((discord.utils.utcnow() - interaction.created_at).total_seconds()) < 1
        answer = await interaction.response.defer(thinking=True)
        assert answer is not None
        seen.append((answer.message_id, place.server.messages[answer.message_id or 0].thinking))
        await interaction.edit_original_response(view=layout("half"))
        await interaction.edit_original_response(view=layout(f"<@{place.ana.id}> done"))
        await interaction.followup.send(
            f"<@{place.ana.id}> <@5> done",
            allowed_mentions=discord.AllowedMentions(users=[discord.Object(place.ana.id)]),
        )
        seen.append((await interaction.original_response()).flags.components_v2)

    interaction = await place.reload(act)
    await place.server.wait_for(lambda: len(seen) == 2)
    reply, ping = place.server.messages.values()
    assert seen == [(reply.id, True), True]
    assert interaction.message_id == reply.id
    assert interaction.callback_type == 5
    assert not interaction.ephemeral
    assert [text["components"] != [] for _, text in reply.history] == [False, True, True]
    assert not reply.thinking
    assert reply.text == f"<@{place.ana.id}> done"
    assert reply.mentions == set(), "edits notify nobody"
    assert ping.mentions == {place.ana.id}, "only who is allowed"
    assert place.server.violations == []


async def test_a_follow_up_resolves_a_deferral_and_pings_nobody(place: Place) -> None:
    async def act(interaction: discord.Interaction) -> None:
        await interaction.response.defer(thinking=True)
        await interaction.followup.send(
            f"<@{place.ana.id}>", allowed_mentions=discord.AllowedMentions(users=True)
        )

    interaction = await place.reload(act)
    await place.server.wait_for(lambda: not place.server.messages[interaction.message_id or 0].thinking)
    [message] = place.server.messages.values()
    assert message.mentions == set()


async def test_modal(place: Place) -> None:
    opened = await place.server.slash(place.ana, place.channel, "key set")
    assert opened.modal is not None
    with pytest.raises(ValueError, match="would not submit"):
        await place.server.submit_modal(opened, {"key": "x" * 21})
    submitted = await place.server.submit_modal(opened, {0: "secret"})
    assert submitted.ephemeral
    assert place.server.messages[submitted.message_id or 0].content == "6 characters"
    assert place.server.violations == []


async def test_autocomplete(place: Place) -> None:
    choices = await place.server.autocomplete(place.ana, place.channel, "reload", "model_id", "sd")
    assert [choice["value"] for choice in choices] == ["sd-a", "sd-b"]


async def test_a_nonce_sends_once(place: Place) -> None:
    interaction = await place.reload(_defer)
    assert interaction.message_id is not None
    where = place.bot.get_partial_messageable(place.channel.id)
    reference = discord.MessageReference(
        message_id=interaction.message_id, channel_id=where.id, fail_if_not_exists=False
    )
    place.server.faults.append(Fault("POST", "/channels/", reset="after"))
    with pytest.raises(aiohttp.ClientError):
        await where.send("hello", nonce="1-0", reference=reference)
    again = await where.send("hello", nonce="1-0", reference=reference)
    messages = list(place.server.messages.values())
    assert [message.id for message in messages] == [interaction.message_id, again.id]
    assert messages[1].reply_to == interaction.message_id
    assert place.statuses("POST", "/messages") == [0, 200]
    with pytest.raises(discord.HTTPException):
        await where.send("hello", nonce="1" * 26)
    assert len(place.server.violations) == 1
    assert "nonce" in place.server.violations[0]


async def test_a_lost_defer_is_already_acknowledged(place: Place) -> None:
    codes: list[int] = []

    async def act(interaction: discord.Interaction) -> None:
        with pytest.raises(aiohttp.ClientError):
            await interaction.response.defer(thinking=True)
        with pytest.raises(discord.HTTPException) as caught:
            await interaction.response.defer(thinking=True)
        codes.append(caught.value.code)

    place.server.faults.append(Fault("POST", "/callback$", reset="after"))
    await place.reload(act)
    await place.server.wait_for(lambda: codes)
    assert codes == [40060]


async def test_too_late_and_never_acknowledged(place: Place) -> None:
    codes: list[int] = []

    async def act(interaction: discord.Interaction) -> None:
        with pytest.raises(discord.NotFound) as caught:
            await interaction.original_response()
        codes.append(caught.value.code)
        await asyncio.sleep(place.server.answer_seconds + 0.1)
        with pytest.raises(discord.NotFound) as caught:
            await interaction.response.defer()
        codes.append(caught.value.code)

    await place.reload(act, wait=0)
    await place.server.wait_for(lambda: len(codes) == 2)
    assert codes == [10015, 10062]


async def test_a_killed_token_leaves_the_channel_route(place: Place) -> None:
    held: list[discord.Interaction] = []

    async def act(interaction: discord.Interaction) -> None:
        held.append(interaction)
        await interaction.response.defer(thinking=True)

    interaction = await place.reload(act)
    place.server.kill_token(interaction)
    with pytest.raises(discord.HTTPException) as caught:
        await held[0].edit_original_response(content="x")
    assert (caught.value.status, caught.value.code) == (401, 50027)
    assert interaction.message_id is not None
    await place.partial(interaction.message_id).edit(view=layout("done"), allowed_mentions=NOBODY)
    assert place.server.messages[interaction.message_id].text == "done"
    place.channel.may_view = False
    with pytest.raises(discord.Forbidden) as forbidden:
        await place.partial(interaction.message_id).edit(view=layout("done"), allowed_mentions=NOBODY)
    assert forbidden.value.code == 50001
    place.channel.may_view, place.channel.may_send = True, False
    with pytest.raises(discord.Forbidden) as forbidden:
        await place.bot.get_partial_messageable(place.channel.id).send("x")
    assert forbidden.value.code == 50013
    place.server.delete_message(interaction.message_id)
    with pytest.raises(discord.NotFound) as missing:
        await place.partial(interaction.message_id).edit(view=layout("done"), allowed_mentions=NOBODY)
    assert missing.value.code == 10008
    assert place.server.violations == []


async def test_rate_limits(place: Place) -> None:
    where = f"{place.server.url}/channels/{place.channel.id}/messages"
    headers = {"Authorization": f"Bot {place.server.token}"}
    body = {"content": "x", "allowed_mentions": {"parse": []}}
    async with aiohttp.ClientSession(headers=headers) as session:
        for left in (4, 3, 2, 1, 0):
            async with session.post(where, json=body) as response:
                assert response.headers["Content-Type"] == "application/json"
                assert response.headers["X-RateLimit-Remaining"] == str(left)
        async with session.post(where, json=body) as response:
            assert response.status == 429
            assert response.headers["Via"]
            assert 4 < (await response.json())["retry_after"] <= 5
    place.server.limits = False
    await place.bot.get_partial_messageable(place.channel.id).send("x")


async def test_discord_py_waits_out_a_429(place: Place) -> None:
    place.server.faults.append(Fault("PATCH", "/webhooks/", status=429, body={"retry_after": 0.1}))

    async def act(interaction: discord.Interaction) -> None:
        await interaction.response.defer(thinking=True)
        await interaction.edit_original_response(content="x")

    await place.reload(act)
    await place.server.wait_for(lambda: place.statuses("PATCH", "/{message}") == [429, 200])


async def test_a_kicked_gateway_resumes_and_catches_up(place: Place) -> None:
    await place.server.kick_gateway()
    interaction = await place.reload(_defer, wait=10)  # typed while nobody is connected
    assert interaction.answered.is_set()
    assert (place.server.resumes, len(place.server.identifies)) == (1, 1)


async def test_a_forgotten_session_logs_in_anew(place: Place) -> None:
    await place.server.kick_gateway(forget=True)
    await asyncio.wait_for(place.server.connected.wait(), 20)
    assert len(place.server.identifies) == 2


async def test_removal_from_a_server(place: Place) -> None:
    place.server.guild_outage(place.guild)
    place.server.remove_guild(place.guild)
    await place.server.wait_for(lambda: place.bot.left)
    assert place.bot.left == [place.guild.id]


async def test_an_event_that_comes_twice(place: Place) -> None:
    interaction = await place.reload(_defer)
    place.server.deliver(interaction)
    await place.server.wait_for(lambda: place.statuses("POST", "/callback") == [200, 400])


async def test_a_slow_call_lands_after_its_caller_has_left(place: Place) -> None:
    interaction = await place.reload(_defer)
    place.server.faults.append(Fault("PATCH", "/channels/", delay=0.3))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await place.partial(interaction.message_id or 0).edit(content="late")
    message = place.server.messages[interaction.message_id or 0]
    assert message.thinking
    await place.server.wait_for(lambda: message.content == "late")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"content": "x" * 2001}, "content"),
        ({"content": "x", "colour": 1}, "colour"),
        ({"content": ""}, "empty"),
        ({"components": [{"type": 10, "content": "x"}]}, "IS_COMPONENTS_V2"),
        ({"content": "x", "flags": 1 << 15, "components": [{"type": 10, "content": "x"}]}, "content"),
        ({"flags": 1 << 15, "components": [{"type": 10, "content": "x", "size": 1}]}, "components.0.size"),
        ({"flags": 1 << 15, "components": [{"type": 10, "content": "x" * 2001}] * 2}, "4000"),
        ({"flags": 1 << 15, "components": [{"type": 10, "content": "x"}] * 41}, "components"),
        ({"flags": 1 << 15, "components": [{"type": 17, "components": [{"type": 18}]}]}, "type 18"),
        ({"components": [{"type": 1, "components": [{"type": 2, "style": 1, "label": "x"}]}]}, "custom_id"),
        ({"content": "x", "flags": 64}, "flags"),
        ({"content": "x", "allowed_mentions": {"parse": ["users"], "users": ["1"]}}, "exclusive"),
        ({"content": "x", "allowed_mentions": {"users": list(range(101))}}, "users"),
        ({"content": "x", "message_reference": {"message_id": "1"}}, "message_reference"),
        ({"content": "x", "allowed_mentions": None}, "allowed_mentions"),
        ([], "object"),
    ],
)
async def test_bad_bodies(place: Place, body: Any, where: str) -> None:
    url = f"{place.server.url}/channels/{place.channel.id}/messages"
    headers = {"Authorization": f"Bot {place.server.token}"}
    if isinstance(body, dict):
        body = {"allowed_mentions": {"parse": []}, **body}
    async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as response:
        answer = await response.json()
    assert any(where in violation for violation in place.server.violations), place.server.violations
    if body and body["allowed_mentions"] is None:
        assert response.status == 200, "noted only: Discord allows it"
    else:
        assert (response.status, answer["code"]) in ((400, 50035), (400, 50006))
        assert not place.server.messages


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"name": "Reload"}, "name"),
        ({"description": "x" * 101}, "description"),
        ({"contexts": [3]}, "contexts"),
        ({"options": [{"type": 12, "name": "x", "description": "x"}]}, "options"),
        ({"colour": 1}, "colour"),
    ],
)
async def test_bad_commands(place: Place, change: dict[str, Any], where: str) -> None:
    command = {"name": "reload", "description": "x", "type": 1, **change}
    with pytest.raises(discord.HTTPException) as caught:
        await place.bot.http.bulk_upsert_global_commands(place.server.application_id, [command])
    assert caught.value.code == 50035
    assert where in place.server.violations[0]
    assert len(place.server.commands) == 2


async def test_components_v2_is_permanent(place: Place) -> None:
    interaction = await place.reload(_defer)
    message = place.partial(interaction.message_id or 0)
    await message.edit(view=layout("x"), allowed_mentions=NOBODY)
    with pytest.raises(discord.HTTPException):
        await message.edit(content="plain")
    assert place.server.messages[message.id].text == "x"


async def test_an_unknown_route_is_noted(place: Place) -> None:
    with pytest.raises(discord.NotFound):
        await place.bot.fetch_user(5)
    assert place.server.violations == ["GET /users/5: no such route here"]


async def test_requests_are_recorded(place: Place, tmp_path: Path) -> None:
    await place.reload(_defer)
    lines = [orjson.loads(line) for line in (tmp_path / "requests.jsonl").read_bytes().splitlines()]
    assert lines[0] == {"method": "GET", "path": "/users/@me", "body": None}
    assert lines[-1]["body"] == {"type": 5}
    assert all(request.at <= asyncio.get_running_loop().time() for request in place.server.requests)


async def test_noted_where_only_a_view_is_edited(place: Place) -> None:
    """In such an edit discord.py leaves out the client's own allowed_mentions."""
    interaction = await place.reload(_defer)
    await place.partial(interaction.message_id or 0).edit(view=layout("x"))
    assert len(place.server.violations) == 1
    assert "allowed_mentions" in place.server.violations[0]
