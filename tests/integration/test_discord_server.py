"""The stand-in for Discord, driven by a small real bot: what it accepts, refuses and records."""

import asyncio
import contextlib
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
from tests.stand_ins.discord.state import FORUM, NEWS, STAGE, VOICE

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
        self.modal: type[discord.ui.Modal] = KeyModal
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
            await interaction.response.send_modal(self.modal())

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
    async with DiscordServer(record=tmp_path / "calls.jsonl") as server:
        monkeypatch.setattr(Route, "BASE", server.url)
        bot = TinyBot()
        place = Place(server, bot)
        running = asyncio.create_task(bot.start(server.token))
        await server.wait_for(bot.is_ready)
        yield place
        await bot.close()
        with contextlib.suppress(discord.ConnectionClosed):  # its token was reset
            await running


async def _defer(interaction: discord.Interaction) -> None:
    await interaction.response.defer(thinking=True)


def layout(text: str) -> discord.ui.LayoutView:
    view = discord.ui.LayoutView(timeout=None)
    view.add_item(discord.ui.Container(discord.ui.TextDisplay(text), accent_colour=discord.Colour.red()))
    return view


def option(value: str) -> dict[str, Any]:
    return {"label": value or "-", "value": value}


def menu(**changed: Any) -> dict[str, Any]:
    whole = {"type": 3, "custom_id": "m", "options": [option("a"), option("b")], **changed}
    return {"type": 1, "components": [whole]}


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


async def test_a_forgotten_session_logs_in_again(place: Place) -> None:
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
        ({"flags": 1 << 15, "components": [{"type": 10, "id": 7, "content": "x"}] * 2}, "id must be unique"),
        ({"content": "x", "components": [menu(options=[option("a"), option("a")])]}, "values must be unique"),
        ({"content": "x", "components": [menu(options=[option("")])]}, "options.0.value"),
        ({"content": "x", "components": [menu(min_values=2, max_values=1)]}, "min_values"),
        ({"content": "x", "components": [{"type": 1, "components": [{"type": 21}]}]}, "type 21"),
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


async def test_calls_are_recorded(place: Place, tmp_path: Path) -> None:
    await place.reload(_defer)
    lines = [orjson.loads(line) for line in (tmp_path / "calls.jsonl").read_bytes().splitlines()]
    assert (lines[0]["method"], lines[0]["path"], lines[0]["body"]) == ("GET", "/users/@me", None)
    assert (lines[0]["status"], lines[0]["answer"]["username"]) == (200, "bot")
    assert lines[-1]["body"] == {"type": 5}
    assert all(request.at <= asyncio.get_running_loop().time() for request in place.server.requests)


async def test_noted_where_only_a_view_is_edited(place: Place) -> None:
    """In such an edit discord.py leaves out the client's own allowed_mentions."""
    interaction = await place.reload(_defer)
    await place.partial(interaction.message_id or 0).edit(view=layout("x"))
    assert len(place.server.violations) == 1
    assert "allowed_mentions" in place.server.violations[0]


async def test_a_channel_that_the_bot_may_not_view(place: Place) -> None:
    """Obfuscated on the gateway, left out by REST, whole in an interaction."""
    secret = place.server.add_channel(place.guild, "secret", VOICE)
    secret.nsfw = True
    guild = place.bot.get_guild(place.guild.id)
    assert guild is not None
    await place.server.wait_for(lambda: guild.get_channel(secret.id))
    place.server.let_view(secret, may_view=False)
    await place.server.wait_for(lambda: named(guild, secret) == "___hidden___")
    hidden = guild.get_channel(secret.id)
    assert isinstance(hidden, discord.VoiceChannel)
    assert not hidden.permissions_for(guild.me).view_channel
    assert [channel.name for channel in await guild.fetch_channels()] == ["general"]
    event = (await place.server.slash(place.ana, secret, "reload", {"model_id": "x"})).event
    assert (event["channel"]["name"], event["channel"]["nsfw"]) == ("secret", True)
    assert int(event["app_permissions"]) & discord.Permissions(view_channel=True).value == 0
    place.server.let_view(secret, may_view=True)
    await place.server.wait_for(lambda: named(guild, secret) == "secret")


def named(guild: discord.Guild, channel: Channel) -> str | None:
    found = guild.get_channel(channel.id)
    return found.name if found is not None else None


async def test_everybody_has_the_same_permissions_on_gateway_and_rest(place: Place) -> None:
    guild = place.bot.get_guild(place.guild.id)
    assert guild is not None
    place.channel.may_send = False
    place.server.channel_changed(place.channel)
    fetched = await place.bot.fetch_guild(guild.id)
    assert guild.default_role.permissions == fetched.default_role.permissions
    [channel] = await guild.fetch_channels()
    known = guild.get_channel(channel.id)
    assert known is not None
    await place.server.wait_for(lambda: not known.permissions_for(guild.me).send_messages)
    assert channel.permissions_for(guild.me) == known.permissions_for(guild.me)


async def test_channels_of_all_kinds_and_threads(place: Place) -> None:
    """discord.py reads each of them, and the events of threads."""
    guild = place.bot.get_guild(place.guild.id)
    assert guild is not None
    for kind in (VOICE, NEWS, STAGE, FORUM):
        place.server.add_channel(place.guild, f"kind-{kind}", kind)
    forum = place.guild.channels[-1]
    post = place.server.add_thread(forum, "a post")
    await place.server.wait_for(lambda: guild.get_thread(post.id))
    assert {type(channel) for channel in guild.channels} == {
        discord.TextChannel,
        discord.VoiceChannel,
        discord.StageChannel,
        discord.ForumChannel,
    }
    place.server.rest_thread(post)
    await place.server.wait_for(lambda: not guild.get_thread(post.id))
    await place.bot.get_partial_messageable(post.id).send("x")  # wakes it up
    await place.server.wait_for(lambda: guild.get_thread(post.id))
    place.server.let_view(forum, may_view=False)
    await place.server.wait_for(lambda: named(guild, forum) == "___hidden___")
    place.server.let_view(forum, may_view=True)
    await place.server.wait_for(lambda: named(guild, forum) == forum.name)
    assert guild.get_thread(post.id), "a list of its threads came with it"
    place.server.delete_channel(post)
    await place.server.wait_for(lambda: not guild.get_thread(post.id))
    with pytest.raises(discord.HTTPException) as refused:
        await place.bot.get_partial_messageable(forum.id).send("x")
    assert refused.value.code == 50008


async def test_who_is_not_to_be_mentioned_is_not_among_the_mentions(place: Place) -> None:
    ben = place.server.add_member(place.guild, "ben")
    sent = await place.bot.get_partial_messageable(place.channel.id).send(
        f"<@{place.ana.id}> <@{ben.id}>",
        allowed_mentions=discord.AllowedMentions(users=[discord.Object(ben.id)]),
    )
    assert sent.raw_mentions == [place.ana.id, ben.id]
    assert [person.id for person in sent.mentions] == [ben.id]


async def test_an_old_message_is_edited_three_times_in_six_seconds(place: Place) -> None:
    interaction = await place.reload(_defer)
    await asyncio.sleep(3601)
    message = place.partial(interaction.message_id or 0)
    for _ in range(3):
        await message.edit(content="x", allowed_mentions=NOBODY)
    url = f"{place.server.url}/channels/{place.channel.id}/messages/{message.id}"
    status, answer = await patch(place, url)
    assert (status, answer["code"]) == (429, 30046)
    await asyncio.sleep(6)
    assert (await patch(place, url))[0] == 200


async def patch(place: Place, url: str) -> tuple[int, Any]:
    headers = {"Authorization": f"Bot {place.server.token}"}
    body = {"content": "y", "allowed_mentions": {"parse": []}}
    async with aiohttp.ClientSession() as session, session.patch(url, json=body, headers=headers) as response:
        return response.status, await response.json()


async def test_automod_blocks_what_the_bot_sends(place: Place) -> None:
    place.guild.blocked_words.add("sdxl")
    with pytest.raises(discord.HTTPException) as blocked:
        await place.bot.get_partial_messageable(place.channel.id).send("`sdxl` is ready")
    assert (blocked.value.status, blocked.value.code) == (400, 200000)


async def test_a_shared_limit_is_nobodys_fault(place: Place) -> None:
    again = {"retry_after": 0.1}
    place.server.faults += [
        Fault("POST", "/channels/", status=429, body=again, scope="shared"),
        Fault("POST", "/channels/", status=429, body=again),
    ]
    await place.bot.get_partial_messageable(place.channel.id).send("x")
    assert place.statuses("POST", "/messages") == [429, 429, 200]
    assert place.server.refused() == 1


async def test_there_are_so_many_logins_in_a_day(place: Place) -> None:
    _, _, said = await place.bot.http.get_bot_gateway()
    assert (said["remaining"], said["max_concurrency"]) == (999, 1)
    place.server.logins.remaining = 0
    await place.server.kick_gateway(forget=True)
    token = place.server.token
    await place.server.wait_for(lambda: place.server.token != token, 60)
    assert any("token is reset" in said for said in place.server.violations)


@pytest.mark.parametrize("how", ["invalid", "cut", 4000])
async def test_a_login_that_fails_as_a_test_says(place: Place, how: str | int) -> None:
    place.server.login_trouble = [how]
    await place.server.kick_gateway(forget=True)
    await place.server.wait_for(lambda: len(place.server.identifies) == 3, 60)
    await place.server.wait_for(place.server.connected.is_set)


async def test_more_logins_at_once_than_discord_allows(place: Place) -> None:
    place.server.logins.window, place.server.logins.at = 10.0, [asyncio.get_running_loop().time()]
    await place.server.kick_gateway(forget=True)
    await place.server.wait_for(lambda: len(place.server.identifies) == 3, 60)
    await place.server.wait_for(place.server.connected.is_set)


class Form(discord.ui.Modal, title="Form"):
    kind: discord.ui.Label[Any] = discord.ui.Label(
        text="Kind",
        component=discord.ui.RadioGroup(
            custom_id="kind",
            options=[discord.RadioGroupOption(label=x, value=x) for x in "ab"],
        ),
    )
    extras: discord.ui.Label[Any] = discord.ui.Label(
        text="Extras",
        component=discord.ui.CheckboxGroup(
            custom_id="extras",
            required=False,
            options=[discord.CheckboxGroupOption(label=x, value=x) for x in "cd"],
        ),
    )
    sure: discord.ui.Label[Any] = discord.ui.Label(
        text="Sure", component=discord.ui.Checkbox(custom_id="sure", default=True)
    )

    async def on_submit(self, interaction: discord.Interaction) -> None:
        chosen = (self.kind.component.value, self.extras.component.values, self.sure.component.value)  # type: ignore[attr-defined]
        await interaction.response.send_message(str(chosen))


async def test_a_modal_with_the_components_of_2026(place: Place) -> None:
    place.bot.modal = Form
    opened = await place.server.slash(place.ana, place.channel, "key set")
    with pytest.raises(ValueError, match="would not submit"):
        await place.server.submit_modal(opened, {"kind": "z"})
    submitted = await place.server.submit_modal(opened, {"kind": "b", "extras": ["c", "d"]})
    assert place.server.messages[submitted.message_id or 0].content == "('b', ['c', 'd'], True)"
    assert place.server.violations == []


async def test_a_modal_of_six_parts_is_refused(place: Place) -> None:
    parts = [{"type": 10, "content": str(number)} for number in range(6)]

    async def act(interaction: discord.Interaction) -> None:
        url = f"{place.server.url}/interactions/{interaction.id}/{interaction.token}/callback"
        body = {"type": 9, "data": {"custom_id": "f", "title": "F", "components": parts}}
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
            assert response.status == 400

    await place.reload(act, wait=1)
    assert ["data.components: must be 1 to 5" in said for said in place.server.violations] == [True]
