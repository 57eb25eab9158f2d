"""Watched models: after six days one message, which changes after the seventh; and nothing twice."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simcord.actors import MemberActor
from simcord.results import InteractionResult
from structlog.testing import capture_logs

from bot.app import Rewarm
from bot.domain.reload import MOST_REFUSED, WARM_AGE, Asker, Outcome, Reload, State
from bot.domain.rows import WATCHED_PER_SERVER, Watch
from bot.domain.server_models import models_of
from bot.jobs.watches import due
from bot.store.base import Store
from bot.store.file import NAME as FILE_NAME
from bot.words.buttons import TEST_PROMPT
from tests.acceptance.test_lists import choose, models, press, shown
from tests.stand_ins.discord import Fault, Message, flat
from tests.stand_ins.model_api import Answer, ModelApiServer
from tests.wire import Wire
from tests.world import DAY, Seen, World, said

Restart = Callable[[], Awaitable[None]]
WATCH = Watch(5, "m", 11, 70)
USER_SELECT = 5


# --- What is due ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("idle_days", "expected"),
    [
        (0, None),
        (5.99, None),
        (6, "soon"),
        (6.99, "soon"),
        (7, "cold"),
        (13.9, "cold"),
        (14, None),
        (400, None),
    ],
)
def test_what_is_due_after_so_many_days(idle_days: float, expected: str | None) -> None:
    assert due(replace(WATCH, used_at=1000.0), 1000.0 + idle_days * DAY) == expected


def test_nothing_is_due_of_what_was_never_used_or_is_used_in_the_future() -> None:
    assert due(WATCH, 1e9) is None
    assert due(replace(WATCH, used_at=1e9), 1e9 - 30 * DAY) is None, "the clock was set back"


@given(
    used=st.lists(st.floats(0, 60 * DAY), max_size=5),
    looks=st.lists(st.floats(0, 90 * DAY), max_size=60),
)
def test_whatever_the_clock_does_each_last_use_is_said_to_end_once(
    used: list[float], looks: list[float]
) -> None:
    """Looks may come in any order: a clock that jumps back and forth."""
    watch, told = WATCH, []
    for now in looks:
        last = max((at for at in used if at <= now), default=None)
        if last is not None and last > (watch.used_at or -1):
            watch = replace(watch, used_at=last)
        what = due(watch, now)
        if what is not None:
            told.append((watch.used_at, what))
            watch = replace(watch, said_of=watch.used_at, said_cold=what == "cold")
    assert len(told) == len(set(told))


# --- Journeys ---------------------------------------------------------------------------------------------


async def watch(world: World, model: str = "sdxl-turbo") -> InteractionResult:
    """Choose a model in /models, and watch it."""
    return await press(world, await choose(world, await models(world), model), "Watch")


@pytest.fixture
async def watched(world: World) -> World:
    """A model that was reloaded, and is watched by ana."""
    await world.reload(world.ben)
    await world.env.advance_time(125)
    assert f"Watched: <#{world.general.id}> will be told" in shown(await watch(world))
    return world


async def watches(store: Store) -> list[Watch]:
    return [watch async for watch in store.all_watches()]


def told(world: World) -> list[Seen]:
    """The announcement, in each of its states."""
    return [seen for seen in world.seen() if "will go cold tomorrow" in seen.text or "gone cold" in seen.text]


async def test_on_the_sixth_day_one_message_which_changes_after_the_seventh(
    watched: World, api: ModelApiServer
) -> None:
    await watched.days(5)
    assert told(watched) == []
    await watched.hours(24 + 3)
    [soon] = told(watched)
    assert soon.text.startswith("`sdxl-turbo` will go cold tomorrow: ")
    assert soon.text.endswith(f" <@{watched.ana.id}>")
    assert watched.message(soon).content == soon.text, "a push shows nothing else"
    assert "costs one generation" in soon.text
    assert soon.pinged == {watched.ana.id}
    assert soon.channel == watched.general.id
    assert watched.buttons(soon) == ["Keep it warm"]
    await watched.hours(24 + 2)
    _, cold = told(watched)
    assert cold.message == soon.message, "an edit"
    assert "has gone cold" in cold.text
    assert watched.buttons(cold) == ["Reload"]
    await watched.days(10)
    assert len(told(watched)) == 2
    assert len(api.calls) == 1, "announcing never calls the API"
    assert api.render_calls == []


async def test_a_use_starts_over(watched: World) -> None:
    await watched.days(5)
    await watched.reload(watched.ben)
    await watched.env.advance_time(125)
    await watched.days(5)
    assert told(watched) == []
    await watched.days(1)
    await watched.hours(3)
    assert len(told(watched)) == 1


async def test_keep_it_warm_is_a_test_image_in_that_message(watched: World, api: ModelApiServer) -> None:
    await watched.days(6)
    await watched.hours(3)
    [soon] = told(watched)
    form = await watched.press(watched.ben, "Keep it warm", soon)
    assert form.modal is not None
    assert "uses one generation" in form.modal["components"][0]["content"]
    await watched.ben.submit_modal(form, {"prompt": TEST_PROMPT})
    for _ in range(3):
        await watched.env.advance_time(10)
    kept = watched.seen()[-1]
    assert (kept.message, kept.word) == (soon.message, "Confirmed")
    assert len(watched.pictures(kept)) == 1
    assert len(api.render_calls) == 1
    await watched.days(5)
    assert len(told(watched)) == 1, "warm for another week"
    await watched.days(1)
    await watched.hours(3)
    assert len(told(watched)) == 2
    again = told(watched)[-1]
    form = await watched.press(watched.ana, "Keep it warm", again)
    await watched.ana.submit_modal(form, {"prompt": TEST_PROMPT})
    for _ in range(3):
        await watched.env.advance_time(10)
    assert watched.seen()[-1].word == "Confirmed"
    assert len(api.render_calls) == 2


async def test_keep_it_warm_answers_in_its_own_channel(watched: World, api: ModelApiServer) -> None:
    await bot_of(watched).store.change_settings(watched.guild.id, ledger_channel=watched.art.id)
    await watched.days(6)
    await watched.hours(3)
    [soon] = told(watched)
    api.renders = [Answer(api.rendering(eta=20))]
    form = await watched.press(watched.ben, "Keep it warm", soon)
    await watched.ben.submit_modal(form, {"prompt": TEST_PROMPT})
    for _ in range(6):
        await watched.env.advance_time(10)
    ping = watched.pings()[-1]
    assert ping.channel == watched.art.id
    assert ping.pinged == {watched.ben.id}
    assert ping.text.startswith("`sdxl-turbo` is confirmed")
    reference = watched.message(ping).reference
    assert reference is not None
    assert reference.message_id == soon.message


async def test_reload_from_the_announcement(watched: World, api: ModelApiServer) -> None:
    await watched.days(7)
    await watched.hours(3)
    cold = told(watched)[-1]
    await watched.press(watched.ben, "Reload", cold)
    assert watched.last().word == "Reloading"
    assert len(api.calls) == 2


async def test_restarts_say_nothing_twice(watched: World, restart: Restart) -> None:
    await watched.days(6)
    for _ in range(4):
        await restart()
        await watched.hours(3)
    assert len(told(watched)) == 1
    await watched.days(1)
    for _ in range(3):
        await restart()
        await watched.hours(2)
    assert len(told(watched)) == 2


async def test_a_bot_that_was_away_on_the_sixth_day_says_that_it_is_cold(
    watched: World, restart: Restart
) -> None:
    bot = bot_of(watched)
    [watch] = await watches(bot.store)
    await bot.store.set_watch(replace(watch, used_at=bot.now() - 8 * DAY))
    [reload] = await bot.store.history(watched.guild.id)
    await bot.store.expire(bot.now() + 1, bot.now() + 1)
    await restart()
    await watched.hours(3)
    [cold] = told(watched)
    assert "has gone cold" in cold.text
    assert watched.buttons(cold) == [], "its reloads are forgotten: the command is in the text"
    assert "</reload:" in cold.text
    assert reload.model == "sdxl-turbo"


def bot_of(world: World) -> Rewarm:
    assert isinstance(world.env.bot, Rewarm)
    return world.env.bot


async def test_a_clock_that_jumps_and_comes_back_says_nothing(
    watched: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = bot_of(watched)
    now = bot.watches._now
    for ahead in (6.5, 0, 30, 0, 6.2, 7.5, 0):
        monkeypatch.setattr(bot.watches, "_now", lambda ahead=ahead: now() + ahead * DAY)
        await bot.watches.look()
    assert told(watched) == []


async def test_nobody_hears_of_a_model_that_is_watched_no_more(watched: World) -> None:
    one = await choose(watched, await models(watched), "sdxl-turbo")
    assert "Watched" not in shown(await press(watched, one, "Stop watching"))
    await watched.days(8)
    assert told(watched) == []


async def test_watching_twice_is_watching_once(watched: World) -> None:
    [known] = await watches(bot_of(watched).store)
    bot = bot_of(watched)
    await bot.watches.watch(watched.guild.id, "sdxl-turbo", watched.ana.id, watched.art.id)
    assert await watches(bot.store) == [known]


async def see(world: World, who: MemberActor) -> InteractionResult:
    return await choose(world, await models(world, who), "sdxl-turbo", who)


async def click(result: InteractionResult, who: MemberActor, label: str) -> InteractionResult:
    assert result.response is not None
    return await who.click(result.response.message, label=label)


async def test_several_people_watch_and_each_stops_only_their_own(watched: World, restart: Restart) -> None:
    one = await click(await see(watched, watched.ben), watched.ben, "Watch")
    assert f"Watched: <#{watched.general.id}> will be told" in shown(one)
    await click(await see(watched, watched.mod), watched.mod, "Watch")
    await click(await see(watched, watched.ana), watched.ana, "Stop watching")
    await restart()
    await watched.days(6)
    await watched.hours(3)
    [soon] = told(watched)
    assert soon.pinged == {watched.ben.id, watched.mod.id}
    assert soon.text.endswith(f" <@{watched.ben.id}> <@{watched.mod.id}>")


async def test_a_moderator_stops_anybodys_watch(watched: World) -> None:
    await click(await see(watched, watched.ben), watched.ben, "Watch")
    one = await see(watched, watched.mod)
    assert one.response is not None
    [menu] = [part for part in flat(one.response.components) if part["type"] == USER_SELECT]
    assert [int(user["id"]) for user in menu["default_values"]] == [watched.ana.id, watched.ben.id]
    stay = [watched.ben, watched.mod]
    await watched.mod.select(one.response.message, stay, custom_id=menu["custom_id"])
    [known] = await watches(bot_of(watched).store)
    assert known.users == (watched.ben.id,), "taken out; and nobody is put in"
    one = await see(watched, watched.ben)
    assert one.response is not None
    assert USER_SELECT not in [part["type"] for part in flat(one.response.components)], "members see no menu"
    mine = await see(watched, watched.mod)
    assert mine.response is not None
    await watched.mod.select(mine.response.message, [], custom_id=menu["custom_id"])
    assert await watches(bot_of(watched).store) == []


async def test_whoever_comes_while_a_moderator_looks_at_the_menu_stays(watched: World) -> None:
    one = await see(watched, watched.mod)
    assert one.response is not None
    [menu] = [part for part in flat(one.response.components) if part["type"] == USER_SELECT]
    await click(await see(watched, watched.ben), watched.ben, "Watch")
    await watched.mod.select(one.response.message, [], custom_id=menu["custom_id"])
    [known] = await watches(bot_of(watched).store)
    assert known.users == (watched.ben.id,)


async def test_there_is_an_end_to_watching(watched: World) -> None:
    bot = bot_of(watched)
    for n in range(WATCHED_PER_SERVER - 1):
        await bot.watches.watch(watched.guild.id, f"m-{n}", watched.ben.id, watched.art.id)
    await watched.reload(model="one-more")
    await watched.env.advance_time(125)
    assert (
        said(await watch(watched, "one-more"))
        == "This server is already watching 25 models, which is the limit."
    )


async def test_a_server_that_leaves_takes_its_watches_along(watched: World) -> None:
    watched.env.backend.remove_guild(watched.guild.id)
    await watched.env.settle()
    assert await watches(bot_of(watched).store) == []
    assert watched.guild.id not in await bot_of(watched).store.servers()


async def test_where_the_bot_may_not_write_it_tries_no_more(watched: World) -> None:
    watched.env.inject_error("POST", "/channels/*/messages", status=403, code=50013, times=None)
    await watched.days(6)
    await watched.hours(5)
    posts = [r for r in watched.env.http_requests if r.method == "POST" and r.path.endswith("/messages")]
    assert len(posts) == 2, "the reload's ping, and one try"


async def test_a_picture_that_kept_it_warm_is_not_written_over(watched: World) -> None:
    await watched.days(6)
    await watched.hours(3)
    [soon] = told(watched)
    form = await watched.press(watched.ben, "Keep it warm", soon)
    await watched.ben.submit_modal(form, {"prompt": TEST_PROMPT})
    await watched.env.advance_time(20)
    watched.env.inject_error("POST", "/channels/*/messages", status=403, code=50013, times=3)
    await watched.days(6)
    await watched.hours(3)
    await watched.days(1)
    await watched.hours(3)
    assert len(watched.pictures(soon)) == 1
    assert [seen.message for seen in told(watched)].count(soon.message) == 1


async def test_what_nobody_wants_to_hear_of_any_more_is_watched_no_more(watched: World) -> None:
    await watched.days(15)
    assert await watches(bot_of(watched).store) == []


async def test_a_use_in_the_future_does_not_count(watched: World) -> None:
    """The clock was ahead for a while."""
    bot = bot_of(watched)
    [known] = await watches(bot.store)
    await bot.store.set_watch(replace(known, used_at=bot.now() + 300 * DAY))
    await watched.days(6)
    await watched.hours(3)
    assert len(told(watched)) == 1


# --- Over sockets: trouble on the way ---------------------------------------------------------------------

BUTTON = 2
POST = r"^/channels/\d+/messages$"
PATCH = r"^/channels/\d+/messages/\d+$"


async def idle_reload(wire: Wire, bot: Rewarm, days_: float) -> None:
    """Check the same for the reload itself, since a test image refers to it."""
    [old] = await bot.store.history(wire.guild.id)
    used_at = bot.now() - days_ * DAY
    await bot.store.forget(wire.guild.id)
    await wire.set_key()
    again = replace(old, id=old.id + 1, asked_at=used_at, deadline=used_at, ended_at=used_at)
    await bot.store.ask(again, 5.0)
    await bot.watches.watch(wire.guild.id, "m", wire.ben.id, wire.general.id)
    for _ in range(2):
        await bot.watches.look()


async def idle(wire: Wire, bot: Rewarm, days_: float) -> None:
    """A watched model was last used this many days ago, and the bot checks twice."""
    [known] = await watches(bot.store)
    await bot.store.set_watch(replace(known, used_at=bot.now() - days_ * DAY))
    for _ in range(2):
        await bot.watches.look()


@pytest.fixture
async def watching(virtual: None, wire: Wire, bot: Rewarm) -> Wire:
    old = Reload(
        1,
        wire.guild.id,
        "m",
        (Asker(wire.ana.id, wire.general.id, "t"),),
        asked_at=bot.now() - 30 * DAY,
        seconds=120.0,
        state=State.ENDED,
        outcome=Outcome.ACCEPTED,
        deadline=bot.now() - 30 * DAY,
        ended_at=bot.now() - 30 * DAY,
    )
    await bot.store.ask(old, 5.0)
    await bot.watches.watch(wire.guild.id, "m", wire.ben.id, wire.general.id)
    return wire


def cold(wire: Wire) -> list[Message]:
    return [message for message in wire.server.messages.values() if "cold" in message.text]


def spoken(wire: Wire) -> list[str]:
    return [message.text for message in cold(wire)]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("POST", POST, times=2, status=503),
        Fault("POST", POST, reset="before"),
        Fault("POST", POST, reset="after"),
        Fault("POST", POST, done_and_status=503),
        Fault("POST", POST, late=9.0),
        Fault("POST", POST, status=429, headers={"Retry-After": "2", "Via": "1.1"}),
    ],
    ids=["503", "reset before", "reset after", "503 although done", "late", "429"],
)
async def test_a_hiccup_neither_loses_nor_doubles_it(watching: Wire, bot: Rewarm, fault: Fault) -> None:
    watching.server.faults.append(fault)
    await idle(watching, bot, 6.2)
    await bot.watches.look()
    assert len(spoken(watching)) == 1
    [known] = await watches(bot.store)
    assert known.message in watching.server.messages


async def test_the_seventh_days_edit_is_tried_again(watching: Wire, bot: Rewarm) -> None:
    await idle(watching, bot, 6.2)
    watching.server.faults.append(Fault("PATCH", PATCH, times=6, status=503))
    [known] = await watches(bot.store)
    assert known.said_of is not None
    bot.watches._now = lambda: (known.used_at or 0) + 7.1 * DAY
    for _ in range(2):
        await bot.watches.look()
    watching.server.faults.clear()
    await bot.watches.look()
    [text] = spoken(watching)
    assert "has gone cold" in text


async def test_in_a_channel_that_is_gone_it_speaks_where_watch_was_pressed(
    watching: Wire, bot: Rewarm
) -> None:
    await bot.store.change_settings(watching.guild.id, ledger_channel=watching.art.id)
    watching.server.delete_channel(watching.art)
    await idle(watching, bot, 6.2)
    [message] = [m for m in watching.server.messages.values() if "cold" in m.text]
    assert message.channel_id == watching.general.id
    assert message.mentions == {watching.ben.id}


async def test_a_picture_that_fails_keeps_the_warning(watching: Wire, bot: Rewarm) -> None:
    """Last week's Ready says nothing about today, neither while the picture is made nor afterwards."""
    watching.api.renders = [Answer(watching.api.rendering(eta=5))]
    watching.api.fetches = [Answer({"status": "error", "message": "Insufficient credits"}, 402)]
    await idle_reload(watching, bot, 6.2)
    [message] = cold(watching)
    form = await watching.server.press(watching.ben, message, "Keep it warm")
    await watching.server.submit_modal(form, {"prompt": TEST_PROMPT})
    for news in ("Making a test image", "out of credits"):
        while news not in message.text:  # its time is virtual
            await asyncio.sleep(0.5)
        assert message.text.startswith("**Warm** `m`\nLast used <t:")
        assert "Models go cold 7 days after their last use." in message.text
        assert "Ready" not in message.text
    assert [part["label"] for part in flat(message.components) if part["type"] == BUTTON] == [
        "Reload again",
        "Keep it warm",
    ]


async def test_a_cold_model_that_is_watched_waits_for_its_next_use(watching: Wire, bot: Rewarm) -> None:
    """That it is cold is no news, however long ago it was used."""
    for _ in range(3):
        await bot.watches.look()
    assert spoken(watching) == []
    await idle(watching, bot, 6.2)
    assert len(spoken(watching)) == 1


@pytest.mark.parametrize("why", ["its reloads are deleted", "the API no longer knows it"])
async def test_a_cold_model_that_is_in_no_list_takes_no_place(watching: Wire, bot: Rewarm, why: str) -> None:
    """Nobody could stop its watch, and 25 of them would be all."""
    last = await bot.store.find(watching.guild.id, 1)
    assert last is not None
    if why == "its reloads are deleted":
        await bot.store.expire(bot.now(), bot.now())
    else:
        await bot.store.ask(replace(last, id=2, outcome=Outcome.UNKNOWN_MODEL, asked_at=bot.now()), 5.0)
    await bot.watches.look()
    assert await watches(bot.store) == []


async def test_a_use_that_is_deleted_early_is_still_announced(watching: Wire, bot: Rewarm) -> None:
    """HISTORY_DAYS may be one day."""
    [known] = await watches(bot.store)
    await bot.store.set_watch(replace(known, used_at=bot.now() - 5.9 * DAY))
    await bot.store.expire(bot.now(), bot.now())
    await bot.watches.look()
    await idle(watching, bot, 6.2)
    assert len(spoken(watching)) == 1


async def test_a_model_that_the_api_knows_no_more_is_not_called_cold(watching: Wire, bot: Rewarm) -> None:
    last = await bot.store.find(watching.guild.id, 1)
    assert last is not None
    gone = replace(last, id=2, outcome=Outcome.UNKNOWN_MODEL, asked_at=bot.now(), deadline=None)
    await bot.store.ask(gone, 5.0)
    await idle(watching, bot, 7.2)
    assert spoken(watching) == []
    assert models_of(await bot.store.history(watching.guild.id), bot.now()) == []


async def test_two_looks_at_once_say_it_once(watching: Wire, bot: Rewarm) -> None:
    [known] = await watches(bot.store)
    await bot.store.set_watch(replace(known, used_at=bot.now() - 6.2 * DAY))
    await bot.watches.look()
    await asyncio.gather(bot.watches.look(), bot.watches.look())
    assert len(spoken(watching)) == 1


async def watch_elsewhere(wire: Wire, bot: Rewarm, server: int, channel: int) -> None:
    """Watch a model of another server, which is due."""
    used_at = bot.now() - 6.2 * DAY
    await bot.store.set_watch(Watch(server, "m", wire.ben.id, channel, used_at=used_at), new=True)


async def test_a_channel_in_trouble_delays_no_other_servers(watching: Wire, bot: Rewarm) -> None:
    other = watching.server.add_channel(watching.server.add_guild("Another"), "general")
    [known] = await watches(bot.store)
    await bot.store.set_watch(replace(known, used_at=bot.now() - 6.2 * DAY))
    await watch_elsewhere(watching, bot, other.guild.id, other.id)
    silent = Fault("POST", rf"^/channels/{watching.general.id}/messages$", times=10**9, late=60.0)
    watching.server.faults.append(silent)
    await bot.watches.look()
    before = bot.now()
    looking = asyncio.create_task(bot.watches.look())
    await watching.server.wait_for(lambda: any(m.channel_id == other.id for m in cold(watching)), 10)
    assert bot.now() - before < 2
    assert not looking.done()
    await looking


async def test_whoever_comes_or_goes_while_another_model_is_announced_counts(
    watching: Wire, bot: Rewarm
) -> None:
    """A server's announcements wait for each other, for minutes if Discord is in trouble."""
    used_at = bot.now() - 6.2 * DAY
    [known] = await watches(bot.store)
    await bot.store.set_watch(replace(known, used_at=used_at))
    next_one = Watch(watching.guild.id, "other", watching.ben.id, watching.general.id, used_at=used_at)
    await bot.store.set_watch(next_one, new=True)
    await bot.watches.look()
    watching.server.faults.append(Fault("POST", POST, times=2, status=503))
    looking = asyncio.create_task(bot.watches.look())
    await asyncio.sleep(1)
    await bot.watches.watch(watching.guild.id, "other", watching.ana.id, watching.general.id)
    await bot.store.remove_watch(watching.guild.id, "other", {watching.ben.id})
    await looking
    mentioned = {message.text[:8].rstrip(): message.mentions for message in cold(watching)}
    assert mentioned == {"`m` will": {watching.ben.id}, "`other`": {watching.ana.id}}


async def test_refusals_elsewhere_silence_no_other_server(watching: Wire, bot: Rewarm) -> None:
    for n in range(1, MOST_REFUSED + 2):
        await watch_elsewhere(watching, bot, n, n)
    other = watching.server.add_channel(watching.server.add_guild("Another"), "general")
    await watch_elsewhere(watching, bot, other.guild.id, other.id)
    for _ in range(2):
        await bot.watches.look()
    assert [message.channel_id for message in cold(watching)] == [other.id]


async def test_watching_needs_send_messages(watching: Wire, bot: Rewarm) -> None:
    watching.ana.may_send = False
    page = await watching.server.slash(watching.ana, watching.general, "models")
    await watching.server.wait_for(lambda: page.message_id is not None)
    await watching.server.choose(watching.ana, watching.reply(page), "m")
    await watching.server.wait_for(lambda: "'Watch'" in str(watching.reply(page).components))
    pressed = await watching.server.press(watching.ana, watching.reply(page), "Watch")
    await watching.server.wait_for(lambda: pressed.message_id not in (None, page.message_id))
    assert watching.reply(pressed).text.startswith("You're not allowed to send messages in this channel.")
    [known] = await watches(bot.store)
    assert known.users == (watching.ben.id,)


async def test_it_is_said_in_the_servers_language(watching: Wire, bot: Rewarm) -> None:
    await bot.store.change_settings(watching.guild.id, language="fr")
    await idle(watching, bot, 6.2)
    [text] = [m.text for m in watching.server.messages.values() if "`m`" in m.text]
    assert "froid" in text


async def test_trouble_with_the_disk_is_made_up_for_by_the_next_looks(watching: Wire, bot: Rewarm) -> None:
    """The disk is locked while an outdated watch is removed; the other has to wait."""
    [known] = await watches(bot.store)
    known = replace(known, said_cold=False)  # it was not cold when it was watched
    await bot.store.set_watch(replace(known, used_at=bot.now() - 15 * DAY))
    await bot.store.set_watch(replace(known, model="other", used_at=bot.now() - 6.2 * DAY), new=True)
    disk = sqlite3.connect(watching.folder / "data" / FILE_NAME, isolation_level=None)
    disk.execute("BEGIN IMMEDIATE")
    with capture_logs() as logs:
        await bot.watches.look()
    disk.rollback()
    disk.close()
    assert {line["error"] for line in logs if line["event"] == "ledger.not_looked"} == {"StoreSlow"}
    for _ in range(2):
        await bot.watches.look()
    [text] = spoken(watching)
    assert "`other`" in text


def test_seven_days_are_seven_days() -> None:
    assert WARM_AGE == 7 * DAY
