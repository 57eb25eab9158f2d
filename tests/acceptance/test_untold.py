"""An ending that could not be shown in time: announced once, soon after its place opens, as late."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from bot.app import Rewarm
from bot.domain.reload import FADE_AGE, MOST_REFUSED, State
from bot.settings import Settings
from tests.acceptance.test_odd_events import events
from tests.stand_ins.discord import Interaction, Message
from tests.stand_ins.discord.payloads import user_payload
from tests.stand_ins.discord.state import now
from tests.stand_ins.model_api import Answer
from tests.wire import Wire, running

pytestmark = pytest.mark.usefixtures("virtual")
SECONDS, HOUR = 120.0, 3600.0
SOON, QUIET = 2.0, 605.0
"""Seconds from the opening of its place to the announcement: after an event, and without one."""
EVENTS = ("CHANNEL_UPDATE", "THREAD_UPDATE", "THREAD_LIST_SYNC", "GUILD_ROLE_UPDATE", "GUILD_MEMBER_UPDATE")


@pytest.fixture
async def bot(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rewarm]:
    async with running(wire.settings(reload_seconds=SECONDS), monkeypatch) as bot:
        await wire.set_key()
        yield bot


def lock(wire: Wire) -> None:
    wire.general.archived = wire.general.locked = True


def unlock(wire: Wire) -> None:
    wire.general.archived = wire.general.locked = False


def shut(wire: Wire) -> None:
    wire.general.may_view = wire.general.may_send = False


def reopen(wire: Wire) -> None:
    wire.general.may_view = wire.general.may_send = True


def changed(wire: Wire, event: str, user: int | None = None) -> None:
    """Send the event that something has changed in the server, about a member or the bot itself."""
    user = user or wire.server.application_id
    about: dict[str, Any] = {"user": user_payload(user, "x")} if event == "GUILD_MEMBER_UPDATE" else {}
    if event == "THREAD_UPDATE":
        about = {"id": str(wire.general.id)}
    wire.server.emit(event, events(wire)[event] | about)


async def counting(wire: Wire) -> Interaction:
    asked = await wire.reload()
    await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
    return asked


async def opened(wire: Wire, way: Callable[[Wire], None], event: str | None, within: float) -> Message:
    """Open the place; return the one ping that comes, and print when it came."""
    assert wire.pings() == []
    way(wire)
    at = now()
    if event is not None:
        changed(wire, event)
    await wire.server.wait_for(wire.pings, within)
    [ping] = wire.pings()
    print(f"MEASURED {event}: {ping.history[0][0] - at:.1f} s from the place being open to the ping")  # noqa: T201  # for whoever wants to know
    return ping


async def told_once(wire: Wire, bot: Rewarm, asked: Interaction, ping: Message) -> None:
    await asyncio.sleep(2 * HOUR)
    assert wire.pings() == [ping]
    assert ping.mentions == {wire.ana.id}
    assert "this is late" in ping.text
    assert wire.reply(asked).text.startswith("**Ready**")
    assert await bot.store.open() == []
    assert wire.server.violations == []


@pytest.mark.parametrize(("event", "within"), [("THREAD_UPDATE", SOON), (None, QUIET)])
async def test_thread_locked_over_the_deadline(
    wire: Wire, bot: Rewarm, event: str | None, within: float
) -> None:
    asked = await counting(wire)
    await asyncio.sleep(SECONDS - 10)
    lock(wire)
    await asyncio.sleep(20)
    ping = await opened(wire, unlock, event, within)
    await told_once(wire, bot, asked, ping)


@pytest.mark.parametrize(("event", "within"), [("THREAD_UPDATE", SOON), (None, QUIET)])
@pytest.mark.parametrize("after", [700, 1500])
async def test_thread_locked_while_thinking(
    wire: Wire, bot: Rewarm, after: float, event: str | None, within: float
) -> None:
    lock(wire)
    asked = await wire.reload()
    await asyncio.sleep(after)
    assert wire.reply(asked).thinking
    ticks = [at for at in refused(wire) if at < wire.api.calls[0].at + SECONDS - 1]
    assert 1 <= len(ticks) <= 4, "a countdown is not shown every 5 s to a thread that rests"
    ping = await opened(wire, unlock, event, within)
    await told_once(wire, bot, asked, ping)


async def test_thinking_reply_that_no_way_leads_to_any_more_leaves_it_to_the_ping(
    wire: Wire, bot: Rewarm
) -> None:
    wire.server.thinking_by_channel = False
    lock(wire)
    await wire.reload()
    await asyncio.sleep(1500)
    ping = await opened(wire, unlock, "THREAD_UPDATE", SOON)
    assert ping.text.splitlines()[0].endswith("**Ready** `sdxl-turbo`")
    await asyncio.sleep(60)
    assert wire.pings() == [ping]
    assert await bot.store.open() == []


@pytest.mark.parametrize("event", EVENTS)
async def test_right_to_view_is_given_back(wire: Wire, bot: Rewarm, event: str) -> None:
    asked = await counting(wire)
    wire.server.kill_token(asked)
    shut(wire)
    await asyncio.sleep(HOUR)
    ping = await opened(wire, reopen, event, SOON)
    await told_once(wire, bot, asked, ping)
    assert [request.status for request in wire.server.requests].count(401) == 1, "that token is dead"


@pytest.mark.parametrize(("event", "within"), [("GUILD_ROLE_UPDATE", SOON), (None, HOUR)])
async def test_right_to_send_is_given_back(wire: Wire, bot: Rewarm, event: str | None, within: float) -> None:
    asked = await counting(wire)
    wire.server.kill_token(asked)
    wire.general.may_send = False
    await asyncio.sleep(2 * HOUR)
    assert wire.reply(asked).text.startswith("**Ready**"), "that needs View only"
    edits = len(wire.reply(asked).history)
    ping = await opened(wire, reopen, event, within)
    await told_once(wire, bot, asked, ping)
    assert len(wire.reply(asked).history) == edits, "it is shown already"


async def locked_over_starts(
    wire: Wire, patch: pytest.MonkeyPatch, settings: Settings, seconds: float, starts: int, within: float
) -> Interaction:
    """Lock a thread in mid-countdown, stop the bot some seconds after the end, and start it several times.

    `within`: seconds in which each start connects.
    """
    async with running(settings, patch):
        await wire.set_key()
        asked = await counting(wire)
        lock(wire)
        await asyncio.sleep(SECONDS + seconds)
    for _ in range(starts):
        async with running(settings, patch) as bot:
            await wire.server.wait_for(bot.is_connected, within)
            await asyncio.sleep(60)
    return asked


async def test_restart_in_between(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = wire.settings(reload_seconds=SECONDS)
    asked = await locked_over_starts(wire, monkeypatch, settings, 1000, starts=2, within=60)
    async with running(settings, monkeypatch) as bot:
        await wire.server.wait_for(bot.is_connected, 1000)
        await asyncio.sleep(60)
        ping = await opened(wire, unlock, "THREAD_UPDATE", SOON)
        await told_once(wire, bot, asked, ping)


async def test_starts_in_a_row_do_not_use_up_the_day(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = wire.settings(reload_seconds=SECONDS)
    await locked_over_starts(wire, monkeypatch, settings, 60, starts=14, within=1000)
    tries = refused(wire)
    assert now() - tries[0] < 3 * HOUR
    assert len(tries) <= MOST_REFUSED / 2
    async with running(settings, monkeypatch):
        ping = await opened(wire, unlock, "THREAD_UPDATE", 1.3 * HOUR)
        assert ping.mentions == {wire.ana.id}


async def test_late_failure_pings_its_owner_who_no_longer_looks(wire: Wire, bot: Rewarm) -> None:
    wire.api.reloads = [Answer({"status": "error", "message": "Insufficient credits."}, 402)]
    lock(wire)
    asked = await wire.reload()
    await asyncio.sleep(HOUR + 300)
    ping = await opened(wire, unlock, "THREAD_UPDATE", SOON)
    assert "Sorry, this is late." in ping.text
    assert wire.reply(asked).text.startswith("**Failed**")
    await asyncio.sleep(HOUR)
    assert wire.pings() == [ping]
    assert await bot.store.open() == []


async def test_joiner_in_an_open_channel_is_pinged_in_time_and_once(wire: Wire, bot: Rewarm) -> None:
    asked = await counting(wire)
    await wire.server.slash(wire.ben, wire.art, "reload", {"model_id": "sdxl-turbo"})
    lock(wire)
    await asyncio.sleep(SECONDS + 5)
    assert [ping.mentions for ping in wire.pings()] == [{wire.ben.id}]
    unlock(wire)
    changed(wire, "THREAD_UPDATE")
    await asyncio.sleep(HOUR)
    assert [ping.mentions for ping in wire.pings()] == [{wire.ben.id}, {wire.ana.id}]
    assert wire.reply(asked).text.startswith("**Ready**")
    assert await bot.store.open() == []


async def test_a_test_image_that_its_late_ending_lets_lapse_is_not_blamed_on_the_bot(
    wire: Wire, bot: Rewarm
) -> None:
    """The bot was there all the time."""
    asked = await counting(wire)
    await have_it_tested(wire, asked)
    lock(wire)
    await asyncio.sleep(SECONDS + 700)
    unlock(wire)
    changed(wire, "THREAD_UPDATE")
    late = "the end of the countdown was announced too late; nothing was sent."
    await wire.server.wait_for(lambda: late in wire.reply(asked).text, 30)
    await wire.server.wait_for(lambda: len(wire.pings()) == 2, 30)
    assert [ping.mentions for ping in wire.pings()] == [{wire.ana.id}, {wire.ben.id}]
    assert wire.api.render_calls == []


def refused(wire: Wire) -> list[float]:
    """Return when calls for a reply or a ping were refused."""
    return [
        r.at for r in wire.server.requests if re.search("messages|^/webhooks", r.path) and r.status >= 400
    ]


async def have_it_tested(wire: Wire, asked: Interaction) -> None:
    """Have ben press *Test it too*, and say yes."""
    question = await wire.server.press(wire.ben, wire.reply(asked), "Test it too")
    await wire.server.wait_for(lambda: question.message_id is not None)
    await wire.server.press(wire.ben, wire.reply(question), "Yes, test it")


async def locked_for(
    wire: Wire, seconds: float, *, an_event_each: float | None, is_tested: bool = False
) -> Interaction:
    asked = await counting(wire)
    if is_tested:
        await have_it_tested(wire, asked)
    lock(wire)
    until = now() + SECONDS + seconds
    while (left := round(until - now(), 3)) > 0:  # virtual time does not move by less than a rounding
        await asyncio.sleep(min(left, an_event_each or seconds))
        if an_event_each:
            changed(wire, "CHANNEL_UPDATE")
    return asked


@pytest.mark.parametrize("is_tested", [False, True], ids=["", "tested"])
async def test_a_quiet_day_costs_sixty_refused_calls_at_most_and_then_it_is_over(
    wire: Wire, bot: Rewarm, is_tested: bool
) -> None:
    await locked_for(wire, FADE_AGE + 2 * HOUR, an_event_each=None, is_tested=is_tested)
    tries = refused(wire)
    print(f"MEASURED {len(tries)} refused calls in a quiet day")  # noqa: T201
    assert len(tries) <= MOST_REFUSED
    assert max(b - a for a, b in itertools.pairwise(tries)) < 1.3 * HOUR
    assert now() - tries[-1] < 4 * HOUR, "they went on until the end"
    assert tries[-1] < wire.api.calls[0].at + SECONDS + FADE_AGE - 60, "and not beyond"
    unlock(wire)
    changed(wire, "THREAD_UPDATE")
    await asyncio.sleep(60)
    assert refused(wire) == tries
    assert wire.pings() == []
    [row] = await bot.store.history(wire.guild.id)
    assert (row.state, row.has_tokens) == (State.ENDED, False)
    assert wire.api.render_calls == []


async def test_a_server_in_which_much_happens_does_not_use_up_the_day(wire: Wire, bot: Rewarm) -> None:
    asked = await locked_for(wire, 3 * HOUR, an_event_each=60.0)
    tries = refused(wire)
    print(f"MEASURED {len(tries)} refused calls in 3 h with an event each minute")  # noqa: T201
    assert len(tries) <= MOST_REFUSED / 2
    assert now() - tries[-1] < 1.3 * HOUR, "they go on"
    ping = await opened(wire, unlock, "THREAD_UPDATE", 1.3 * HOUR)
    await told_once(wire, bot, asked, ping)


async def test_however_many_are_refused_at_once(wire: Wire, bot: Rewarm) -> None:
    """Joiners in as many channels, each of which refuses, and their tokens are dead."""
    bot.runner.seconds = 60.0
    asked = await counting(wire)
    wire.server.kill_token(asked)
    shut(wire)
    for number in range(64):
        person = wire.server.add_member(wire.guild, f"m{number}")
        channel = wire.server.add_channel(wire.guild, f"c{number}")
        joined = await wire.server.slash(person, channel, "reload", {"model_id": "sdxl-turbo"})
        wire.server.kill_token(joined)
        channel.may_view = channel.may_send = False
    await asyncio.sleep(SECONDS + 2 * HOUR)
    assert len(refused(wire)) <= MOST_REFUSED + 5, "those that are on their way are let go"


async def test_changes_of_a_server_set_off_tries_thirty_seconds_apart(wire: Wire, bot: Rewarm) -> None:
    await locked_for(wire, 70, an_event_each=0.5)
    tries = [at for at in refused(wire) if at > now() - 69]
    rounds = sorted({round(at) for at in tries})
    assert 2 <= len(rounds) <= 3
    assert all(b - a >= 30 for a, b in itertools.pairwise(rounds))


async def test_other_servers_threads_and_members_set_off_nothing(wire: Wire, bot: Rewarm) -> None:
    await locked_for(wire, 30, an_event_each=None)
    before = len(refused(wire))
    changed(wire, "GUILD_MEMBER_UPDATE", wire.ana.id)
    wire.server.emit("THREAD_UPDATE", events(wire)["THREAD_UPDATE"])
    wire.server.emit("CHANNEL_UPDATE", events(wire)["CHANNEL_UPDATE"] | {"guild_id": "5"})
    await asyncio.sleep(60)
    assert len(refused(wire)) == before


async def test_an_event_that_cannot_be_parsed_counts_all_the_same(wire: Wire, bot: Rewarm) -> None:
    asked = await locked_for(wire, 30, an_event_each=None)
    unlock(wire)
    wire.server.emit("CHANNEL_UPDATE", events(wire)["CHANNEL_UPDATE"] | {"permission_overwrites": None})
    await asyncio.sleep(SOON)
    [ping] = wire.pings()
    await told_once(wire, bot, asked, ping)
