"""Everybody is refused: few calls are made, however many countdowns there are, and all endings follow."""

import asyncio
import itertools
import os
from collections import Counter
from typing import Any

import pytest
from discord.http import Route

from bot.domain.reload import Asker, Reload, State
from bot.store.embedded import EmbeddedStore
from tests.stand_ins.discord import Fault, Interaction, Message
from tests.stand_ins.discord.state import COMMAND_CALL, LOADING
from tests.wire import EPOCH, Wire, running

pytestmark = pytest.mark.usefixtures("virtual")
COUNTDOWNS, PER_CHANNEL = int(os.environ.get("CROWD", "60")), 5
# CROWD=500 takes minutes: what matters is that the number of refused calls does not grow with it.
BEGINS, LASTS = 10.0, 90.0
"""When the refusals begin, and how long they last, in seconds; the first deadline is in between."""
DUE = 40.0
METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")
BY_TOKEN, OWN, ALL = "^/(webhooks|interactions)/", "^/channels/", "^/"
GLOBAL: dict[str, Any] = {
    "status": 429,
    "body": {"message": "You are being rate limited.", "retry_after": 10.0, "global": True},
    "headers": {"X-RateLimit-Global": "true"},
}
EDGE: dict[str, Any] = {"status": 429, "edge": True}


def seed(wire: Wire, *, spread: float) -> list[Interaction]:
    """Store the countdowns of a stopped bot, in its store and in Discord: due from DUE on."""
    server, asked = wire.server, []
    store = EmbeddedStore(wire.folder / "data")
    store._memory.begin()
    now = asyncio.get_running_loop().time()
    for number in range(COUNTDOWNS):
        if number % PER_CHANNEL == 0:
            channel = server.add_channel(wire.guild, f"channel {number}")
        made = Interaction(server._new_id(), f"token-{number}" * 5, COMMAND_CALL, wire.ana, channel, now)
        message = Message(server._new_id(), channel.id, made, flags=LOADING)
        made.callback_type, made.message_id = 5, message.id
        server.interactions[made.id], server.messages[message.id] = made, message
        due = EPOCH + now + DUE + number * spread / COUNTDOWNS
        row = Reload(
            made.id,
            wire.guild.id,
            f"model-{number}",
            (Asker(wire.ana.id, channel.id, made.token),),
            EPOCH + now,
            120.0,
            State.COUNTING,
            message.id,
            called_at=EPOCH + now,
            deadline=due,
        )
        store._memory.change(f"reload:{made.id}", row)
        asked.append(made)
    store._write()
    store.close()
    return asked


def most_in_a_minute(times: list[float]) -> int:
    return max((sum(begin <= at < begin + 60 for at in times) for begin in times), default=0)


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "by something in front of Discord": (EDGE, ALL),
    "by a limit on all calls of the bot": (GLOBAL, OWN),
    "by a limit on all calls": (GLOBAL, ALL),
}


@pytest.mark.parametrize("spread", [20.0, 0.0])
@pytest.mark.parametrize("name", CASES)
async def test_few_calls_are_refused_and_all_endings_come(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, name: str, spread: float
) -> None:
    how, where = CASES[name]
    wire.server.limits = False
    asked = seed(wire, spread=spread)
    monkeypatch.setattr(Route, "BASE", wire.server.url)  # without a proxy, as at Discord
    settings = wire.settings(discord_api_url="", shard_count=None, log_level="ERROR")
    async with running(settings, monkeypatch) as bot:
        await wire.server.wait_for(lambda: all("left" in wire.reply(one).text for one in asked), BEGINS)
        loop = asyncio.get_running_loop()
        began = loop.time()
        wire.server.faults += [Fault(method, where, times=10**9, **how) for method in METHODS]
        await asyncio.sleep(LASTS)
        over, refused = loop.time(), [r for r in wire.server.requests if r.status == 429]
        wire.server.faults.clear()
        own = [r for r in refused if r.path.startswith("/channels/")]
        counts = Counter(r.route for r in refused)
        print(name, f"spread {spread}: {len(refused)} refused, {most_in_a_minute([r.at for r in refused])}")  # noqa: T201
        assert 0 < most_in_a_minute([r.at for r in refused]) <= 60, counts
        if where == OWN:
            assert refused == own
            in_time = [one for one in asked if wire.reply(one).text.startswith("**Ready**")]
            assert len(in_time) == COUNTDOWNS, "calls by token go on"
        await wire.server.wait_for(lambda: len(wire.pings()) == COUNTDOWNS, 400)
        await asyncio.sleep(20)
        print(f"last ping after {max(p.history[0][0] for p in wire.pings()) - over:.0f} s")  # noqa: T201
        assert len(wire.pings()) == COUNTDOWNS, "each once"
        assert all(wire.reply(one).text.startswith("**Ready**") for one in asked)
        late = [ping for ping in wire.pings() if ping.history[0][0] > began + DUE + spread + 15]
        assert [ping.text for ping in late if "Sorry, this is late" not in ping.text] == []
        if where == ALL:
            assert len(late) == COUNTDOWNS
            assert all("Sorry, this is late" in wire.reply(one).text for one in asked)
        assert {row.state for row in await bot.store.history(wire.guild.id)} == {State.ENDED}


async def test_pauses_grow_and_one_call_tries(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lasts an hour, with the bot's own jobs and people who ask."""
    monkeypatch.setattr(Route, "BASE", wire.server.url)
    async with running(wire.settings(discord_api_url="", shard_count=None), monkeypatch):
        await wire.set_key()
        await wire.reload()
        wire.server.faults += [Fault(method, ALL, times=10**9, **EDGE) for method in METHODS]
        for number in range(180):
            await wire.server.slash(wire.ben, wire.art, "reload", {"model_id": f"m-{number}"}, wait=0)
            await asyncio.sleep(20)
        times = [r.at for r in wire.server.requests if r.status == 429]
        assert 10 <= len(times) <= 25
        pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert max(pauses) < 330
        assert pauses[-1] >= 300
        wire.server.faults.clear()
        await wire.server.wait_for(wire.pings, 330)


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize(("method", "met_by"), [("PATCH", BY_TOKEN), ("POST", OWN)])
async def test_a_limit_on_all_stops_calls_by_token_only_where_one_of_these_met_it(
    wire: Wire, method: str, met_by: str
) -> None:
    """Of two reloads, the first one's ending meets the limit while the second one counts."""
    first = await wire.reload(model="first")
    await wire.server.wait_for(lambda: "left" in wire.reply(first).text)
    await asyncio.sleep(1)
    await wire.reload(wire.ben, "second")
    wire.server.faults.append(Fault(method, met_by, **GLOBAL))
    await wire.server.wait_for(lambda: any(r.status == 429 for r in wire.server.requests), 10)
    [refused] = [r.at for r in wire.server.requests if r.status == 429]
    await wire.server.wait_for(lambda: len(wire.pings()) == 2, 60)
    after = [r for r in wire.server.requests if refused < r.at < refused + 9.9]
    by_token = [r for r in after if r.route.startswith("/webhooks/")]
    assert [r for r in after if r.route.startswith("/channels/")] == []
    assert bool(by_token) is (met_by == OWN)
    assert len([r for r in wire.server.requests if r.status == 429]) == 1


@pytest.mark.usefixtures("bot")
async def test_a_wait_of_years_is_one_of_an_hour(wire: Wire) -> None:
    asked = await wire.reload()
    await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
    headers = {"Retry-After": "999999999", "X-RateLimit-Global": "true"}
    wire.server.faults.append(Fault("PATCH", ALL, status=429, headers=headers))
    await wire.server.wait_for(wire.pings, 3800)
    assert wire.reply(asked).text.startswith("**Ready**")
