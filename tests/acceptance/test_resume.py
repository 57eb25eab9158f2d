"""What a restart finds in the store, and what people then see: each state the last process may leave."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import simcord

from bot.app import Rewarm
from bot.domain.reload import Outcome, Ping, Reload, State
from bot.settings import Settings
from bot.store.embedded import EmbeddedStore
from tests.fixtures import BuildBot, close
from tests.stand_ins.model_api import ModelApiServer
from tests.world import START, World

Crash = Callable[[], Awaitable[None]]


@pytest.fixture
def crash(
    env: simcord.Env, world: World, build_bot: BuildBot, settings: Settings
) -> Callable[..., Awaitable[Reload]]:
    """Leave a /reload behind in some state, as a crash would, and start the bot again after a while."""

    async def leave(state: State, away: float = 0.0, **facts: Any) -> Reload:
        await world.reload()
        bot = env.bot
        assert isinstance(bot, Rewarm)
        [known] = await bot.store.open()
        await close(env)
        left = replace(known, state=state, **facts)
        store = EmbeddedStore(settings.data_dir)
        store._memory.change(f"reload:{left.id}", left)
        store._write()
        store.close()
        if away:
            await env.advance_time(away)
        await env.restart_bot(await build_bot())
        return left

    return leave


@dataclass(frozen=True)
class Left:
    """One state that a crash leaves, and what is seen within five seconds of the next login."""

    state: State
    facts: dict[str, Any]
    word: str
    sentence: str
    away: float = 20.0


NOTHING_KNOWN = {"message": None, "deadline": None, "called_at": None}
LEFT = {
    "asked, not yet answered": Left(State.ASKED, NOTHING_KNOWN, "Failed", "Nothing was sent"),
    "calling": Left(
        State.CALLING, {"deadline": None}, "Unclear", "restarted while it was waiting for the API"
    ),
    "counting, overdue": Left(State.COUNTING, {}, "Ready", "Sorry, this is late", 130.0),
    "announcing a failure": Left(
        State.ANNOUNCING,
        {"deadline": None, "outcome": Outcome.NO_CREDITS, "ended_at": START + 1},
        "Failed",
        "out of credits",
    ),
}


@pytest.mark.parametrize("case", LEFT)
async def test_every_state_left_by_a_crash_ends_in_sight(
    crash: Callable[..., Awaitable[Reload]], world: World, api: ModelApiServer, case: str
) -> None:
    left = LEFT[case]
    await crash(left.state, left.away, **left.facts)
    await world.env.advance_time(5)
    assert world.last().word == left.word
    assert left.sentence in world.last().text
    assert len(api.calls) == 1, "a restart never calls again"
    assert await open_reloads(world) == []


@pytest.mark.parametrize("case", ["asked, not yet answered", "calling", "counting, overdue"])
async def test_who_asked_is_pinged_after_a_crash(
    crash: Callable[..., Awaitable[Reload]], world: World, case: str
) -> None:
    left = LEFT[case]
    await crash(left.state, left.away, **left.facts)
    await world.env.advance_time(5)
    [ping] = world.pings()
    assert ping.pinged == {world.ana.id}


async def test_ping_that_went_out_before_the_crash_is_not_repeated(
    crash: Callable[..., Awaitable[Reload]], world: World
) -> None:
    facts = {"outcome": Outcome.ACCEPTED, "ended_at": START + 120}
    pings = (Ping(world.general.id, (world.ana.id,)), Ping(world.art.id, (world.ben.id,)))
    await crash(State.ANNOUNCING, 121, pings=pings, pinged=(0,), **facts)
    await world.env.advance_time(5)
    [ping] = world.pings()
    assert ping.pinged == {world.ben.id}


async def test_named_wait_goes_on_after_a_restart(
    crash: Callable[..., Awaitable[Reload]], world: World, api: ModelApiServer
) -> None:
    await crash(State.ASKED, 5, deadline=None, not_before=START + 30, waits=1)
    await world.env.advance_time(2)
    assert world.last().word == "Waiting"
    assert len(api.calls) == 1
    await world.env.advance_time(30)
    assert world.last().word == "Reloading"
    assert len(api.calls) == 2


async def test_command_that_was_never_acknowledged_leaves_nothing(
    crash: Callable[..., Awaitable[Reload]], world: World, api: ModelApiServer
) -> None:
    world.env.inject_error("GET", "/webhooks/*/*/messages/@original", status=404, code=10015, times=None)
    await crash(State.ASKED, **NOTHING_KNOWN)
    await world.env.advance_time(10)
    assert [seen.word for seen in world.seen()] == ["Reloading"], "nothing but what stood there before"
    assert await open_reloads(world) == []
    assert len(api.calls) == 1


async def test_dead_token_is_edited_by_channel(crash: Callable[..., Awaitable[Reload]], world: World) -> None:
    world.env.inject_error("PATCH", "/webhooks/*", status=401, code=50027, times=None)
    await crash(State.COUNTING, 130)
    await world.env.advance_time(5)
    assert world.last().word == "Ready"
    of_reply = re.compile(r"/(webhooks|channels)/.*/messages/\d+")
    found = [of_reply.fullmatch(r.path) for r in world.env.http_requests if r.method == "PATCH"]
    edits = [match[1] for match in found if match]
    assert edits == ["webhooks", "channels"] * 2, "one try by token for each start of the bot"


HOURS = 3 * 3600.0


async def test_countdown_ends_though_the_clock_was_set_back_meanwhile(
    crash: Callable[..., Awaitable[Reload]], world: World
) -> None:
    """The clock was 3 h ahead when the API accepted: a small computer before it has asked for the time."""
    await crash(State.COUNTING, 5, deadline=START + 120 + HOURS, asked_at=START + HOURS)
    await world.env.advance_time(125)
    assert world.last().word == "Ready"


async def test_wait_ends_though_the_clock_was_set_back_meanwhile(
    crash: Callable[..., Awaitable[Reload]], world: World
) -> None:
    await crash(State.ASKED, 5, deadline=None, not_before=START + 30 + HOURS, waits=1)
    await world.env.advance_time(65)
    assert world.last().word == "Reloading"


async def test_failure_is_pinged_though_the_clock_was_set_back_meanwhile(
    crash: Callable[..., Awaitable[Reload]], world: World
) -> None:
    await crash(State.CALLING, 120, deadline=None, asked_at=START + HOURS)
    await world.env.advance_time(5)
    assert [ping.pinged for ping in world.pings()] == [{world.ana.id}]


async def open_reloads(world: World) -> list[Reload]:
    bot = world.env.bot
    assert isinstance(bot, Rewarm)
    return await bot.store.open()
