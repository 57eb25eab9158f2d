"""The routes to a reply and its channels: what opens and closes them, for people who wait for a ping."""

import asyncio
import functools
import re
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bot.app import Rewarm
from bot.discord_api.calls import Result
from bot.domain.askers import ping_nonce
from bot.domain.reload import Ping, State
from tests.stand_ins.discord import Fault
from tests.stand_ins.model_api import Answer
from tests.wire import Wire, running

pytestmark = pytest.mark.usefixtures("virtual")
CALLBACK, BY_TOKEN = r"/callback$", r"^/webhooks/.*/messages/"
FOLLOW_UP, PING = r"^/webhooks/\d+/[^/]+$", r"^/channels/\d+/messages$"
WHILE = 900.0


def pinged(wire: Wire) -> list[int]:
    return sorted(user for ping in wire.pings() for user in ping.mentions)


async def state(wire: Wire, bot: Rewarm) -> State:
    [row] = await bot.store.history(wire.guild.id)
    return row.state


async def test_busy_channel_is_waited_for_where_the_joiners_token_is_dead(wire: Wire, bot: Rewarm) -> None:
    await wire.reload()
    joined = await wire.server.slash(wire.ben, wire.art, "reload", {"model_id": "sdxl-turbo"})
    wire.server.kill_token(joined)
    bot.replies._limiter.block(wire.art.id, asyncio.get_running_loop().time() + 20)
    await asyncio.sleep(WHILE)
    assert pinged(wire) == sorted([wire.ana.id, wire.ben.id])
    [late] = [ping.text for ping in wire.pings() if ping.mentions == {wire.ben.id}]
    assert "Sorry, this is late." in late, "it waited for its turn"


async def test_joiner_whose_own_answer_was_too_late_is_pinged_in_a_busy_channel(
    wire: Wire, bot: Rewarm
) -> None:
    for number in range(5):
        person = wire.server.add_member(wire.guild, "somebody")
        await wire.server.slash(person, wire.art, "reload", {"model_id": f"model-{number}"})
    await asyncio.sleep(1)
    await wire.reload()
    wire.server.faults.append(Fault("POST", CALLBACK, status=404, code=10062))
    await wire.server.slash(wire.ben, wire.art, "reload", {"model_id": "sdxl-turbo"}, wait=0.5)
    await asyncio.sleep(WHILE)
    assert wire.ben.id in pinged(wire)


@pytest.mark.usefixtures("bot")
async def test_second_token_is_tried_where_the_first_is_dead(wire: Wire) -> None:
    wire.art.may_send = False
    cleo = wire.server.add_member(wire.guild, "cleo")
    await wire.reload()
    first = await wire.server.slash(wire.ben, wire.art, "reload", {"model_id": "sdxl-turbo"})
    await wire.server.slash(cleo, wire.art, "reload", {"model_id": "sdxl-turbo"})
    wire.server.kill_token(first)
    await asyncio.sleep(WHILE)
    assert pinged(wire) == sorted([wire.ana.id, wire.ben.id, cleo.id])


async def test_locked_thread_is_told_once_it_is_unlocked(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(wire.settings(), monkeypatch) as bot:
        await wire.set_key()
        asked = await wire.reload()
        await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
        wire.general.archived = wire.general.locked = True
        await asyncio.sleep(60)
        assert wire.pings() == []
        assert await state(wire, bot) is State.ANNOUNCING, "nobody has seen it, and the channel still exists"
    wire.general.archived = wire.general.locked = False
    async with running(wire.settings(), monkeypatch):
        await asyncio.sleep(60)
    assert wire.reply(asked).text.startswith("**Ready**")
    assert pinged(wire) == [wire.ana.id]


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("hiccup", [{"status": 503}, {"reset": "before"}, {"status": 429}], ids=str)
async def test_archived_thread_is_edited_after_a_ping_that_came_through_late(
    wire: Wire, hiccup: dict[str, Any]
) -> None:
    asked = await wire.reload()
    await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
    wire.general.archived = True
    wire.server.faults.append(Fault("POST", PING, **hiccup))
    await asyncio.sleep(120)
    assert wire.reply(asked).text.startswith("**Ready**")
    assert pinged(wire) == [wire.ana.id]


async def test_outage_of_the_network_does_not_use_up_the_follow_ups(
    wire: Wire, bot: Rewarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No connection is made for 30 s: nothing went out, so no ping can have arrived."""
    wire.general.may_send = False
    connect, down_until = aiohttp.TCPConnector.connect, 0.0

    async def refuse(self: Any, request: Any, *rest: Any, **how: Any) -> Any:
        nonlocal down_until
        now = asyncio.get_running_loop().time()
        if not down_until and re.search(FOLLOW_UP, request.url.path.removeprefix("/api/v10")):
            down_until = now + 30
        if now < down_until:
            raise aiohttp.ClientConnectorError(request.connection_key, OSError(111, "refused"))
        return await connect(self, request, *rest, **how)

    monkeypatch.setattr(aiohttp.TCPConnector, "connect", refuse)
    await wire.reload()
    await asyncio.sleep(WHILE)
    assert down_until
    assert pinged(wire) == [wire.ana.id]
    assert await state(wire, bot) is State.ENDED


@pytest.mark.usefixtures("bot")
async def test_follow_up_that_is_limited_is_sent_when_the_wait_is_over(wire: Wire) -> None:
    wire.general.may_send = False
    wait = {"message": "wait", "retry_after": 300.0, "global": False}
    wire.server.faults.append(Fault("POST", FOLLOW_UP, times=10**9, status=429, body=wait))
    await wire.reload()
    await asyncio.sleep(295)
    limited = [request for request in wire.server.requests if request.status == 429]
    wire.server.faults.clear()
    await asyncio.sleep(60)
    assert pinged(wire) == [wire.ana.id]
    assert len(limited) <= 2


async def test_owner_who_is_pinged_instead_of_an_edit_is_pinged_once_over_restarts(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The edit fails immediately, the reply is gone, and a joiner can't be reached: the row stays open."""

    async def answer(_: object) -> web.StreamResponse:
        joined = await wire.server.slash(wire.ben, wire.art, "reload", {"model_id": "sdxl-turbo"})
        wire.server.kill_token(joined)
        wire.art.may_send = wire.art.may_view = False
        wire.server.delete_message(asked.message_id or 0)
        return web.json_response({"status": "error", "message": "Insufficient credits."}, status=402)

    wire.api.reloads = [Answer(handler=answer)]
    async with running(wire.settings(), monkeypatch) as bot:
        await wire.set_key()
        asked = await wire.reload()
        await asyncio.sleep(60)
        assert await state(wire, bot) is State.ANNOUNCING
    for _ in range(2):
        await asyncio.sleep(600)  # longer than Discord remembers a nonce
        async with running(wire.settings(), monkeypatch):
            await asyncio.sleep(60)
    assert pinged(wire) == [wire.ana.id]


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize(("method", "path"), [("POST", PING), ("PATCH", BY_TOKEN)])
async def test_page_that_says_200_is_not_taken_for_discords_word(wire: Wire, method: str, path: str) -> None:
    asked = await wire.reload()
    await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
    wire.server.faults.append(Fault(method, path, status=200, body=b"<html>"))
    await asyncio.sleep(60)
    assert wire.reply(asked).text.startswith("**Ready**")
    assert pinged(wire) == [wire.ana.id]


async def test_ping_waits_for_a_reply_that_has_yet_to_land(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart, where only the token works: a follow-up before the edit would become the reply."""
    async with running(wire.settings(), monkeypatch):
        await wire.set_key()
        wire.general.may_view = wire.general.may_send = False
        asked = await wire.reload()
        await wire.server.wait_for(lambda: "left" in wire.reply(asked).text)
    await asyncio.sleep(5)
    wire.server.faults.append(Fault("PATCH", BY_TOKEN, reset="before"))
    async with running(wire.settings(), monkeypatch):
        await asyncio.sleep(60)
    assert wire.reply(asked).text.startswith("**Ready**")
    assert pinged(wire) == [wire.ana.id]


@pytest.mark.usefixtures("bot")
async def test_stuck_channel_does_not_hold_up_a_ping_in_another(wire: Wire) -> None:
    await wire.reload()
    await wire.server.slash(wire.ben, wire.art, "reload", {"model_id": "sdxl-turbo"})
    wire.server.faults.append(Fault("POST", rf"^/channels/{wire.general.id}/messages$", delay=300))
    await wire.server.wait_for(lambda: wire.ben.id in pinged(wire), 10)
    [ping] = wire.pings()
    assert ping.history[0][0] - wire.api.calls[0].at - 3 < 1
    await wire.server.wait_for(lambda: wire.ana.id in pinged(wire), 30)


@pytest.mark.parametrize("then", ["busy", "closed"])
async def test_ping_that_may_have_gone_by_channel_goes_no_other_way(
    wire: Wire, bot: Rewarm, then: str
) -> None:
    """Its answer is lost, and then the channel is no way: a follow-up has no nonce."""
    wire.server.faults.append(Fault("POST", PING, reset="after"))
    await wire.reload()
    await wire.server.wait_for(wire.pings, 30)
    if then == "busy":
        bot.replies._limiter.block(wire.general.id, asyncio.get_running_loop().time() + 20)
    else:
        wire.general.may_send = False
    await asyncio.sleep(120)
    assert pinged(wire) == [wire.ana.id]
    assert await state(wire, bot) is (State.ENDED if then == "busy" else State.ANNOUNCING)


async def test_ping_that_met_trouble_where_the_bot_may_not_send_goes_as_a_follow_up(
    wire: Wire, bot: Rewarm
) -> None:
    """The trouble was Discord's own: the channel would have refused that ping, too."""
    wire.general.may_send = False
    wire.server.faults.append(Fault("POST", PING, status=503))
    await wire.reload()
    await asyncio.sleep(WHILE)
    assert pinged(wire) == [wire.ana.id]
    assert await state(wire, bot) is State.ENDED


async def test_who_joined_late_is_pinged_once_the_trouble_is_over(wire: Wire, bot: Rewarm) -> None:
    asked = await wire.reload()
    await wire.reload(wire.ben)
    await wire.server.wait_for(lambda: len(wire.pings()) == 1)
    [row] = await bot.store.history(wire.guild.id)
    assert row.id == asked.id
    wire.server.faults.append(Fault("POST", PING, times=3, status=503))
    cleo = wire.server.add_member(wire.guild, "cleo")
    late = replace(row, pings=(Ping(wire.general.id, (wire.ana.id, cleo.id)),))
    await bot.replies.of(row).tell_late(late, {wire.ana.id, wire.ben.id})
    assert [ping.mentions for ping in wire.pings()] == [{wire.ana.id, wire.ben.id}, {cleo.id}]


@pytest.mark.parametrize("trouble", [False, True])
async def test_who_was_not_in_a_ping_that_is_not_sent_again_gets_one_of_their_own(
    wire: Wire, bot: Rewarm, trouble: bool
) -> None:
    """A process died before it could store the ping; then somebody joined."""
    await wire.reload()
    await wire.server.wait_for(wire.pings)
    [row] = await bot.store.history(wire.guild.id)
    people = (wire.ana.id, wire.ben.id)
    text = "".join(f"<@{user}> " for user in people)
    if trouble:  # for the second one
        wire.server.faults += [Fault("POST", PING, delay=0.01), Fault("POST", PING, times=6, reset="before")]
    send, nonce = bot.replies.of(row)._pings.send, ping_nonce(row, 0)
    ping = functools.partial(send, row, nonce, Ping(wire.general.id, people), lambda: text)
    if trouble:
        assert await ping() is Result.LATER
        wire.server.faults.clear()
    assert await ping() is Result.DONE
    assert pinged(wire) == sorted(people)


@pytest.mark.usefixtures("bot")
async def test_follow_ups_that_are_done_and_called_broken_are_not_repeated_forever(wire: Wire) -> None:
    wire.general.may_send = False
    wire.server.faults.append(Fault("POST", FOLLOW_UP, times=10**9, done_and_status=504))
    await wire.reload()
    await asyncio.sleep(WHILE)
    assert len(wire.pings()) <= 40, "discord.py repeats a 504 thrice within a call"


async def test_people_whom_an_edit_names_are_in_what_discord_says_of_it(wire: Wire, bot: Rewarm) -> None:
    """Otherwise they may read as @unknown-user; and nobody is notified by it."""
    asked = await wire.reload()
    await wire.server.wait_for(wire.pings)
    reply = wire.reply(asked)
    assert f"<@{wire.ana.id}>" in reply.text
    assert [[int(user["id"]) for user in state["mentions"]] for _, state in reply.history[1:]] == [
        [wire.ana.id] for _ in reply.history[1:]
    ]
    assert reply.mentions == set()
    assert len(reply.history) > 2
