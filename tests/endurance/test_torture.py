"""`kill -9` at random moments: every acknowledged reload ends once, in sight, with at most one POST.

A short version runs with the other tests; `make torture` kills a hundred times.
"""

import asyncio
import functools
import os
import random
import secrets
from collections import Counter

from aiohttp import web

from bot.domain.reload import Ending
from tests.endurance.past import begin_with_a_history
from tests.stand_ins.discord import Interaction
from tests.stand_ins.model_api import ACCEPTED, Answer
from tests.wire import Wire

KILLS = int(os.environ.get("TORTURE_KILLS", "6"))
DEFERRED = 5
RUN = """
import bot.discord_api.logins
bot.discord_api.logins.STAYED_AGE = 0.0  # a bot that crashes again and again logs in more and more rarely
from bot.__main__ import main
main()
"""
ENDINGS = tuple(f"**{ending.capitalize()}**" for ending in Ending)


async def people_keep_asking(wire: Wire, asked: dict[str, Interaction], dice: random.Random) -> None:
    """A member comes by every tenth of a second or so, each with a model of their own."""
    while True:
        await asyncio.sleep(dice.uniform(0.02, 0.2))
        if wire.server.connected.is_set():
            member = wire.server.add_member(wire.guild, "somebody")
            model = f"model-{len(asked)}"
            asked[model] = await wire.server.slash(
                member, wire.general, "reload", {"model_id": model}, wait=0
            )


async def sooner_or_later(dice: random.Random, _: web.Request) -> web.StreamResponse:
    """So that some are killed in mid-call."""
    await asyncio.sleep(dice.uniform(0.0, 1.5))
    return web.json_response(ACCEPTED)


def told(wire: Wire, made: Interaction) -> bool:
    """The ending is in sight; and the ping is out, if it is Ready: others need one only after a while."""
    text = wire.reply(made).text
    pinged = any(made.member.id in message.mentions for message in wire.pings())
    return text.startswith(ENDINGS) and (pinged or not text.startswith("**Ready**"))


async def test_every_acknowledged_reload_survives_kills(wire: Wire) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201  # shown when it fails
    dice = random.Random(seed)  # noqa: S311  # dice, not secrets
    wire.environment["LOG_LEVEL"] = "WARNING"
    wire.server.limits = False  # about kills, not about limits
    begin_with_a_history(wire)
    asked: dict[str, Interaction] = {}
    wire.forked = False
    async with wire.process():
        await wire.set_key()
    wire.forked = True
    wire.api.reloads = [Answer(handler=functools.partial(sooner_or_later, dice))]
    people = asyncio.create_task(people_keep_asking(wire, asked, dice))
    for _ in range(KILLS):
        async with wire.process("-c", RUN):
            await wire.ready()
            await asyncio.sleep(dice.uniform(0.0, 4.0))
    people.cancel()

    acknowledged = {model: made for model, made in asked.items() if made.callback_type == DEFERRED}
    assert len(acknowledged) > KILLS
    async with wire.process("-c", RUN):
        await wire.server.wait_for(lambda: all(told(wire, made) for made in acknowledged.values()), 60)
    posts = Counter(call.body["model_id"] for call in wire.api.calls)
    assert [model for model, number in posts.items() if number > 1] == []
    # A follow-up has no nonce: one whose mark was lost with the process is said again, by channel.
    by_channel = [message for message in wire.pings() if message.nonce]
    pinged = Counter(user for message in by_channel for user in message.mentions)
    assert [user for user, number in pinged.items() if number > 1] == []
    endings = Counter(wire.reply(made).text.split("**")[1] for made in acknowledged.values())
    print(f"{KILLS} kills, {len(acknowledged)} acknowledged, {sum(posts.values())} POSTs, {endings}")  # noqa: T201
