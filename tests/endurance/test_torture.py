"""`kill -9` at random moments: every acknowledged reload ends once, visibly, with at most one POST.

So does every test image that was requested for the end of one, and nobody gets more of them than they may. A
short version runs with the other tests; `make torture` kills a hundred times.
"""

import asyncio
import functools
import os
import random
import secrets
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from aiohttp import web

from bot.domain.rows import TESTS_PER_DAY
from tests.endurance.past import begin_with_a_history
from tests.stand_ins.discord import Interaction, Member, Message
from tests.stand_ins.discord.component_rules import flat
from tests.stand_ins.model_api import ACCEPTED, Answer
from tests.wire import Wire

KILLS = int(os.environ.get("TORTURE_KILLS", "6"))
DEFERRED = 5
TOO, YES = "Test it too", "Yes, test it"
TESTED = 0.4
"""The share of the reloads that are tested."""
RUN = """
import bot.discord_api.login_turns
bot.discord_api.login_turns.STAYED_AGE = 0.001  # one that crashes again and again logs in ever more rarely
from bot.__main__ import main
main()
"""
ENDINGS = ("**Ready**", "**Confirmed**", "**Failed**", "**Unclear**")


@dataclass
class Crowd:
    """The crowd's requests, by model."""

    wire: Wire
    dice: random.Random
    asked: dict[str, Interaction] = field(default_factory=dict)
    testers: dict[str, Member] = field(default_factory=dict)
    promised: set[str] = field(default_factory=set)
    """Models whose testers have read that they will be pinged."""

    async def keep_asking(self) -> None:
        """Have a member come by every tenth of a second or so, each with a different model."""
        async with asyncio.TaskGroup() as tests:
            while True:
                await asyncio.sleep(self.dice.uniform(0.02, 0.2))
                if self.wire.server.connected.is_set():
                    member = self.wire.server.add_member(self.wire.guild, "somebody")
                    model = f"model-{len(self.asked)}"
                    self.asked[model] = await self.wire.server.slash(
                        member, self.wire.general, "reload", {"model_id": model}, wait=0
                    )
                    if self.dice.random() < TESTED:
                        tests.create_task(self.test_it_too(model))

    async def test_it_too(self, model: str) -> None:
        """Have every other person request a test image at the end, and confirm."""
        who = self.testers[model] = self.dice.choice((self.wire.ana, self.wire.ben))
        with suppress(TimeoutError, ValueError):  # it was killed, or the button has just gone
            made = self.asked[model]
            await self.wire.server.wait_for(lambda: TOO in labels(self.wire, made), 3)
            question = await self.wire.server.press(who, self.wire.reply(made), TOO)
            await self.wire.server.wait_for(lambda: YES in labels(self.wire, question), 3)
            await self.wire.server.press(who, self.wire.reply(question), YES)
            await self.wire.server.wait_for(lambda: "pinged with" in self.wire.reply(question).text, 3)
            self.promised.add(model)


def labels(wire: Wire, made: Interaction) -> list[str]:
    """The buttons under an answer."""
    if made.message_id is None:
        return []
    return [str(part.get("label")) for part in flat(wire.reply(made).components)]


async def sooner_or_later(dice: random.Random, _: web.Request) -> web.StreamResponse:
    """Wait at random, so that some are killed in mid-call."""
    await asyncio.sleep(dice.uniform(0.0, 1.5))
    return web.json_response(ACCEPTED)


def told(wire: Wire, made: Interaction) -> bool:
    """Return whether the ending is visible, and the ping out if it is Ready: others may need none."""
    text = wire.reply(made).text
    pinged = any(made.member.id in message.mentions for message in wire.pings())
    return text.startswith(ENDINGS) and (pinged or not text.startswith("**Ready**"))


def model_in(message: Message) -> str:
    """Return the model: a ping starts with it, an ending that contains one starts with its state."""
    return message.text.split("`")[1]


def heard(wire: Wire, crowd: Crowd) -> set[str]:
    """The models whose testers were pinged."""
    return {
        model
        for model, who in crowd.testers.items()
        if any(who.id in ping.mentions and model_in(ping) == model for ping in wire.pings())
    }


async def test_every_acknowledged_reload_survives_kills(wire: Wire) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201  # shown when it fails
    dice = random.Random(seed)  # noqa: S311  # dice, not secrets
    wire.environment["LOG_LEVEL"] = "WARNING"
    wire.server.limits = False  # about kills, not about limits
    begin_with_a_history(wire)
    wire.forked = False
    async with wire.process():
        await wire.set_key()
    wire.forked = True
    wire.api.reloads = [Answer(handler=functools.partial(sooner_or_later, dice))]
    crowd = Crowd(wire, dice)
    people = asyncio.create_task(crowd.keep_asking())
    for _ in range(KILLS):
        async with wire.process("-c", RUN):
            await wire.ready()
            await asyncio.sleep(dice.uniform(0.0, 4.0))
    people.cancel()

    acknowledged = {model: made for model, made in crowd.asked.items() if made.callback_type == DEFERRED}
    assert len(acknowledged) > KILLS
    async with wire.process("-c", RUN):
        await wire.server.wait_for(lambda: all(told(wire, made) for made in acknowledged.values()), 60)
        await wire.server.wait_for(lambda: crowd.promised <= heard(wire, crowd), 60)
    posts = Counter(call.body["model_id"] for call in wire.api.calls)
    assert [model for model, number in posts.items() if number > 1] == []
    # A follow-up has no nonce: one whose mark was lost with the process is said again, by channel.
    by_channel = [message for message in wire.pings() if message.nonce]
    pinged = Counter((user, model_in(message)) for message in by_channel for user in message.mentions)
    assert [ping for ping, number in pinged.items() if number > 1] == []
    tests = Counter(call.body["model_id"] for call in wire.api.render_calls)
    assert [model for model, number in tests.items() if number > 1] == []
    by_whom = Counter(crowd.testers[str(model)].name for model in tests)
    assert [name for name, number in by_whom.items() if number > TESTS_PER_DAY] == []
    endings = Counter(wire.reply(made).text.split("**")[1] for made in acknowledged.values())
    print(f"{KILLS} kills, {len(acknowledged)} acknowledged, {sum(posts.values())} POSTs, {endings}")  # noqa: T201
    print(f"tests {by_whom}")  # noqa: T201
