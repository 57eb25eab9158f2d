"""The real discord.py over real sockets, with things that go wrong on the way."""

import asyncio
import gc
import io
import itertools
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import discord
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from bot.app import Rewarm
from bot.domain.picture import Picture
from bot.domain.reload import Asker, Outcome, Reload, State
from bot.reloads import countdown
from bot.store.file import NAME as FILE_NAME
from bot.words import reload as reload_words
from bot.words.common import span
from tests import as_read
from tests.stand_ins.discord import Fault
from tests.stand_ins.discord.component_rules import text_of
from tests.stand_ins.model_api import Answer
from tests.wire import Wire, all_ended, ended, running, sleep_through
from tests.world import CANARY

if TYPE_CHECKING:
    from bot.store.embedded import EmbeddedStore

pytestmark = pytest.mark.usefixtures("virtual")
CALLBACK, BY_TOKEN, BY_CHANNEL = r"/callback$", r"^/webhooks/.*/messages/", r"^/channels/.*/messages/"
PING = r"^/channels/\d+/messages$"
SECONDS = 3.0


async def test_lost_answer_to_the_deferral_is_no_second_command(wire: Wire, bot: Rewarm) -> None:
    wire.server.faults.append(Fault("POST", CALLBACK, reset="after"))
    asked = await wire.reload()
    assert (await ended(wire, bot, asked)).startswith("Ready")
    assert len(wire.api.calls) == 1
    assert [ping.mentions for ping in wire.pings()] == [{wire.ana.id}]


@pytest.mark.parametrize("how", [{"reset": "before"}, {"status": 502}])
async def test_deferral_is_tried_again_in_time(wire: Wire, bot: Rewarm, how: dict[str, Any]) -> None:
    wire.server.faults.append(Fault("POST", CALLBACK, **how))
    asked = await wire.reload()
    assert (await ended(wire, bot, asked)).startswith("Ready")
    assert len(wire.api.calls) == 1


async def test_number_that_had_to_wait_is_not_shown_stale(wire: Wire, bot: Rewarm) -> None:
    """A 429 makes discord.py send the same edit again after its wait; by then its number is wrong."""
    wire.server.faults.append(
        Fault("PATCH", BY_TOKEN, status=429, body={"retry_after": 1.2, "message": "wait"})
    )
    asked = await wire.reload()
    assert (await ended(wire, bot, asked)).startswith("Ready")
    [call] = wire.api.calls
    for at, version in wire.reply(asked).history:
        if found := re.search(r"(\d+) s left", text_of("", version["components"])):
            assert abs(call.at + SECONDS - at - int(found[1])) < 1.0


async def test_ending_is_on_time_when_the_countdown_hangs(wire: Wire, bot: Rewarm) -> None:
    wire.server.faults.append(Fault("PATCH", BY_TOKEN, delay=30))
    asked = await wire.reload()
    await wire.server.wait_for(lambda: "Ready" in wire.reply(asked).text, 10)
    at, _ = wire.reply(asked).history[-1]
    assert at - wire.api.calls[0].at - SECONDS < 1.0


async def test_without_permission_to_send_the_ping_is_a_follow_up(wire: Wire, bot: Rewarm) -> None:
    wire.general.may_send = False
    asked = await wire.reload()
    await ended(wire, bot, asked)
    [ping] = wire.pings()
    assert ping.mentions == {wire.ana.id}
    assert ping.interaction is asked
    assert len([r for r in wire.server.requests if r.status == 403]) == 1


async def test_a_ping_that_automod_blocks_is_a_follow_up(wire: Wire, bot: Rewarm) -> None:
    wire.guild.blocked_words.add("sdxl")
    asked = await wire.reload()
    await ended(wire, bot, asked)
    [ping] = wire.pings()
    assert ping.interaction is asked
    assert len([r for r in wire.server.requests if r.status == 400]) == 1


async def test_without_read_history_the_ping_has_no_reference(wire: Wire, bot: Rewarm) -> None:
    wire.general.may_read_history = False
    asked = await wire.reload()
    await ended(wire, bot, asked)
    [ping] = wire.pings()
    assert ping.reply_to is None
    assert ping.nonce == f"{asked.id}-0r"


async def test_without_read_history_as_discord_says_it_since_2026_the_ping_has_no_reference(
    wire: Wire, bot: Rewarm
) -> None:
    wire.server.faults.append(Fault("POST", PING, status=400, code=160009))
    asked = await wire.reload()
    await ended(wire, bot, asked)
    [ping] = wire.pings()
    assert ping.reply_to is None
    assert ping.nonce == f"{asked.id}-0r"


async def test_edits_of_an_old_message_that_are_refused_are_tried_more_and_more_rarely(
    wire: Wire, bot: Rewarm
) -> None:
    """30046 names no wait, for example for a picture in a reply that is older than an hour."""
    await ended(wire, bot, await wire.reload())
    [known] = await bot.store.history(wire.guild.id)
    body = {"message": "Maximum number of edits to messages older than 1 hour reached.", "code": 30046}
    refused = [Fault("PATCH", path, times=1000, status=429, body=body) for path in (BY_TOKEN, BY_CHANNEL)]
    wire.server.faults += refused
    before = len(wire.server.requests)
    showing = asyncio.create_task(
        bot.replies.of(known).show_test(known, Picture(b"\x89PNG\r\n\x1a\n", "p.png"))
    )
    await asyncio.sleep(600)
    assert 2 < len(wire.server.requests) - before < 15
    wire.server.faults.clear()
    assert await asyncio.wait_for(showing, 700)


@pytest.mark.parametrize("slept", [30.0, 60.0, 97.0])
async def test_after_a_suspend_the_reply_is_right_at_once(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, slept: float
) -> None:
    async with running(wire.settings(reload_seconds=120.0), monkeypatch) as bot:
        await wire.set_key()
        asked = await wire.reload()
        await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
        accepted = wire.api.calls[0].at
        await asyncio.sleep(17)
        edits = len(wire.reply(asked).history)
        sleep_through(slept)
        await wire.server.wait_for(lambda: len(wire.reply(asked).history) > edits, 0.5)
        left = accepted + 120 - asyncio.get_running_loop().time()
        assert as_read(f" {span(left, bot.languages.of('en-US'))} left") in wire.reply(asked).text
        await wire.server.wait_for(wire.pings, left + 1)
        assert "late" not in wire.reply(asked).text + wire.pings()[0].text


async def test_after_a_suspend_past_the_end_the_ending_comes_at_once_and_is_said_to_be_late(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(wire.settings(reload_seconds=120.0), monkeypatch):
        await wire.set_key()
        asked = await wire.reload()
        await asyncio.sleep(17)
        edits = len(wire.reply(asked).history)
        with capture_logs() as logs:
            sleep_through(300)
            await wire.server.wait_for(wire.pings, 0.5)
        assert len(wire.reply(asked).history) == edits + 1, "nothing but the ending"
        assert wire.reply(asked).text.startswith("**Ready**")
        assert "Sorry, this is late" in wire.reply(asked).text
        assert "reply.failed" not in [line["event"] for line in logs]


async def test_with_the_clock_set_back_a_countdown_goes_on_and_nobody_is_told_hours(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(wire.settings(reload_seconds=120.0), monkeypatch) as bot:
        await wire.set_key()
        asked = await wire.reload()
        await asyncio.sleep(17)
        now = bot.now
        monkeypatch.setattr(bot, "now", lambda: now() - 5 * 3600)
        bot.runner._services.now = bot.now
        joined = await wire.server.slash(wire.ben, wire.art, "reload", {"model_id": "sdxl-turbo"})
        await wire.server.wait_for(lambda: "already reloading" in wire.reply(joined).text)
        await wire.server.wait_for(wire.pings, 105)
        texts = [str(components) for _, components in wire.reply(asked).history]
        assert not [text for text in (*texts, wire.reply(joined).text) if re.search(r"\d h\b", text)]


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("jump", [3600.0, 5 * 86400.0])
async def test_with_the_clock_set_ahead_a_countdown_ends_in_time_and_is_not_said_to_be_late(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, jump: float, hidden: bool
) -> None:
    """A small computer starts with the clock of its last stop. No token is older for that."""
    ahead = [0.0]
    async with running(wire.settings(reload_seconds=60.0), monkeypatch, ahead=lambda: sum(ahead)) as bot:
        await wire.set_key()
        wire.server.let_view(wire.general, may_view=not hidden)
        asked = await wire.reload()
        await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
        await asyncio.sleep(17)
        edits = len(wire.reply(asked).history)
        ahead.append(jump)
        await wire.server.wait_for(wire.pings, 45)
        assert len(wire.reply(asked).history) >= edits + 8, "it counted on"
        assert wire.reply(asked).text.startswith("**Ready**")
        assert "late" not in wire.reply(asked).text + wire.pings()[0].text
        [known] = await bot.store.history(wire.guild.id)
        assert known.used_at == pytest.approx(bot.now(), abs=5), "for how long it is warm"


@pytest.mark.parametrize("hidden", [False, True])
async def test_with_the_clock_set_ahead_a_test_image_that_was_asked_for_is_made(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, hidden: bool
) -> None:
    ahead = [0.0]
    async with running(wire.settings(reload_seconds=60.0), monkeypatch, ahead=lambda: sum(ahead)):
        await wire.set_key()
        wire.server.let_view(wire.general, may_view=not hidden)
        asked = await wire.reload()
        await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
        question = await wire.server.press(wire.ana, wire.reply(asked), "Test it too")
        await wire.server.press(wire.ana, wire.reply(question), "Yes, test it")
        ahead.append(3600.0)
        await wire.server.wait_for(lambda: wire.reply(asked).text.startswith("**Confirmed**"), 90)
        await wire.server.wait_for(wire.pings, 60)


async def test_deleted_reply_is_left_alone_and_the_ping_carries_the_ending(wire: Wire, bot: Rewarm) -> None:
    asked = await wire.reload()
    await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
    assert asked.message_id is not None
    wire.server.delete_message(asked.message_id)
    await ended(wire, bot, asked)
    [ping] = wire.pings()
    assert "**Ready**" in ping.text
    assert "Not confirmed yet" in ping.text
    assert len([r for r in wire.server.requests if r.status == 404]) == 1


async def test_refusal_that_the_reply_cannot_show_is_pinged(wire: Wire, bot: Rewarm) -> None:
    refused = {"status": "error", "message": "Insufficient credits."}

    async def answer(_: object) -> web.StreamResponse:
        wire.server.kill_token(asked)
        wire.server.delete_message(asked.message_id or 0)
        return web.json_response(refused, status=402)

    wire.api.reloads = [Answer(handler=answer)]
    asked = await wire.reload()
    await ended(wire, bot, asked)
    [ping] = wire.pings()
    assert "out of credits" in ping.text
    assert ping.mentions == {wire.ana.id}


async def test_deleted_channel_ends_quietly(wire: Wire, bot: Rewarm) -> None:
    asked = await wire.reload()
    await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
    wire.server.delete_channel(wire.general)
    await ended(wire, bot, asked)
    assert len([r for r in wire.server.requests if r.status == 404]) <= 3


async def test_dead_token_goes_on_by_channel(wire: Wire, bot: Rewarm) -> None:
    asked = await wire.reload()
    await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
    wire.server.kill_token(asked)
    assert (await ended(wire, bot, asked)).startswith("Ready")
    assert [ping.mentions for ping in wire.pings()] == [{wire.ana.id}]
    assert len([r for r in wire.server.requests if r.status == 401]) == 1


async def test_lost_answer_to_the_ping_pings_once(wire: Wire, bot: Rewarm) -> None:
    wire.server.faults.append(Fault("POST", PING, reset="after"))
    asked = await wire.reload()
    await ended(wire, bot, asked)
    assert len([r for r in wire.server.requests if re.search(PING, r.path) and r.method == "POST"]) == 2
    assert [ping.mentions for ping in wire.pings()] == [{wire.ana.id}]


async def test_storage_in_trouble_is_said_in_time_and_nothing_runs_later(wire: Wire, bot: Rewarm) -> None:
    other = sqlite3.connect(wire.folder / "data" / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    asked = await wire.reload()
    assert asked.ephemeral
    assert "is wrong with our storage" in wire.reply(asked).text
    assert re.search(r"ref [0-9A-F]{4}", wire.reply(asked).text)
    other.rollback()
    other.close()
    await bot.store.set_value("queued behind it", 1)
    async with asyncio.timeout(10):
        while await bot.store.history(wire.guild.id):
            await asyncio.sleep(0.1)
    assert wire.api.calls == []
    assert (await ended(wire, bot, await wire.reload())).startswith("Ready")


@contextmanager
def trouble(wire: Wire, bot: Rewarm, how: str) -> Iterator[None]:
    """Have the disk take nothing for a while."""
    store = cast("EmbeddedStore", bot.store)
    other = sqlite3.connect(wire.folder / "data" / FILE_NAME, isolation_level=None)
    if how == "locked":
        other.execute("BEGIN IMMEDIATE")
    else:
        store._pragma("query_only=ON")  # SQLite's own "attempt to write a readonly database"
    yield
    other.close()
    store._pragma("query_only=OFF")


@pytest.mark.parametrize("how", ["locked", "read-only"])
async def test_storage_that_fails_in_mid_countdown_does_not_stop_it(
    wire: Wire, bot: Rewarm, how: str
) -> None:
    asked = await wire.reload()
    await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
    with trouble(wire, bot, how):
        await wire.server.wait_for(wire.pings, 25)
        assert wire.reply(asked).text.startswith("**Ready**")
        refused = await wire.reload(wire.ben, "another")
        assert refused.ephemeral
        assert "Something is wrong with our storage" in wire.reply(refused).text
        form = await wire.server.submit_modal(
            await wire.server.slash(wire.mod, wire.general, "key set"), {0: "another-key-0123456789"}
        )
        await wire.server.wait_for(lambda: "is wrong with our storage" in wire.reply(form).text, 20)
        assert "has been stored, encrypted" not in str(wire.reply(form).history)
    assert (await bot.keys.open(wire.guild.id)).secret.get_secret_value() == CANARY, "not half a key"
    await ended(wire, bot, asked, 30)
    again = await wire.reload(wire.ben, "another")
    assert (await ended(wire, bot, again)).startswith("Ready")
    assert [call.body["model_id"] for call in wire.api.calls] == ["sdxl-turbo", "another"]


async def test_a_file_that_is_replaced_gets_nothing_and_what_counts_ends_all_the_same(
    wire: Wire, bot: Rewarm
) -> None:
    asked = await wire.reload()
    await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
    path = wire.folder / "data" / FILE_NAME
    (wire.folder / "backup").write_bytes(b"somebody else's" * 1000)
    (wire.folder / "backup").replace(path)
    form = await wire.server.submit_modal(
        await wire.server.slash(wire.mod, wire.general, "key set"), {0: "another-key-0123456789"}
    )
    await wire.server.wait_for(lambda: "is wrong with our storage" in wire.reply(form).text, 20)
    assert "is wrong with our storage" in wire.reply(await wire.reload(wire.ben, "another")).text
    await wire.server.wait_for(wire.pings, 25)
    assert wire.reply(asked).text.startswith("**Ready**")
    assert path.read_bytes() == b"somebody else's" * 1000
    assert [call.body["model_id"] for call in wire.api.calls] == ["sdxl-turbo"]


async def test_a_file_that_is_deleted_is_back_before_anything_is_confirmed(wire: Wire, bot: Rewarm) -> None:
    asked = await wire.reload()
    await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
    (wire.folder / "data" / FILE_NAME).unlink()
    form = await wire.server.submit_modal(
        await wire.server.slash(wire.mod, wire.general, "key set"), {0: "another-key-0123456789"}
    )
    await wire.server.wait_for(lambda: "has been stored, encrypted" in wire.reply(form).text, 20)
    with sqlite3.connect(wire.folder / "data" / FILE_NAME) as db:
        kept = {key for (key,) in db.execute("SELECT key FROM kv")}
    db.close()
    assert {f"key:{wire.guild.id}", f"reload:{asked.id}"} <= kept
    assert (await ended(wire, bot, asked)).startswith("Ready")


async def test_stop_lets_a_call_come_back(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    called = asyncio.Event()

    async def slowly(_: object) -> web.StreamResponse:
        called.set()
        await asyncio.sleep(1)
        return web.json_response({"status": "success"})

    wire.api.reloads = [Answer(handler=slowly)]
    async with running(wire.settings(), monkeypatch) as bot:
        await wire.set_key()
        asked = await wire.reload()
        await called.wait()
    async with running(wire.settings(), monkeypatch) as bot:
        [left] = await bot.store.open()
        assert left.state is State.COUNTING
        assert (await ended(wire, bot, asked)).startswith("Ready")
    assert len(wire.api.calls) == 1


async def test_stop_in_the_middle_of_the_first_answer_calls_nobody(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deferral has reached Discord, its answer not yet us."""
    async with running(wire.settings(), monkeypatch):
        await wire.set_key()
        asked = await wire.reload()
    await asyncio.sleep(60)
    assert wire.api.calls == []
    async with running(wire.settings(), monkeypatch) as bot:
        assert (await ended(wire, bot, asked)).startswith("Failed")
    assert "Nothing was sent" in wire.reply(asked).text
    assert [ping.mentions for ping in wire.pings()] == [{wire.ana.id}]


async def test_error_of_our_own_has_a_reference_here_and_in_the_log(
    wire: Wire, bot: Rewarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect is made by taking the store's memory away."""
    with monkeypatch.context() as broken, capture_logs() as logs:
        broken.setattr(bot.store, "_memory", None)
        asked = await wire.reload()
    found = re.search(r"Something went wrong on our side \(ref ([0-9A-F]{4})\)", wire.reply(asked).text)
    assert found
    assert asked.ephemeral
    [logged] = [line for line in logs if line["event"] == "command.failed"]
    assert logged["ref"] == found[1]


async def test_bot_waits_for_a_discord_that_is_not_there_yet(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.server.faults += [
        Fault("GET", "/users/@me", status=503),
        Fault("GET", "/users/@me", reset="before"),
        Fault("GET", "/gateway/bot", status=503),
    ]
    async with running(wire.settings(), monkeypatch):
        await wire.set_key()


async def test_sync_that_fails_is_tried_again(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    wire.server.faults.append(Fault("PUT", "/commands$", status=503))
    async with running(wire.settings(), monkeypatch):
        await wire.set_key()


async def test_deferral_that_arrives_at_the_last_moment_is_no_eternal_thinking(
    wire: Wire, bot: Rewarm
) -> None:
    wire.server.faults.append(Fault("POST", CALLBACK, times=3, delay=2.8))
    asked = await wire.reload()
    await wire.server.wait_for(
        lambda: asked.message_id and wire.reply(asked).text.startswith("**Ready**"), 20
    )
    assert len(wire.api.calls) == 1


async def test_row_that_could_not_be_written_does_not_block_its_model(wire: Wire, bot: Rewarm) -> None:
    asked = await wire.reload()
    await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
    other = sqlite3.connect(wire.folder / "data" / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await wire.server.wait_for(wire.pings, 25)
    other.rollback()
    other.close()
    await ended(wire, bot, asked, 30)
    [known] = await bot.store.history(wire.guild.id)
    assert known.state is State.ENDED
    assert known.pinged == (0,)


async def test_one_hiccup_on_a_tick_does_not_silence_the_ending(wire: Wire, bot: Rewarm) -> None:
    """Where the bot may neither view nor send, the token is the only way."""
    wire.general.may_view = wire.general.may_send = False
    wire.server.faults.append(Fault("PATCH", BY_TOKEN, status=404))
    asked = await wire.reload()
    assert (await ended(wire, bot, asked)).startswith("Ready")
    assert [ping.mentions for ping in wire.pings()] == [{wire.ana.id}]


async def test_reader_of_the_database_is_in_nobodys_way(wire: Wire, bot: Rewarm) -> None:
    reader = sqlite3.connect(wire.folder / "data" / FILE_NAME, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM kv").fetchone()
    await wire.set_key("another-key-0123456789")
    asked = await wire.reload()
    assert not asked.ephemeral
    assert (await ended(wire, bot, asked)).startswith("Ready")
    reader.close()


async def test_defect_while_telling_still_reaches_who_asked(
    wire: Wire, bot: Rewarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await wire.reload()
    await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
    monkeypatch.setattr(reload_words, "_ending", None)
    with capture_logs() as logs:
        await wire.server.wait_for(wire.pings, 10)
    [ping] = wire.pings()
    assert ping.mentions == {wire.ana.id}
    found = re.search(r"Something went wrong on our side \(ref ([0-9A-F]{4})\)", ping.text)
    assert found
    assert found[1] in [line.get("ref") for line in logs]


async def test_defect_while_counting_ends_as_unknown(
    wire: Wire, bot: Rewarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(countdown, "next_edit", None)
    asked = await wire.reload()
    await wire.server.wait_for(lambda: "ref " in wire.reply(asked).text, 10)
    assert wire.reply(asked).text.startswith("**Unclear**")


async def test_replayed_event_of_a_joiner_is_ignored(wire: Wire, bot: Rewarm) -> None:
    asked = await wire.reload()
    joined = await wire.reload(wire.ben)
    await ended(wire, bot, asked)
    wire.server.deliver(joined)
    await asyncio.sleep(0.5)
    assert await bot.store.open() == []
    assert len(wire.api.calls) == 1


async def test_nothing_is_called_that_is_not_stored(wire: Wire, bot: Rewarm) -> None:
    """The disk fails between the first answer and the call."""
    wire.server.faults.append(Fault("POST", CALLBACK, late=0.5))
    other = sqlite3.connect(wire.folder / "data" / FILE_NAME, isolation_level=None)
    with capture_logs() as logs:
        asked = await wire.reload()
        assert wire.reply(asked).thinking, "the bot does not know yet that its answer has arrived"
        other.execute("BEGIN IMMEDIATE")
        await wire.server.wait_for(lambda: "is wrong with our storage" in wire.reply(asked).text, 10)
    found = re.search(r"ref ([0-9A-F]{4})", wire.reply(asked).text)
    assert found
    assert found[1] in [line.get("ref") for line in logs]
    other.rollback()
    other.close()
    assert wire.api.calls == []


async def test_bot_that_stops_takes_on_nothing_new(wire: Wire, bot: Rewarm) -> None:
    called = asyncio.Event()

    async def slowly(_: object) -> web.StreamResponse:
        called.set()
        await asyncio.sleep(1.5)
        return web.json_response({"status": "success"})

    wire.api.reloads = [Answer(handler=slowly)]
    await wire.reload()
    await called.wait()
    stopping = asyncio.create_task(bot.runner.stop())
    await asyncio.sleep(0.1)
    refused = await wire.reload(wire.ben, "another")
    assert "restarting" in wire.reply(refused).text
    await stopping
    assert len(wire.api.calls) == 1


async def test_crowd_in_one_channel_ends_on_time_without_tokens(wire: Wire, bot: Rewarm) -> None:
    """Twenty countdowns by channel, which Discord limits: ticks are dropped, endings are on time."""
    people = [wire.server.add_member(wire.guild, f"member-{number}") for number in range(20)]
    asked = [await wire.reload(person, f"model-{number}") for number, person in enumerate(people)]
    for made in asked:
        wire.server.kill_token(made)
    async with asyncio.timeout(60):
        while any(r.state is not State.ENDED for r in await bot.store.history(wire.guild.id)):
            await asyncio.sleep(0.05)
    late = [
        known.ended_at - known.deadline
        for known in await bot.store.history(wire.guild.id)
        if known.ended_at and known.deadline
    ]
    assert max(late) < 1.0
    assert [r for r in wire.server.requests if r.status == 429] == []


@pytest.fixture
def slow_disk(wire: Wire, bot: Rewarm, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Make each write take this many seconds, by delaying it."""
    select_one = bot.store._db.conn.select_one  # type: ignore[attr-defined]

    def slow(seconds: float) -> None:
        def slowly(statement: str, *rest: Any) -> Any:
            time.sleep(seconds if statement.startswith("REPLACE") else 0)
            return select_one(statement, *rest)

        monkeypatch.setattr(bot.store._db.conn, "select_one", slowly)  # type: ignore[attr-defined]

    return slow


async def test_joiner_in_the_instant_of_the_ending_is_pinged_with_the_others(
    wire: Wire, bot: Rewarm, slow_disk: Callable[[float], None]
) -> None:
    asked = await wire.reload()
    await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
    slow_disk(0.1)
    await asyncio.sleep(wire.api.calls[0].at + SECONDS - 0.05 - asyncio.get_running_loop().time())
    joined = await wire.reload(wire.ben)
    assert "You'll be pinged too" in wire.reply(joined).text
    await wire.server.wait_for(wire.pings)
    await asyncio.sleep(60)
    assert [ping.mentions for ping in wire.pings()] == [{wire.ana.id, wire.ben.id}]


async def test_joiner_is_pinged_although_storage_fails_before_the_call(wire: Wire, bot: Rewarm) -> None:
    wire.server.faults.append(Fault("POST", CALLBACK, delay=0.8))
    first = asyncio.create_task(wire.reload())
    await asyncio.sleep(0.2)
    joined = await wire.reload(wire.ben)
    assert "You'll be pinged too" in wire.reply(joined).text
    other = sqlite3.connect(wire.folder / "data" / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await wire.server.wait_for(wire.pings, 20)
    other.rollback()
    other.close()
    assert "is wrong with our storage" in await ended(wire, bot, await first)
    assert [ping.mentions for ping in wire.pings()] == [{wire.ben.id}], "who asked first still looks"


async def test_joiner_of_a_reload_that_is_being_rescued_starts_no_second_story(
    wire: Wire, bot: Rewarm, slow_disk: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(countdown, "next_edit", None)
    slow_disk(0.3)
    asked = await wire.reload()
    await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
    await wire.reload(wire.ben)
    await asyncio.sleep(60)
    words = [found[1] for _, v in wire.reply(asked).history if (found := re.search(r"\*\*(\w+)\*\*", str(v)))]
    assert words[-1] == "Unclear"
    assert set(words[:-1]) <= {"Reloading", "Unclear"}
    assert words.count("Reloading") == 1


async def test_refusals_and_replays_leave_nothing_in_memory(wire: Wire, bot: Rewarm) -> None:
    asked = [await wire.reload(model=f"model-{number}") for number in range(7)]
    assert "5 reloads running" in wire.reply(asked[-1]).text
    wire.server.deliver(asked[0])
    await asyncio.sleep(60)
    wire.server.deliver(asked[0])
    await asyncio.sleep(1)
    assert bot.runner._starting == {}
    assert bot.runner._stories == {}


@pytest.mark.parametrize(
    "answer", [{"status": "success"}, {"status": "error", "message": "Rate limit exceeded"}]
)
async def test_stop_calls_nobody_any_more(wire: Wire, bot: Rewarm, answer: dict[str, str]) -> None:
    """One call is out, and is perhaps told to come again; another reload waits for its first answer."""
    called = asyncio.Event()

    async def slowly(_: object) -> web.StreamResponse:
        called.set()
        await asyncio.sleep(1)
        status = 200 if answer["status"] == "success" else 429
        return web.json_response(answer, status=status, headers={"Retry-After": "2"})

    wire.api.reloads = [Answer(handler=slowly)]
    await wire.reload()
    await called.wait()
    wire.server.faults.append(Fault("POST", CALLBACK, delay=0.8))
    second = asyncio.create_task(wire.reload(wire.ben, "another"))
    await asyncio.sleep(0.3)
    await bot.runner.stop()
    await second
    assert len(wire.api.calls) == 1
    named = State.COUNTING if answer["status"] == "success" else State.ASKED
    states = {reload.model: reload.state for reload in await bot.store.open()}
    assert states == {"sdxl-turbo": named, "another": State.ASKED}


async def test_stop_does_not_wait_for_a_named_wait(wire: Wire, bot: Rewarm) -> None:
    called = asyncio.Event()

    async def later(_: object) -> web.StreamResponse:
        called.set()
        await asyncio.sleep(1)
        body = {"status": "error", "message": "Rate limit exceeded"}
        return web.json_response(body, status=429, headers={"Retry-After": "50"})

    wire.api.reloads = [Answer(handler=later)]
    await wire.reload()
    await called.wait()
    began = asyncio.get_running_loop().time()
    await bot.runner.stop()
    assert asyncio.get_running_loop().time() - began < 2


async def test_stop_while_a_wait_is_taken_from_the_reply_calls_nobody(wire: Wire, bot: Rewarm) -> None:
    await ended(wire, bot, await wire.reload())
    await wire.reload(wire.ben)
    await asyncio.sleep(20)
    wire.server.faults.append(Fault("PATCH", BY_TOKEN, times=100, delay=0.8))
    await wire.server.wait_for(
        lambda: State.CALLING in [story.life.reload.state for story in bot.runner._stories.values()], 20
    )
    await bot.runner.stop()
    assert len(wire.api.calls) == 1
    assert [reload.state for reload in await bot.store.open()] == [State.ASKED]


async def test_stop_while_the_call_is_being_stored_calls_nobody(
    wire: Wire, bot: Rewarm, slow_disk: Callable[[float], None]
) -> None:
    wire.server.faults.append(Fault("POST", CALLBACK, delay=0.5))
    asking = asyncio.create_task(wire.reload())
    await asyncio.sleep(0.3)
    slow_disk(0.5)
    await wire.server.wait_for(
        lambda: [story.life.reload.state for story in bot.runner._stories.values()] == [State.CALLING]
    )
    await bot.runner.stop()
    await asking
    assert wire.api.calls == []
    assert [reload.state for reload in await bot.store.open()] == [State.ASKED]


async def test_outage_of_an_hour_still_ends_visibly(wire: Wire, bot: Rewarm) -> None:
    asked = await wire.reload()
    await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
    out = [Fault(method, "", times=10**9, status=503) for method in ("PATCH", "POST")]
    wire.server.faults += out
    await asyncio.sleep(3600)
    tried = len(wire.server.requests)
    wire.server.faults.clear()
    assert (await ended(wire, bot, asked, 700)).startswith("Ready")
    assert "late" in wire.reply(asked).text
    assert [ping.mentions for ping in wire.pings()] == [{wire.ana.id}]
    assert tried < 500


async def test_countdown_outlives_its_token(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = 1000.0
    async with running(wire.settings(reload_seconds=seconds), monkeypatch) as bot:
        await wire.set_key()
        asked = await wire.reload()
        assert (await ended(wire, bot, asked, seconds + 60)).startswith("Ready")
    shown = [at for at, _ in wire.reply(asked).history]
    assert max(later - earlier for earlier, later in itertools.pairwise(shown)) <= 6
    assert shown[-1] - wire.api.calls[0].at - seconds < 1
    assert [ping.mentions for ping in wire.pings()] == [{wire.ana.id}]
    assert {request.status for request in wire.server.requests} == {200}


async def test_countdown_begins_with_the_answer_not_with_the_call(wire: Wire, bot: Rewarm) -> None:
    async def slowly(_: object) -> web.StreamResponse:
        await asyncio.sleep(2)
        return web.json_response({"status": "success"})

    wire.api.reloads = [Answer(handler=slowly)]
    asked = await wire.reload()
    assert (await ended(wire, bot, asked)).startswith("Ready")
    ready_at, _ = wire.reply(asked).history[-1]
    assert ready_at - wire.api.calls[0].at == pytest.approx(2 + SECONDS, abs=0.5)


async def test_nothing_is_shown_that_is_not_stored(
    wire: Wire, bot: Rewarm, slow_disk: Callable[[float], None]
) -> None:
    slow_disk(0.4)
    asked = await wire.reload()
    seen: dict[str, State] = {}
    while "Ready" not in seen:
        await asyncio.sleep(0.02)
        [row] = await bot.store.history(wire.guild.id)
        for word in ("left", "Ready"):
            if word in wire.reply(asked).text.replace("Ready at", ""):
                seen.setdefault(word, row.state)
    assert seen == {"left": State.COUNTING, "Ready": State.ANNOUNCING}


async def test_other_version_of_the_api_is_called_where_it_is_set(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(wire.settings(model_api_version="v6"), monkeypatch) as bot:
        await wire.set_key()
        assert (await ended(wire, bot, await wire.reload())).startswith("Ready")
    assert [call.path for call in wire.api.calls] == ["/api/v6/images/model_reload"]


async def test_global_limit_stops_every_channel_and_pings_go_another_way(wire: Wire, bot: Rewarm) -> None:
    everything = {"message": "wait", "retry_after": 60.0, "global": True}
    wire.server.faults.append(
        Fault("POST", PING, status=429, body=everything, headers={"X-RateLimit-Global": "true"})
    )
    first = await wire.reload()
    await asyncio.sleep(1)
    others = [await wire.reload(model=f"model-{number}") for number in range(3)]
    others.append(await wire.server.slash(wire.ben, wire.art, "reload", {"model_id": "elsewhere"}))
    await wire.server.wait_for(lambda: len(wire.pings()) == 5, 30)
    assert {ping.interaction for ping in wire.pings()} == {first, *others}
    assert len([r for r in wire.server.requests if r.path.startswith("/channels/")]) == 1


async def test_channels_limit_is_learned_from_its_headers(wire: Wire, bot: Rewarm) -> None:
    wire.server.channel_limit = 3
    await ended(wire, bot, await wire.reload())
    limiter = bot.replies._limiter
    now = asyncio.get_running_loop().time()
    assert [limiter.take(wire.guild.id, wire.general.id, now) < 1 for _ in range(3)] == [True, True, False]


async def test_process_that_stood_still_does_not_send_all_at_once(wire: Wire, bot: Rewarm) -> None:
    """It sends 60 calls whose turns have come together; Discord allows 50 a second."""
    channels = [wire.server.add_channel(wire.guild, f"channel {number}") for number in range(60)]
    quiet = discord.AllowedMentions.none()
    places = [bot.get_partial_messageable(channel.id) for channel in channels]
    await asyncio.gather(*(place.send("x", allowed_mentions=quiet) for place in places))
    assert [r.status for r in wire.server.requests if r.status == 429] == []


async def test_late_edit_does_not_stay_over_the_ending(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(wire.settings(reload_seconds=20), monkeypatch) as bot:
        await wire.set_key()
        asked = await wire.reload()
        await asyncio.sleep(12)
        wire.server.faults.append(Fault("PATCH", BY_TOKEN, delay=7))  # the tick of 5 s left
        await asyncio.sleep(60)
        versions = [text_of("", version["components"]) for _, version in wire.reply(asked).history]
        assert "5 s left" in versions[-2]
        assert "**Ready**" in versions[-1]
        assert await bot.store.open() == []


async def test_no_follow_up_becomes_the_reply_of_a_deferral(wire: Wire, bot: Rewarm) -> None:
    """Where only the token works, the first edit fails, and somebody is to be pinged."""
    wire.general.may_view = wire.general.may_send = False

    async def refuse_late(_: object) -> web.StreamResponse:
        await asyncio.sleep(16)
        return web.json_response({"status": "error", "message": "Insufficient credits."}, status=402)

    wire.api.reloads = [Answer(handler=refuse_late)]
    wire.server.faults.append(Fault("PATCH", BY_TOKEN, times=2, reset="before"))
    asked = await wire.reload()
    await asyncio.sleep(60)
    assert "out of credits" in wire.reply(asked).text
    [ping] = wire.pings()
    assert ping.id != asked.message_id
    assert ping.mentions == {wire.ana.id}


async def test_countdown_that_is_cut_short_is_no_part_of_the_crowd(wire: Wire, bot: Rewarm) -> None:
    """Otherwise the others would be edited less often forever."""
    asked = await wire.reload()
    await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
    countdowns = bot.runner._services.countdowns
    assert countdowns.live == 1
    await bot.runner.forget(wire.guild.id)
    await asyncio.sleep(0.1)
    assert countdowns.live == 0


async def test_picture_is_let_go_of_once_it_is_shown(wire: Wire, bot: Rewarm) -> None:
    """The garbage collector counts objects, not megabytes, and would run only after ninety pictures."""
    await ended(wire, bot, await wire.reload())
    [known] = await bot.store.history(wire.guild.id)
    png = b"\x89PNG\r\n\x1a\n".ljust(300_000, b"\0")
    gc.disable()
    try:
        assert await bot.replies.of(known).show_test(known, Picture(png, "picture.png"))
        files = [each for each in gc.get_objects() if isinstance(each, io.BytesIO) and not each.closed]
        assert [file for file in files if file.getbuffer().nbytes >= len(png)] == []
    finally:
        gc.enable()


async def test_picture_is_sent_whole_again_after_trouble(wire: Wire, bot: Rewarm) -> None:
    """discord.py closes the files that it has sent, also where that has failed."""
    asked = await wire.reload()
    await ended(wire, bot, asked)
    [known] = await bot.store.history(wire.guild.id)
    png = b"\x89PNG\r\n\x1a\n".ljust(3_000, b"\0")
    wire.server.faults.append(Fault("PATCH", "", times=12, status=503))
    assert await bot.replies.of(known).show_test(known, Picture(png, "picture.png"))
    assert wire.server.faults == []
    [shown] = wire.reply(asked).attachments
    assert (shown["filename"], shown["size"]) == ("picture.png", len(png))


async def test_an_ending_that_turned_out_otherwise_pings_again(wire: Wire, bot: Rewarm) -> None:
    """A process that was cut off announced one ending; another took over, and announces the real one."""
    asked = await wire.reload()
    await ended(wire, bot, asked)
    [known] = await bot.store.history(wire.guild.id)
    assert known is not None

    async def sent(_: int) -> None:
        pass

    for outcome in (Outcome.STORAGE, Outcome.STORAGE, Outcome.ACCEPTED):
        told = replace(known, state=State.ANNOUNCING, outcome=outcome, pinged=())
        await bot.replies.of(told).tell(told, sent)
    first, second = (ping.text for ping in wire.pings())
    assert "ready" in first
    assert "ready" not in second


async def test_who_was_refused_in_private_is_not_told_of_a_failure_in_public(wire: Wire, bot: Rewarm) -> None:
    """The write landed, and nobody could take it back before another process found it."""
    asked = await wire.reload(model="not a model")
    await wire.server.wait_for(lambda: asked.message_id is not None)
    refused = wire.reply(asked).text
    left = Reload(
        id=asked.id,
        server=wire.guild.id,
        model="model",
        askers=(Asker(wire.ana.id, wire.general.id, asked.token),),
        asked_at=time.time(),
        seconds=SECONDS,
    )
    assert await bot.store.ask(left, 1.0) == left
    bot.runner.start(left, None)
    await all_ended(bot, 30)
    assert wire.reply(asked).text == refused
    assert wire.pings() == []
    assert wire.api.calls == []
    assert wire.server.violations == []


async def test_dead_token_is_asked_once_which_message_the_reply_is(wire: Wire, bot: Rewarm) -> None:
    wire.server.faults.append(Fault("POST", CALLBACK, reset="after"))
    wire.server.faults.append(Fault("GET", "@original$", times=100, status=401, code=50027))
    await wire.reload()
    await asyncio.sleep(120)
    assert len([r for r in wire.server.requests if r.status == 401]) == 1
    assert wire.api.calls == []
    assert [ping.mentions for ping in wire.pings()] == [{wire.ana.id}]


async def test_a_key_that_a_full_disk_keeps_is_used_no_more(virtual: None, wire: Wire, bot: Rewarm) -> None:
    disk: Any = bot.store
    disk._db.conn.select_one("CREATE TRIGGER full BEFORE INSERT ON kv BEGIN SELECT RAISE(FAIL, 'full'); END")
    question = await wire.server.slash(wire.mod, wire.general, "key remove")
    await wire.server.press(wire.mod, wire.reply(question), "Delete the key")
    await wire.server.wait_for(lambda: "is no longer used" in wire.reply(question).text)
    status = await wire.server.slash(wire.mod, wire.general, "key status")
    assert "This server has no API key" in wire.reply(status).text
    disk._db.conn.select_one("DROP TRIGGER full")
    await asyncio.sleep(20)
    assert await bot.store.key(wire.guild.id) is None
    newest, *_ = await bot.store.events(wire.guild.id)
    assert (newest.what, newest.by) == ("key_removed", wire.mod.id), "moderators hear of it once it is stored"
