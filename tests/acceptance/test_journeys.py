"""Whole conversations with the real bot: what people type, see and are pinged for."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
import simcord
from simcord.types import HttpLogEntry

from bot.app import Rewarm
from tests.fixtures import close
from tests.stand_ins.model_api import ACCEPTED, Answer, ModelApiServer
from tests.world import CANARY, START, World, said

Restart = Callable[[], Awaitable[None]]


def refused(message: str, status: int = 200, **fields: Any) -> Answer:
    return Answer({"status": "error", "message": message, **fields}, status)


async def test_reload_counts_down_ends_and_pings(world: World, api: ModelApiServer) -> None:
    await world.reload()
    await world.env.advance_time(125)

    [call] = api.calls
    assert call.path == "/api/v4/dreambooth/model_reload"
    assert call.body == {"key": CANARY, "model_id": "sdxl-turbo"}

    *countdown, ready = world.replies()
    assert [seen.at for seen in countdown] == [float(at) for at in range(0, 120, 5)]
    for seen in countdown:
        assert seen.word == "Reloading"
        assert left_shown(seen.text) == 120 - seen.at
    assert (ready.word, ready.at) == ("Ready", 120.0)
    assert "2 minutes" in ready.text
    assert "Not confirmed yet" in ready.text

    [ping] = world.pings()
    assert ping.at == 120.0
    assert ping.channel == world.general.id
    assert ping.pinged == {world.ana.id}
    assert "sdxl-turbo` should be ready" in ping.text


def left_shown(text: str) -> int:
    """The seconds in "1 min 45 s left"."""
    found = re.search(r"(?:(\d+) min)? ?(?:(\d+) s)? left", text)
    assert found, text
    return 60 * int(found[1] or 0) + int(found[2] or 0)


def body(request: HttpLogEntry) -> dict[str, Any]:
    assert isinstance(request.json, dict)
    return request.json


async def test_ping_is_a_reply_with_a_nonce_and_mentions_only_who_asked(world: World) -> None:
    await world.reload()
    await world.env.advance_time(125)
    posts = [r for r in world.env.http_requests if r.method == "POST" and r.path.endswith("/messages")]
    [ping] = [body(post) for post in posts]
    reply = world.last().message
    assert int(ping["message_reference"]["message_id"]) == reply
    assert ping["message_reference"]["fail_if_not_exists"] is False
    assert ping["enforce_nonce"] is True
    assert re.fullmatch(r"\d+-0r", ping["nonce"])
    assert len(ping["nonce"]) <= 25
    assert [int(user) for user in ping["allowed_mentions"]["users"]] == [world.ana.id]
    assert ping["allowed_mentions"]["parse"] == []


async def test_edits_may_mention_only_whom_they_name(world: World) -> None:
    """Discord notifies nobody of an edit; a name that an edit may not mention reads as @unknown-user."""
    await world.reload()
    await world.env.advance_time(125)
    edits = [body(r) for r in world.env.http_requests if r.method == "PATCH"]
    assert len(edits) >= 25
    for edit in edits:
        names_ana = f"<@{world.ana.id}>" in str(edit["components"])
        named = {"users": [world.ana.id]} if names_ana else {}
        assert edit["allowed_mentions"] == {"parse": []} | named


ENDINGS = {
    "wrong key": (refused("Invalid API key", 401), "Failed", "rejects this server's key"),
    "unknown model": (refused("Model not found: sdxl-turbo"), "Failed", "doesn't know this model"),
    "no credits": (refused("Insufficient credits. Top up.", 402), "Failed", "out of credits"),
    "plan": (refused("Feature not available", 403), "Failed", "doesn't include this model"),
    "other": (refused("The sky is falling"), "Failed", "refused: `The sky is falling`"),
    "vendor": (refused("Something broke, try again", 500), "Failed", "is having problems"),
    "long wait": (refused("Rate limit exceeded", 429, retry_after=90), "Failed", "slow down"),
    "spam filter": (refused("Rate limit exceeded"), "Failed", "slow down"),
    "page": (Answer(b"<html>oops</html>", 502), "Unclear", "no clear answer came back"),
    "nothing": (Answer(b"", 200), "Unclear", "no clear answer came back"),
    "new word": (Answer({"status": "queued"}), "Unclear", "no clear answer came back"),
}


@pytest.mark.parametrize("case", ENDINGS)
async def test_each_refusal_has_its_own_ending(world: World, api: ModelApiServer, case: str) -> None:
    answer, word, sentence = ENDINGS[case]
    api.reloads = [answer]
    await world.reload()
    await world.env.advance_time(1)
    assert world.last().word == word
    assert sentence in world.last().text
    assert len(api.calls) == 1
    assert world.pings() == [], "who asked a moment ago is still looking"


async def test_named_wait_is_waited_out_in_sight(world: World, api: ModelApiServer) -> None:
    api.reloads = [refused("Rate limit exceeded", 429, retry_after=12), Answer(ACCEPTED)]
    await world.reload()
    assert world.last().word == "Waiting"
    assert "Starting in 12 s" in world.last().text
    await world.env.advance_time(11)
    assert len(api.calls) == 1
    await world.env.advance_time(2)
    assert len(api.calls) == 2
    assert world.last().word == "Reloading"


async def test_named_waits_are_waited_out_twice_then_failed(world: World, api: ModelApiServer) -> None:
    api.reloads = [refused("Rate limit exceeded", 429, retry_after=5)]
    await world.reload()
    await world.env.advance_time(30)
    assert len(api.calls) == 3
    assert world.last().word == "Failed"
    assert "again at <t:" in world.last().text


async def unreachable_after_a_named_wait(world: World, api: ModelApiServer) -> None:
    api.reloads = [refused("Rate limit exceeded", 429, retry_after=3)]
    await world.reload()
    await api.close()
    await world.env.advance_time(8)


async def test_after_a_named_wait_nobody_says_that_nothing_was_sent(
    world: World, api: ModelApiServer
) -> None:
    await unreachable_after_a_named_wait(world, api)
    assert "couldn't be reached. Nothing was reloaded." in world.last().text


async def test_after_a_named_wait_the_spam_filter_still_counts(world: World, api: ModelApiServer) -> None:
    await unreachable_after_a_named_wait(world, api)
    await world.reload()
    assert world.last().word == "Waiting"


async def test_failure_after_a_while_pings(world: World, api: ModelApiServer) -> None:
    api.reloads = [refused("Rate limit exceeded", 429, retry_after=20), refused("Model not found: x")]
    await world.reload()
    await world.env.advance_time(25)
    [ping] = world.pings()
    assert "was not reloaded" in ping.text


async def test_second_asker_joins_and_both_are_pinged(world: World, api: ModelApiServer) -> None:
    await world.reload(world.ana)
    await world.env.advance_time(60)
    joined = said(await world.reload(world.ben))
    assert "already reloading: 1 min left" in joined
    assert f"https://discord.com/channels/{world.guild.id}/{world.general.id}/" in joined
    await world.env.advance_time(10)
    assert f"<@{world.ben.id}>" in world.last().text
    await world.env.advance_time(60)
    assert len(api.calls) == 1
    [ping] = world.pings()
    assert ping.pinged == {world.ana.id, world.ben.id}


async def test_joiner_elsewhere_is_pinged_there_with_a_link(world: World) -> None:
    await world.reload(world.ana)
    await world.reload(world.ben, where=world.art)
    await world.env.advance_time(125)
    by_channel = {ping.channel: ping for ping in world.pings()}
    assert by_channel[world.general.id].pinged == {world.ana.id}
    assert by_channel[world.art.id].pinged == {world.ben.id}
    assert f"/{world.general.id}/{world.last().message}" in by_channel[world.art.id].text


async def test_joiner_of_a_quick_failure_is_pinged(world: World, api: ModelApiServer) -> None:
    api.reloads = [refused("Rate limit exceeded", 429, retry_after=3), refused("Model not found: x")]
    await world.reload(world.ana)
    await world.reload(world.ben)
    await world.env.advance_time(5)
    [ping] = world.pings()
    assert ping.pinged == {world.ben.id}


async def test_two_askers_in_the_same_instant_make_one_post(world: World, api: ModelApiServer) -> None:
    for who in (world.ana, world.ben):
        world.deliver(world.reload_event(who))
    await world.env.settle()
    await world.env.advance_time(125)
    assert len(api.calls) == 1
    [ping] = world.pings()
    assert ping.pinged == {world.ana.id, world.ben.id}


async def test_interaction_delivered_twice_is_answered_once(world: World, api: ModelApiServer) -> None:
    event = world.reload_event(world.ana)
    world.deliver(event)
    world.deliver(event)
    await world.env.settle()
    world.deliver(event)
    await world.env.advance_time(125)
    assert len(api.calls) == 1
    assert len({seen.message for seen in world.replies()}) == 1
    [ping] = world.pings()
    assert ping.text.count("<@") == 1


async def test_too_late_to_acknowledge_calls_nobody(world: World, api: ModelApiServer) -> None:
    world.env.inject_error("POST", "/interactions/*/*/callback", status=404, code=10062)
    world.deliver(world.reload_event(world.ana))
    await world.env.settle()
    await world.env.advance_time(125)
    assert api.calls == []
    assert world.seen() == []
    await world.reload(world.ben)
    assert len(api.calls) == 1, "nothing is left of the first"


async def test_other_model_and_other_server_do_not_join(
    world: World, env: simcord.Env, api: ModelApiServer
) -> None:
    other = World(env)
    await other.set_key("another-servers-key")
    await world.reload()
    await world.reload(model="anything-v3")
    await other.reload()
    assert [call.body["key"] for call in api.calls] == [CANARY, CANARY, "another-servers-key"]


async def test_same_model_again_waits_for_the_spam_filter(world: World, api: ModelApiServer) -> None:
    api.reloads = [refused("Model not found: sdxl-turbo"), Answer(ACCEPTED)]
    await world.reload()
    await world.env.advance_time(5)
    await world.reload()
    assert world.last().word == "Waiting"
    assert "Starting in 25 s" in world.last().text
    await world.env.advance_time(24)
    assert len(api.calls) == 1
    await world.env.advance_time(2)
    assert len(api.calls) == 2


@pytest.mark.parametrize(
    "text", ["a b", "../etc", "/x", "x" * 101, "ö", "a\nb", "https://evil.example/x", "@everyone"]
)
async def test_bad_model_id_gets_a_private_sentence(world: World, api: ModelApiServer, text: str) -> None:
    assert "isn't a model ID" in said(await world.reload(model=text))
    assert api.calls == []


async def test_pasted_page_is_understood(world: World, api: ModelApiServer) -> None:
    await world.reload(model=" `https://modelslab.com/models/SDXL-Turbo?x=1` ")
    assert api.calls[0].body["model_id"] == "SDXL-Turbo"


async def test_no_key_member_is_sent_to_a_moderator(env: simcord.Env, api: ModelApiServer) -> None:
    world = World(env)
    assert re.search(r"Ask a moderator to run `/key set`", said(await world.reload(world.ana)))
    assert re.search(r"Set one with </key set:\d+>", said(await world.reload(world.mod)))
    assert api.calls == []


async def test_too_many_of_one_member(world: World, api: ModelApiServer) -> None:
    for number in range(5):
        await world.reload(model=f"model-{number}")
    text = said(await world.reload(model="model-5"))
    assert "You already have 5 reloads running, which is the limit." in text
    assert f"The next one finishes <t:{int(START) + 120}:R>." in text
    assert len(api.calls) == 5
    await world.env.advance_time(121)
    await world.reload(model="model-5")
    assert len(api.calls) == 6


async def test_too_many_in_one_server(world: World, api: ModelApiServer) -> None:
    crowd = [world.guild.add_member(world.env.create_user(f"user{number}")) for number in range(5)]
    for number in range(20):
        await world.reload(crowd[number // 5], model=f"model-{number}")
    assert "This server already has 20 reloads running" in said(
        await world.reload(crowd[4], model="one-more")
    )
    assert len(api.calls) == 20


async def test_autocomplete_offers_this_servers_models_best_first(world: World, env: simcord.Env) -> None:
    other = World(env)
    await other.set_key()
    await other.reload(model="turbo-secret")
    for model in ("sdxl-turbo", "turbo-v2", "midjourney"):
        await world.reload(model=model)
    choices = await world.ana.autocomplete(world.general, "reload", "model_id", "Turbo")
    assert [choice["value"] for choice in choices] == ["turbo-v2", "sdxl-turbo", "Turbo"]


async def test_key_is_checked_before_it_is_stored(world: World, api: ModelApiServer) -> None:
    [check] = api.balance_calls
    assert check.path == "/api/wallet_balance"
    assert check.body == {"key": CANARY}


async def test_invalid_key_is_refused_and_the_old_one_kept(world: World, api: ModelApiServer) -> None:
    api.balances = [refused("Invalid API key", 401)]
    assert "wasn't stored" in said(await world.set_key("mistyped-key-123456"))
    await world.reload()
    assert api.calls[0].body["key"] == CANARY


async def test_key_that_cannot_be_checked_is_stored_and_says_so(
    env: simcord.Env, api: ModelApiServer
) -> None:
    api.balances = [Answer(b"<html>", 500)]
    world = World(env)
    assert "couldn't check" in said(await world.set_key())
    await world.reload()
    assert len(api.calls) == 1


@pytest.mark.parametrize("key", ["two words", "x" * 257, "tab\there"])
async def test_text_that_cannot_be_a_key_is_not_sent_anywhere(
    env: simcord.Env, api: ModelApiServer, key: str
) -> None:
    world = World(env)
    assert "doesn't look like an API key" in said(await world.set_key(key))
    assert api.balance_calls == []


async def test_name_of_who_set_the_key_mentions_nobody(env: simcord.Env) -> None:
    world = World(env)
    odd = world.guild.add_member(
        env.create_user("<@123456789012345678> *bold* \u202ehttps://x.example"), roles=[world.managers]
    )
    modal = await odd.slash(world.general, "key set")
    await odd.submit_modal(modal, {"key": CANARY})
    text = said(await odd.slash(world.general, "key status"))
    assert "<@123456789012345678>" not in text
    assert "*bold*" not in text.replace("\\*", "")
    assert "https://" not in text, "it would be a link"
    assert "\u202e" not in text, "it would turn the rest of the line around"


async def test_long_wait_is_told_as_the_time_when_it_works_again(world: World, api: ModelApiServer) -> None:
    api.reloads = [refused("Rate limit exceeded", 429, retry_after=90)]
    await world.reload()
    await world.env.advance_time(1)
    assert f"again at <t:{int(START) + 90}:T>" in world.last().text


async def test_key_status_says_who_when_and_the_last_four(world: World) -> None:
    text = said(await world.mod.slash(world.general, "key status"))
    assert "set by mod" in text
    assert "<@" not in text
    assert f"<t:{int(START)}:f>" in text
    assert f"ends in `{CANARY[-4:]}`" in text
    assert CANARY[:-4] not in text


async def test_moderators_hear_what_is_left_to_spend(env: simcord.Env, api: ModelApiServer) -> None:
    world = World(env)
    form = await world.mod.slash(world.general, "key set")
    assert "This server's moderators can see" in str(form.modal)
    stored = said(await world.mod.submit_modal(form, {"key": CANARY}))
    assert re.search(r"The API says 43\.60 USD is left, as of <t:\d+:t>\.", stored)
    api.balances = [Answer({"status": "success", "data": {"balance": 41, "currency": "USD"}})]
    assert "41.00 USD is left" in said(await world.mod.slash(world.general, "key status"))


@pytest.mark.parametrize("answer", [{"status": "success"}, {"status": "error"}, []])
async def test_no_balance_is_said_where_the_api_has_none(
    world: World, api: ModelApiServer, answer: Any
) -> None:
    api.balances = [Answer(answer)]
    text = said(await world.mod.slash(world.general, "key status"))
    assert "set by mod" in text
    assert "left" not in text


async def test_removed_key_is_gone(world: World, api: ModelApiServer) -> None:
    assert "for good?" in said(await world.mod.slash(world.general, "key remove"))
    assert "set by mod" in said(await world.mod.slash(world.general, "key status"))
    assert "deleted" in said(await world.remove_key())
    assert "nothing to delete" in said(await world.mod.slash(world.general, "key remove"))
    assert "no API key" in said(await world.mod.slash(world.general, "key status"))
    assert "no API key" in said(await world.reload())
    assert api.calls == []


@pytest.mark.parametrize("command", ["key set", "key status", "key remove"])
async def test_members_neither_see_nor_may_run_the_key_commands(world: World, command: str) -> None:
    with pytest.raises(simcord.SetupError, match="not visible"):
        await world.ana.slash(world.general, command)
    # An administrator may open the command to everybody: then the bot itself refuses.
    bot = world.env.bot
    assert isinstance(bot, Rewarm)
    [key] = [command for command in await bot.tree.fetch_commands() if command.name == "key"]
    world.guild.set_command_permissions(key.id, {world.guild.default_role: True})
    assert "Manage Server" in said(await world.ana.slash(world.general, command))


async def test_right_taken_away_while_the_modal_is_open(env: simcord.Env, api: ModelApiServer) -> None:
    world = World(env)
    modal = await world.mod.slash(world.general, "key set")
    env.backend.remove_member_role(world.guild.id, world.mod.id, world.managers.id)
    result = await world.mod.submit_modal(modal, {"key": CANARY})
    assert "Manage Server" in said(result)
    assert api.balance_calls == []


async def test_restart_in_mid_countdown_goes_on_and_pings(
    world: World, restart: Restart, api: ModelApiServer
) -> None:
    await world.reload()
    await world.env.advance_time(42)
    await restart()
    await world.env.advance_time(80)
    assert world.last().word == "Ready"
    assert world.last().at == 120.0
    assert "late" not in world.last().text
    [ping] = world.pings()
    assert ping.at == 120.0
    assert ping.pinged == {world.ana.id}
    assert len(api.calls) == 1
    assert all(left_shown(s.text) == 120 - s.at for s in world.replies() if s.word == "Reloading")


async def test_deadline_that_passed_while_the_bot_was_away_is_told_late(
    env: simcord.Env, world: World, build_bot: Callable[[], Awaitable[Rewarm]], api: ModelApiServer
) -> None:
    await world.reload()
    await close(env)
    await env.advance_time(300)
    await env.restart_bot(await build_bot())
    await env.advance_time(5)
    assert world.last().word == "Ready"
    assert "late" in world.last().text
    [ping] = world.pings()
    assert "late" in ping.text
    assert len(api.calls) == 1


async def test_removed_from_the_server_forgets_it(world: World, api: ModelApiServer) -> None:
    await world.reload()
    await world.env.advance_time(10)
    edits = len(world.seen())
    world.env.backend.remove_guild(world.guild.id)
    await world.env.settle()
    await world.env.advance_time(130)
    assert len(world.seen()) == edits
    bot = world.env.bot
    assert isinstance(bot, Rewarm)
    assert await bot.store.history(world.guild.id) == []
    assert await bot.store.key(world.guild.id) is None


async def test_commands_are_guild_only_and_key_is_hidden(world: World) -> None:
    [sync] = [r for r in world.env.http_requests if r.method == "PUT" and r.path.endswith("/commands")]
    by_name = {command["name"]: command for command in orjson.loads(orjson.dumps(sync.json))}
    assert set(by_name) == {"reload", "key", "models", "help", "settings"}
    for command in by_name.values():
        assert command["integration_types"] == [0]
        assert command["contexts"] == [0]
    assert int(by_name["key"]["default_member_permissions"]) == 32  # Manage Server
    for everybody in ("reload", "models", "help"):
        assert by_name[everybody]["default_member_permissions"] is None


async def test_unchanged_commands_are_not_sent_again(world: World, restart: Restart) -> None:
    await restart()
    syncs = [r for r in world.env.http_requests if r.method == "PUT" and r.path.endswith("/commands")]
    assert len(syncs) == 1
    assert re.search(r"</key set:\d+>", said(await world.mod.slash(world.general, "key status")))
