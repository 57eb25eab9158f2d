"""A crowd: many servers at once, against limits that a stand-in of Discord enforces.

A short version runs with the other tests; `make crowd` has 1,000 reloads.
"""

import asyncio
import functools
import os
import time
from statistics import median

from bot.reload import OPEN_PER_SERVER
from tests.stand_ins.discord_server import Interaction
from tests.wire import Wire

CROWD = int(os.environ.get("CROWD", "100"))
SECONDS = 20.0
SETTLE = CROWD / 40 + 30


def is_stored(wire: Wire, form: Interaction) -> bool:
    return "is stored" in wire.reply(form).text


async def test_a_crowd_is_answered_ends_on_time_and_is_pinged(wire: Wire) -> None:
    wire.environment |= {"RELOAD_SECONDS": str(SECONDS), "LOG_LEVEL": "WARNING"}
    asked: list[Interaction] = []
    async with wire.process() as process:
        await wire.set_key()
        places = []
        for number in range(0, CROWD, OPEN_PER_SERVER):
            guild = wire.server.add_guild(f"server {number}")
            channels = [wire.server.add_channel(guild, f"channel {n}") for n in range(4)]
            mod = wire.server.add_member(guild, "mod", manage_guild=True)
            modal = await wire.server.slash(mod, channels[0], "key set")
            form = await wire.server.submit_modal(modal, {0: "a-key-0123456789"})
            await wire.server.wait_for(functools.partial(is_stored, wire, form))
            places.append((guild, channels))
        for number in range(CROWD):
            guild, channels = places[number // OPEN_PER_SERVER]
            member = wire.server.add_member(guild, "somebody")
            options = {"model_id": f"model-{number}"}
            asked.append(await wire.server.slash(member, channels[number % 4], "reload", options, wait=0))
        await wire.server.wait_for(lambda: len(wire.pings()) == CROWD, SECONDS + SETTLE)
        began = time.monotonic()
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
        stopped = time.monotonic() - began

    posted = {call.body["model_id"]: call.at for call in wire.api.calls}
    assert len(posted) == len(wire.api.calls) == CROWD
    late = [wire.reply(made).history[-1][0] - posted[f"model-{n}"] - SECONDS for n, made in enumerate(asked)]
    answers = [r for r in wire.server.requests if r.route.endswith("/callback")][-CROWD:]
    first = [answer.at - made.at for answer, made in zip(answers, asked, strict=True)]
    refused = [r for r in wire.server.requests if r.status == 429 and not r.route.startswith("/webhooks")]
    print(  # noqa: T201  # the figures
        f"{CROWD} reloads: first answer median {median(first):.2f} s, last {max(first):.2f} s; "
        f"endings late by median {median(late):.2f} s, last {max(late):.2f} s; "
        f"{len(refused)} answers of 429 on bot routes; stop {stopped:.2f} s"
    )
    assert wire.server.violations == []
    assert refused == []
