"""A call ends when its answer is in, although its bucket is used up; and the bucket is known."""

import asyncio
import itertools

import pytest

from bot.app import Rewarm
from bot.domain.reload import WARM_AGE, State
from bot.domain.rows import Watch
from tests.stand_ins.discord import Fault, Interaction
from tests.wire import Wire

pytestmark = [pytest.mark.usefixtures("virtual"), pytest.mark.parametrize("reset", [1.5, 8.0])]
BY_TOKEN, FOLLOW_UP = r"^/webhooks/\d+/[^/]+/messages/\d+$", r"^/webhooks/\d+/[^/]+$"
BY_CHANNEL, PING = r"^/channels/\d+/messages/\d+$", r"^/channels/\d+/messages$"
CALLBACK, ORIGINAL, PERMISSIONS = r"/callback$", r"/messages/@original$", r"/permissions$"
AT_ONCE = 0.5
SECONDS = 62


def used_up(wire: Wire, method: str, path: str, reset: float) -> None:
    """Let each call of this kind succeed and use its bucket up."""
    headers = {
        "X-RateLimit-Limit": "5",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset-After": f"{reset:.3f}",
        "X-RateLimit-Bucket": f"{method}{path}",
    }
    wire.server.faults.append(Fault(method, path, times=10**9, headers=headers))


def calls(wire: Wire, method: str, where: str) -> list[float]:
    return [r.at for r in wire.server.requests if r.method == method and where in r.route]


async def counting(wire: Wire, bot: Rewarm) -> tuple[Interaction, float]:
    """A reload, and when it ends."""
    bot.runner.seconds = SECONDS
    asked = await wire.reload()
    await wire.server.wait_for(lambda: wire.api.calls)
    return asked, wire.api.calls[0].at + SECONDS


def shown(wire: Wire, asked: Interaction, what: str) -> float:
    return next(at for at, version in wire.reply(asked).history if what in str(version))


async def ended(wire: Wire, bot: Rewarm) -> None:
    while [row.state for row in await bot.store.history(wire.guild.id)] != [State.ENDED]:
        await asyncio.sleep(0.05)


async def test_edits_go_on_as_often_as_the_bucket_lets_them(wire: Wire, bot: Rewarm, reset: float) -> None:
    used_up(wire, "PATCH", BY_TOKEN, reset)
    asked, _ = await counting(wire, bot)
    await asyncio.sleep(SECONDS - 3)
    edits = [r.at for r in wire.server.requests if r.method == "PATCH" and asked.token in r.path]
    pauses = [later - earlier for earlier, later in itertools.pairwise(edits)]
    assert min(pauses) >= reset
    assert max(pauses[1:]) == pytest.approx(5 if reset < 5 else 10, abs=0.3), "on the next beat"
    assert wire.server.violations == []


@pytest.mark.parametrize("way", ["by channel", "by follow-up"])
async def test_ping_follows_the_ending_at_once(wire: Wire, bot: Rewarm, reset: float, way: str) -> None:
    wire.general.may_send = way == "by channel"
    used_up(wire, "PATCH", BY_TOKEN, reset)
    used_up(wire, "PATCH", BY_CHANNEL, reset)
    asked, due = await counting(wire, bot)
    await wire.server.wait_for(wire.pings, SECONDS + 10)
    [ping] = wire.pings()
    assert due - 0.1 <= shown(wire, asked, "**Ready**") <= due + AT_ONCE, "by the way that is open"
    assert due - 0.1 <= ping.history[0][0] <= due + AT_ONCE


@pytest.mark.parametrize("way", ["by channel", "by follow-up"])
async def test_reload_is_over_once_its_ping_is_out(wire: Wire, bot: Rewarm, reset: float, way: str) -> None:
    wire.general.may_send = way == "by channel"
    used_up(wire, "POST", PING, reset)
    used_up(wire, "POST", FOLLOW_UP, reset)
    await counting(wire, bot)
    await wire.server.wait_for(wire.pings, SECONDS + 10)
    async with asyncio.timeout(AT_ONCE):
        await ended(wire, bot)


async def test_the_next_ping_of_a_channel_waits_for_its_bucket(wire: Wire, bot: Rewarm, reset: float) -> None:
    used_up(wire, "POST", PING, reset)
    bot.runner.seconds = 30
    for model in ("one", "two"):
        await wire.reload(model=model)
        await asyncio.sleep(0.7)
    await wire.server.wait_for(lambda: len(wire.pings()) == 2, 60)
    if reset < 2:  # otherwise the second one goes as a follow-up
        first, second = calls(wire, "POST", "/channels/")
        assert reset <= second - first < reset + AT_ONCE
    assert [r for r in wire.server.requests if r.status == 429] == []


async def test_watches_message_is_known_at_once(wire: Wire, bot: Rewarm, reset: float) -> None:
    used_up(wire, "POST", PING, reset)
    used_at = bot.now() - WARM_AGE + 3600
    await bot.store.set_watch(Watch(wire.guild.id, "m", wire.ana.id, wire.art.id, used_at=used_at), new=True)
    await bot.watches.look()
    async with asyncio.timeout(AT_ONCE):
        await bot.watches.look()
    watch = await bot.store.watch(wire.guild.id, "m")
    assert watch is not None
    assert watch.message in wire.server.messages
    used_up(wire, "PATCH", BY_CHANNEL, reset)
    await asyncio.sleep(2 * 3600)
    [message] = [m for m in wire.server.messages.values() if m.channel_id == wire.art.id]
    assert "cold" in message.text
    assert len(calls(wire, "POST", "/channels/")) == 1


async def test_deferral_is_known_at_once(wire: Wire, bot: Rewarm, reset: float) -> None:
    used_up(wire, "POST", CALLBACK, reset)
    asked = await wire.reload()
    await wire.server.wait_for(lambda: wire.api.calls, 10)
    assert wire.api.calls[0].at - asked.at < AT_ONCE
    assert len([r for r in wire.server.requests if asked.token in r.path and r.method == "POST"]) == 1
    await wire.server.wait_for(wire.pings, 30)
    assert wire.reply(asked).text.startswith("**Ready**")
    assert answers(bot, "failed") == 0


ANSWERS: dict[str, tuple[str, dict[str, str]]] = {
    "a refusal": ("reload", {"model_id": "no id at all"}),
    "a form": ("key set", {}),
    "a question": ("key remove", {}),
}


def answers(bot: Rewarm, result: str) -> float:
    labels = {"call": "answer", "result": result}
    return bot.metrics.registry.get_sample_value("rewarm_discord_calls_total", labels) or 0.0


@pytest.mark.parametrize("name", ANSWERS)
async def test_first_answers_are_over_once_they_are_in(
    wire: Wire, bot: Rewarm, reset: float, name: str
) -> None:
    used_up(wire, "POST", CALLBACK, reset)
    command, options = ANSWERS[name]
    before = answers(bot, "sent")
    asked = await wire.server.slash(wire.mod, wire.general, command, options)
    await asyncio.sleep(AT_ONCE)
    assert answers(bot, "sent") == before + 1, "nobody waits for the bucket"
    assert asked.modal or not wire.reply(asked).thinking
    await asyncio.sleep(20)
    assert [r.method for r in wire.server.requests if asked.token in r.path] == ["POST"]
    assert answers(bot, "failed") == 0


async def test_what_follows_a_deferral_is_over_once_it_is_in(wire: Wire, bot: Rewarm, reset: float) -> None:
    used_up(wire, "POST", CALLBACK, reset)
    used_up(wire, "PATCH", ORIGINAL, reset)
    question = await wire.server.slash(wire.mod, wire.general, "key remove")
    before = answers(bot, "sent")
    pressed = await wire.server.press(wire.mod, wire.reply(question), "Delete the key")
    await asyncio.sleep(AT_ONCE)
    assert answers(bot, "sent") == before + 2, "nobody waits for the bucket"
    await asyncio.sleep(20)
    sent = [r.method for r in wire.server.requests if pressed.token in r.path]
    assert sent == ["POST", "PATCH"]
    assert answers(bot, "failed") == 0


@pytest.mark.usefixtures("bot")
async def test_permissions_are_known_at_once(wire: Wire, reset: float) -> None:
    asked = await wire.reload()
    await wire.server.wait_for(wire.pings, 30)
    used_up(wire, "GET", PERMISSIONS, reset)
    pressed = await wire.server.press(wire.ben, wire.reply(asked), "Reload again")
    await wire.server.wait_for(lambda: len(wire.api.calls) == 2, 60)
    assert pressed.answered.is_set()


async def test_a_list_in_pages_waits_for_its_bucket(wire: Wire, bot: Rewarm, reset: float) -> None:
    for number in range(401):
        wire.server.add_guild(f"server {number}")
    used_up(wire, "GET", r"/users/@me/guilds$", reset)
    began = asyncio.get_running_loop().time()
    found = [guild.id async for guild in bot.fetch_guilds(limit=None)]
    assert len(found) == 402
    assert asyncio.get_running_loop().time() - began >= 2 * reset
