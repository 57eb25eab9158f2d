"""Nothing that the gateway sends stops the bot: odd events are skipped, broken streams are resumed."""

import asyncio
import copy
import threading
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from discord.gateway import KeepAliveHandler
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from bot.app import Rewarm
from tests.stand_ins.discord import Fault
from tests.stand_ins.discord.payloads import channel_payload, member_payload
from tests.stand_ins.discord.rules import Json
from tests.wire import Wire, reload_works, running
from tests.world import CANARY

pytestmark = pytest.mark.usefixtures("virtual")
SECRET = "typed-by-a-person-0123456789"
OTHER_TYPES: tuple[Any, ...] = (None, 7, "x", "999999999999999999", [], [None], {}, True)


def events(wire: Wire) -> dict[str, Json]:
    """Return one complete event of each kind that Discord sends to a bot with our intents."""
    server = wire.guild
    guild = wire.server._guild_payload(server)
    channel, role = channel_payload(wire.art), guild["roles"][0]
    thread = {
        **channel,
        "id": "300000000000000001",
        "type": 11,
        "parent_id": str(wire.art.id),
        "owner_id": str(wire.ana.id),
        "guild_id": str(server.id),
        "message_count": 0,
        "member_count": 1,
        "thread_metadata": {
            "archived": False,
            "auto_archive_duration": 60,
            "archive_timestamp": "2026-11-29T00:00:00+00:00",
            "locked": False,
        },
    }
    member = member_payload(wire.ana) | {"guild_id": str(server.id)}
    here = {"guild_id": str(server.id)}
    entitlement = {
        "id": "1",
        "sku_id": "2",
        "application_id": str(wire.server.application_id),
        "type": 8,
        "deleted": False,
    }
    return {
        "CHANNEL_CREATE": {**channel, **here},
        "CHANNEL_UPDATE": {**channel, **here},
        "CHANNEL_PINS_UPDATE": {**here, "channel_id": channel["id"], "last_pin_timestamp": None},
        "THREAD_CREATE": thread,
        "THREAD_UPDATE": thread,
        "THREAD_LIST_SYNC": {**here, "channel_ids": [channel["id"]], "threads": [thread], "members": []},
        "THREAD_DELETE": {"id": thread["id"], **here, "parent_id": channel["id"], "type": 11},
        "GUILD_UPDATE": guild,
        "GUILD_CREATE": guild,
        "GUILD_ROLE_CREATE": {**here, "role": role | {"id": "300000000000000009"}},
        "GUILD_ROLE_UPDATE": {**here, "role": role},
        "GUILD_ROLE_DELETE": {**here, "role_id": "300000000000000009"},
        "GUILD_MEMBER_UPDATE": member,
        "GUILD_EMOJIS_UPDATE": {**here, "emojis": []},
        "GUILD_STICKERS_UPDATE": {**here, "stickers": []},
        "STAGE_INSTANCE_CREATE": {
            "id": "5",
            **here,
            "channel_id": channel["id"],
            "topic": "t",
            "privacy_level": 2,
        },
        "USER_UPDATE": {"id": str(wire.server.application_id), "username": "bot", "discriminator": "0"},
        "ENTITLEMENT_CREATE": entitlement,
        "VOICE_STATE_UPDATE": {**here, "channel_id": None, "user_id": str(wire.ana.id), "session_id": "s"},
        "INTERACTION_CREATE": interaction(wire),
        "RESUMED": {},
        "SOMETHING_NEW": {"id": "1"},
    }


def interaction(wire: Wire) -> Json:
    """Return a submitted form with a key in it."""
    box = {"type": 4, "id": 2, "custom_id": "key", "value": SECRET}
    label = {"type": 18, "id": 1, "component": box}
    return {
        "id": "400000000000000001",
        "application_id": str(wire.server.application_id),
        "type": 5,
        "token": SECRET,
        "version": 1,
        "data": {"custom_id": "no-such-form", "components": [label]},
        "guild_id": str(wire.guild.id),
        "guild": {"id": str(wire.guild.id), "locale": "en-US", "features": []},
        "channel_id": str(wire.general.id),
        "channel": {**channel_payload(wire.general), "permissions": "0"},
        "member": member_payload(wire.mod) | {"permissions": "0"},
        "app_permissions": "0",
        "locale": "en-US",
        "guild_locale": "en-US",
        "entitlements": [],
        "authorizing_integration_owners": {},
        "context": 0,
        "attachment_size_limit": 1,
    }


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the places of all fields, at any depth."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in inside:
        yield (*path, name)
        yield from places(inner, (*path, name))


def changed(event: Json, path: tuple[Any, ...], how: Any) -> Json:
    """Return an event with one field changed or, if `how` is "removed", missing."""
    odd = copy.deepcopy(event)
    at: Any = odd
    for name in path[:-1]:
        at = at[name]
    if how == "removed":
        del at[path[-1]]
    else:
        at[path[-1]] = how
    return odd


async def still_well(wire: Wire, asked: Any, pings: int = 1) -> None:
    """The reload ends and pings, and the next command is answered."""
    await wire.server.wait_for(lambda: len(wire.pings()) == pings, 200)
    assert "**Ready**" in wire.reply(asked).text


@pytest.fixture
async def counting(wire: Wire, bot: Rewarm) -> Any:
    """Start a reload that counts down."""
    bot.runner.seconds = 120.0
    asked = await wire.reload()
    await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
    return asked


async def test_any_field_of_any_event_may_be_missing_null_or_of_another_type(
    wire: Wire, bot: Rewarm, counting: Any
) -> None:
    sent = 0
    with capture_logs() as logs:
        for name, event in events(wire).items():
            for path in places(event):
                for how in ("removed", *OTHER_TYPES):
                    wire.server.emit(name, changed(event, path, how))
                    sent += 1
            for whole in OTHER_TYPES:
                wire.server.emit(name, whole)
                sent += 1
            await asyncio.sleep(0.1)
    assert sent > 2000
    assert SECRET not in str(logs)
    skipped = [line for line in logs if line["event"] == "gateway.event_skipped"]
    assert {"CHANNEL_UPDATE", "GUILD_CREATE", "THREAD_CREATE", "INTERACTION_CREATE"} <= {
        line["event_name"] for line in skipped
    }
    assert {key for line in skipped for key in line} == {"event", "event_name", "error", "log_level"}
    counted = {
        sample.labels["event"]: sample.value
        for family in text_string_to_metric_families(bot.metrics.text().decode())
        for sample in family.samples
        if sample.name == "rewarm_gateway_events_skipped_total"
    }
    assert counted["CHANNEL_UPDATE"] == sum(line["event_name"] == "CHANNEL_UPDATE" for line in skipped)
    await still_well(wire, counting)
    assert await bot.store.key(wire.guild.id) is not None, "no event alone deletes anything"


async def test_a_command_that_cannot_be_read_costs_nobody_else_anything(wire: Wire, counting: Any) -> None:
    for path in places(interaction(wire)):
        wire.server.emit("INTERACTION_CREATE", changed(interaction(wire), path, None))
    other = await wire.server.slash(wire.ben, wire.art, "reload", {"model_id": "another"})
    await wire.server.wait_for(lambda: "left" in wire.reply(other).text)
    await still_well(wire, counting, 2)


FRAMES = {
    "garbage": b"<html>",
    "an array": b"[1, 2]",
    "a number": b"7",
    "null": b"null",
    "no text": b"\xff\xfe\x00",
    "hello without interval": orjson.dumps({"op": 10, "d": {}}),
    "hello with nothing": orjson.dumps({"op": 10, "d": None}),
    "an event without a name": orjson.dumps({"op": 0, "t": None, "s": 1, "d": {}}),
    "an event whose name is a list": orjson.dumps({"op": 0, "t": [], "s": 1, "d": {}}),
    "an operation that is a word": orjson.dumps({"op": "x", "d": None}),
    "ready without a session": orjson.dumps({"op": 0, "t": "READY", "s": 1, "d": {}}),
    "ready with nothing": orjson.dumps({"op": 0, "t": "READY", "s": 1, "d": None}),
}


@pytest.mark.parametrize("frame", FRAMES)
async def test_a_stream_that_cannot_be_read_is_a_lost_connection(
    wire: Wire, bot: Rewarm, counting: Any, frame: str
) -> None:
    await wire.server.send_frame(FRAMES[frame])
    await asyncio.sleep(30)
    assert bot.is_connected()
    assert len(wire.server.identifies) <= 2
    await still_well(wire, counting)


async def test_a_stream_whose_compression_breaks_is_resumed(wire: Wire, bot: Rewarm, counting: Any) -> None:
    await wire.server.send_frame(b"\x00\x00\xff\xff" * 4, raw=True)
    await wire.server.wait_for(lambda: wire.server.resumes == 1, 30)
    assert len(wire.server.identifies) == 1
    await still_well(wire, counting)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frame=st.binary(max_size=200) | st.text(max_size=50).map(str.encode), raw=st.booleans())
async def test_any_bytes_may_come(wire: Wire, bot: Rewarm, frame: bytes, raw: bool) -> None:
    await wire.server.wait_for(bot.is_connected, 2000)
    await wire.server.send_frame(frame, raw=raw)
    await asyncio.sleep(1)
    assert not bot.is_closed()


async def test_a_stream_that_breaks_again_and_again_is_asked_for_more_and_more_rarely(
    wire: Wire, bot: Rewarm
) -> None:
    """Discord resends what breaks it after each resume; a new login leaves it behind."""
    await wire.ready()
    wire.server.emit("READY", None)
    await asyncio.sleep(600)
    assert bot.is_connected()
    assert len(wire.server.identifies) <= 3
    assert wire.server.resumes <= 10


async def test_a_removal_that_discord_does_not_confirm_deletes_nothing(
    wire: Wire, bot: Rewarm, counting: Any
) -> None:
    wire.server.emit("GUILD_DELETE", {"id": str(wire.guild.id)})
    await still_well(wire, counting)
    assert (await bot.keys.open(wire.guild.id)).secret.get_secret_value() == CANARY


async def test_a_removal_is_confirmed_through_trouble_and_then_deletes(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(wire.settings(), monkeypatch) as bot:
        await wire.set_key()
        await wire.reload()
        wire.server.faults.append(Fault("GET", "/users/@me/guilds", times=5, status=503))
        wire.server.remove_guild(wire.guild)
        await asyncio.sleep(2)
        assert await bot.store.key(wire.guild.id) is not None
        await asyncio.sleep(120)
        assert await bot.store.key(wire.guild.id) is None
        assert await bot.store.history(wire.guild.id) == []


@pytest.mark.usefixtures("bot")
async def test_a_second_hello_leaves_one_heartbeat(wire: Wire) -> None:
    """discord.py would leave the first one running unheard, which ends the connection a minute later."""
    await wire.server.send_frame(orjson.dumps({"op": 10, "d": {"heartbeat_interval": 41_000}}))
    await reload_works(wire)
    beating = [thread for thread in threading.enumerate() if isinstance(thread, KeepAliveHandler)]
    assert len([thread for thread in beating if not thread._stop_ev.is_set()]) == 1
