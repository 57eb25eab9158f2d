"""A crowd: many servers at once, against limits that a stand-in of Discord enforces; a stop in its midst.

A short version runs with the other tests; `make crowd` has 40, and 1,000, and also looks at the clock. How
soon a start goes on with countdowns is measured by `make bench`, as "resumed".
"""

import asyncio
import os
import time
from dataclasses import replace
from statistics import median
from typing import NamedTuple

from bot.domain.askers import OPEN_PER_SERVER
from bot.domain.reload import OPEN, State
from bot.store.embedded import EmbeddedStore
from tests.endurance.past import begin_with_a_history
from tests.stand_ins.discord import Interaction
from tests.wire import Wire

IS_TIMED = "CROWD" in os.environ
CROWD = int(os.environ.get("CROWD", "100"))
SECONDS = 6 + CROWD / 70
"""Long enough for everybody to have asked before the first ending."""
SETTLE = CROWD / 30 + 30
LIVES_ON = 10
"""Seconds more for what is not overdue, for three edits: one that a busy machine holds up is dropped."""
LOGIN = "/oauth2/applications/@me"
"""The last call of a login."""


class Asked(NamedTuple):
    """A crowd's commands, and which model each asked for."""

    made: list[Interaction]
    models: list[str]


async def a_crowd_asks(wire: Wire, per_server: int = OPEN_PER_SERVER) -> Asked:
    """Servers are made as needed, each with four channels and a key; then everybody asks at once."""
    places = []
    for number in range(0, CROWD, per_server):
        guild = wire.server.add_guild(f"server {number}")
        channels = [wire.server.add_channel(guild, f"channel {n}") for n in range(4)]
        mod = wire.server.add_member(guild, "mod", manage_guild=True)
        modal = await wire.server.slash(mod, channels[0], "key set")
        form = await wire.server.submit_modal(modal, {0: "a-key-0123456789"})
        await wire.server.wait_for(lambda form=form: "been stored" in wire.reply(form).text)  # type: ignore[misc]
        places.append((guild, channels))
    asked = Asked([], [f"model-{number}" for number in range(CROWD)])
    for number, model in enumerate(asked.models):
        guild, channels = places[number // per_server]
        member = wire.server.add_member(guild, "somebody")
        channel = channels[number % 4]
        asked.made.append(await wire.server.slash(member, channel, "reload", {"model_id": model}, wait=0))
    return asked


def report(text: str) -> None:
    print(text)  # noqa: T201  # the figures


def figures(lateness: list[float]) -> str:
    return f"median {median(lateness):.2f} s, last {max(lateness):.2f} s"


def limited(wire: Wire) -> int:
    """Answers of 429 on routes that count for the whole bot."""
    return len([r for r in wire.server.requests if r.status == 429 and not r.route.startswith("/webhooks")])


async def test_a_crowd_is_answered_ends_on_time_and_is_pinged(wire: Wire) -> None:
    begin_with_a_history(wire)
    wire.environment |= {"RELOAD_SECONDS": str(SECONDS), "LOG_LEVEL": "WARNING"}
    wire.forked = False
    async with wire.process() as process:
        await wire.set_key()
        asked = await a_crowd_asks(wire, per_server=1 if CROWD <= 40 else OPEN_PER_SERVER)
        await wire.server.wait_for(lambda: len(wire.pings()) == CROWD, SECONDS + SETTLE)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0

    posted = {call.body["model_id"]: call.at for call in wire.api.calls}
    assert len(posted) == len(wire.api.calls) == CROWD
    due = {made.member.id: posted[model] + SECONDS for made, model in zip(*asked, strict=True)}
    endings = [wire.reply(made).history[-1][0] - due[made.member.id] for made in asked.made]
    pings = [ping.history[0][0] - due[user] for ping in wire.pings() for user in ping.mentions]
    answers = [r for r in wire.server.requests if r.route.endswith("/callback")][-CROWD:]
    first = [answer.at - made.at for answer, made in zip(answers, asked.made, strict=True)]
    report(f"{CROWD} reloads: first answer {figures(first)}; endings late by {figures(endings)};")
    report(f"pings late by {figures(pings)}; {limited(wire)} answers of 429 on bot routes")
    assert len(pings) == CROWD
    assert wire.server.violations == []
    assert limited(wire) == 0


async def test_a_crowd_goes_on_after_a_stop(wire: Wire) -> None:
    """Half of it is overdue when the bot is back."""
    begin_with_a_history(wire)
    wire.environment |= {"RELOAD_SECONDS": "60", "LOG_LEVEL": "WARNING"}
    async with wire.process() as process:
        await wire.set_key()
        asked = await a_crowd_asks(wire)
        await wire.server.wait_for(lambda: all(made.message_id for made in asked.made), SETTLE)
        await wire.server.wait_for(lambda: all("left" in wire.reply(m).text for m in asked.made), SETTLE)
        began = time.monotonic()
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
        stopped = time.monotonic() - began

    store = EmbeddedStore(wire.folder / "data")
    left = [reload for reload in await store.open() if reload.state in OPEN]
    assert {reload.state for reload in left} == {State.COUNTING}
    assert len(left) == CROWD
    store._memory.begin()
    due = time.time() + SECONDS + LIVES_ON
    for number, row in enumerate(left):
        moved = replace(row, deadline=time.time() - 1 if number % 2 else due)
        store._memory.change(f"reload:{row.id}", moved)
    store._write()
    store.close()
    overdue = {row.message for number, row in enumerate(left) if number % 2}

    async with wire.process():
        logins = len([r for r in wire.server.requests if r.route == LOGIN])
        await wire.server.wait_for(
            lambda: len([r for r in wire.server.requests if r.route == LOGIN]) > logins, 20
        )
        login = [r.at for r in wire.server.requests if r.route == LOGIN][-1]
        await wire.server.wait_for(lambda: len(wire.pings()) == CROWD, SECONDS + LIVES_ON + SETTLE)

    edited, ended = [], []
    for made in asked.made:
        after = [(at, str(version)) for at, version in wire.reply(made).history if at > login]
        assert "**Ready**" in after[-1][1]
        if made.message_id in overdue:
            ended.append(next(at for at, version in after if "**Ready**" in version) - login)
        else:
            assert "left" in after[0][1], "each is edited again"
            edited.append(after[0][0] - login)
    report(f"{CROWD} open: stop {stopped:.2f} s; after the next login: endings that were overdue")
    report(f"{figures(ended)}, countdowns edited again {figures(edited)}; {limited(wire)} answers of 429")
    if IS_TIMED:
        assert max(ended) < 5
        dropped = sum(at >= 5 for at in edited)  # a tick that a busy machine holds up for half a second
        assert dropped <= CROWD * 0.03
    pinged = sorted(user for ping in wire.pings() for user in ping.mentions)
    assert pinged == sorted(made.member.id for made in asked.made), "each once"
    assert median(ended) < median(edited), "most overdue first"
    assert max(edited) - min(ended) > 2, "spread, not all at once"
    assert limited(wire) == 0
    assert len(wire.api.calls) == CROWD
    assert wire.server.violations == []
