"""Presses over real sockets with the real discord.py: what is sent, faults on the way, restarts."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from bot.app import Rewarm
from bot.domain.reload import ImageTest, Outcome, Reload
from bot.languages import LOCALES
from bot.reloads import image_story
from bot.store.file import NAME as FILE_NAME
from bot.words.buttons import TEST_PROMPT
from tests.stand_ins.discord import Fault, Interaction, Message, flat
from tests.stand_ins.model_api import PNG, Answer
from tests.wire import Wire, running
from tests.world import CANARY

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.store.embedded import EmbeddedStore

pytestmark = pytest.mark.usefixtures("virtual")
PING = r"^/channels/\d+/messages$"
CALLBACK, BY_TOKEN, BY_CHANNEL = r"/callback$", r"^/webhooks/.*/messages/", r"^/channels/.*/messages/"
NOTIFY, MUTE, AGAIN, TEST = "Notify me", "Don't notify me", "Reload again", "Test image"
TOO = "Test it too"


async def shows(wire: Wire, message: Message, text: str, seconds: float = 30.0) -> None:
    await wire.server.wait_for(lambda: text in message.text, seconds)


async def ready(wire: Wire) -> Message:
    """A reply that has just ended as Ready."""
    message = wire.reply(await wire.reload())
    await shows(wire, message, "Ready")
    await ended(wire)
    return message


async def ended(wire: Wire) -> None:
    await wire.server.wait_for(lambda: len(wire.pings()) == 1)
    await asyncio.sleep(0.5)


async def try_it(wire: Wire, message: Message, prompt: str = TEST_PROMPT) -> Interaction:
    form = await wire.server.press(wire.ben, message, TEST)
    return await wire.server.submit_modal(form, {"prompt": prompt})


def labels(message: Message) -> list[str]:
    return [part["label"] for part in flat(message.components) if part["type"] == 2]


def nothing_odd(wire: Wire) -> None:
    assert wire.server.violations == []


async def test_presses_while_it_counts_down(wire: Wire, bot: Rewarm) -> None:
    message = wire.reply(await wire.reload())
    await shows(wire, message, "left")
    assert labels(message) == [NOTIFY, MUTE, TOO]
    notified = await wire.server.press(wire.ben, message, NOTIFY)
    muted = await wire.server.press(wire.ana, message, MUTE)
    assert wire.reply(notified).text.startswith("You'll be pinged when `sdxl-turbo` is ready")
    assert wire.reply(muted).text == "You won't be pinged about `sdxl-turbo`."
    assert notified.ephemeral
    assert muted.ephemeral
    await shows(wire, message, "Ready")
    await ended(wire)
    assert [ping.mentions for ping in wire.pings()] == [{wire.ben.id}]
    nothing_odd(wire)


async def test_reload_again(wire: Wire, bot: Rewarm) -> None:
    await ready(wire)
    await asyncio.sleep(30)
    again = wire.reply(await wire.server.press(wire.ben, await last(wire), AGAIN))
    await shows(wire, again, "Ready")
    assert len(wire.api.calls) == 2
    assert f"<@{wire.ben.id}>" in again.text
    nothing_odd(wire)


async def last(wire: Wire) -> Message:
    return [m for m in wire.server.messages.values() if AGAIN in labels(m)][-1]


async def test_a_test_image_is_attached(wire: Wire, bot: Rewarm) -> None:
    message = await ready(wire)
    asked = await try_it(wire, message, "a blue cup")
    await shows(wire, message, "**Confirmed**")
    assert asked.message_id == message.id, "nothing is posted, nothing is thinking"
    [attached] = message.attachments
    assert (attached["filename"], attached["size"]) == ("test-image.png", len(PNG))
    [item] = [item for part in flat(message.components) for item in part.get("items", [])]
    assert (item["media"]["url"], item["spoiler"]) == ("attachment://test-image.png", True)
    assert labels(message) == [AGAIN]
    assert wire.api.render_calls[0].body["prompt"] == "a blue cup"
    nothing_odd(wire)


async def test_in_an_age_restricted_channel_it_is_no_spoiler(wire: Wire, bot: Rewarm) -> None:
    wire.general.nsfw = True
    wire.server.channel_changed(wire.general)
    message = await ready(wire)
    await try_it(wire, message)
    await shows(wire, message, "**Confirmed**")
    [item] = [item for part in flat(message.components) for item in part.get("items", [])]
    assert not item.get("spoiler")


FAULTS: dict[str, "Callable[[], list[Fault]]"] = {
    "the answer to the form is lost": lambda: [Fault("POST", CALLBACK, reset="after")],
    "the form is not taken immediately": lambda: [Fault("POST", CALLBACK, status=502)],
    "the picture is not taken immediately": lambda: [Fault("PATCH", BY_TOKEN, times=3, status=502)],
    "the token route fails": lambda: [Fault("PATCH", BY_TOKEN, times=99, status=503)],
    "the token is dead": lambda: [Fault("PATCH", BY_TOKEN, times=99, status=401, code=50027)],
    "the picture's answer is lost": lambda: [Fault("PATCH", BY_TOKEN, times=2, reset="after")],
    "slow down": lambda: [Fault("PATCH", BY_TOKEN, times=2, status=429)],
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_picture_comes_through_trouble(wire: Wire, bot: Rewarm, fault: str) -> None:
    message = await ready(wire)
    form = await wire.server.press(wire.ben, message, TEST)
    wire.server.faults += FAULTS[fault]()
    await wire.server.submit_modal(form, {"prompt": "x"})
    await shows(wire, message, "**Confirmed**", 60)
    assert message.attachments
    assert len(wire.api.render_calls) == 1


async def test_a_picture_that_discord_does_not_take(wire: Wire, bot: Rewarm) -> None:
    message = await ready(wire)
    form = await wire.server.press(wire.ben, message, TEST)
    wire.server.faults += [
        Fault("PATCH", BY_TOKEN),  # "is being made" passes
        *(Fault("PATCH", way, status=413, code=40005) for way in (BY_TOKEN, BY_CHANNEL)),
    ]
    await wire.server.submit_modal(form, {"prompt": "x"})
    await shows(wire, message, "the API sent no picture that we can show", 60)
    assert "Ready" in message.text
    assert labels(message) == [AGAIN, TEST]


async def test_a_form_that_is_too_late_sends_nothing(wire: Wire, bot: Rewarm) -> None:
    message = await ready(wire)
    form = await wire.server.press(wire.ben, message, TEST)
    wire.server.faults.append(Fault("POST", CALLBACK, status=404, code=10062))
    await wire.server.submit_modal(form, {"prompt": "x"}, wait=0.5)
    await shows(wire, message, "nothing was sent. Press the button again.")
    assert wire.api.render_calls == []
    assert labels(message) == [AGAIN, TEST]
    assert await bot.store.paid_calls(wire.guild.id) == [], "it does not count"


async def test_a_reply_that_is_deleted_meanwhile(wire: Wire, bot: Rewarm) -> None:
    message = await ready(wire)
    wire.api.renders = [Answer(wire.api.rendering(eta=5))]
    await try_it(wire, message)
    wire.server.delete_message(message.id)
    await asyncio.sleep(30)
    [reload] = await bot.store.history(wire.guild.id)
    assert not reload.is_testing
    assert len([r for r in wire.server.requests if r.status == 404 and "/messages/" in r.path]) <= 2
    assert (await wire.reload()).message_id is not None


async def test_rights_are_asked_for_and_kept(wire: Wire, bot: Rewarm) -> None:
    message = await ready(wire)
    [command] = [c for c in wire.server.commands if c["name"] == "reload"]
    nobody: dict[str, Any] = {"id": str(wire.guild.id), "type": 1, "permission": False}
    wire.server.permissions[int(command["id"])] = [nobody]
    for label in (AGAIN, TEST):
        refused = await wire.server.press(wire.ben, message, label)
        assert "not allowed to use </reload:" in wire.reply(refused).text
    wire.server.permissions = {wire.server.application_id: [nobody]}
    assert "not allowed to use" in wire.reply(await wire.server.press(wire.ben, message, AGAIN)).text
    assert len(wire.api.calls) == 1
    assert wire.api.render_calls == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault("GET", "/permissions$", times=99, status=500),
        Fault("GET", "/permissions$", times=99, delay=9.0),
        Fault("GET", "/permissions$", times=99, reset="before"),
        Fault("GET", "/permissions$", times=99, status=429),
        Fault("GET", "/permissions$", times=99, status=403, code=50001),
        Fault("GET", "/permissions$", times=99, status=200, body={"odd": 1}),
    ],
    ids=["500", "hangs", "reset", "429", "403", "odd"],
)
async def test_where_discord_does_not_say_the_command_is_offered_in_time(
    wire: Wire, bot: Rewarm, fault: Fault
) -> None:
    message = await ready(wire)
    wire.server.faults.append(fault)
    refused = await wire.server.press(wire.ben, message, AGAIN)
    assert (
        "Discord didn't tell us whether you're allowed to do this. Use </reload:" in wire.reply(refused).text
    )
    assert len(wire.api.calls) == 1


async def test_models_in_place(wire: Wire, bot: Rewarm) -> None:
    await ready(wire)
    listed = await wire.server.slash(wire.ana, wire.general, "models")
    page = wire.reply(listed)
    assert listed.ephemeral
    assert "**Warm**\n`sdxl-turbo` until" in page.text
    await wire.server.choose(wire.ana, page, "sdxl-turbo")
    assert page.text.startswith("**Warm** `sdxl-turbo`")
    await wire.server.press(wire.ana, page, "All models")
    assert page.text.startswith("**This server's models**")
    await wire.server.choose(wire.ana, page, "sdxl-turbo")
    again = wire.reply(await wire.server.press(wire.ana, page, "Reload"))
    assert not again.ephemeral, "everybody sees a reload"
    await shows(wire, again, "Ready", 60)
    nothing_odd(wire)


async def test_help(wire: Wire, bot: Rewarm) -> None:
    said = await wire.server.slash(wire.ana, wire.general, "help")
    assert said.ephemeral
    assert "</reload:" in wire.reply(said).text
    nothing_odd(wire)


# --- Restarts ---------------------------------------------------------------------------------------------


async def test_a_stop_waits_for_a_picture_that_is_asked_for(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slowly(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(3)
        return web.json_response(wire.api.rendering(eta=5))

    async with running(wire.settings(), monkeypatch):
        await wire.set_key()
        message = await ready(wire)
        wire.api.renders = [Answer(handler=slowly)]
        await try_it(wire, message)
        await wire.server.wait_for(lambda: wire.api.render_calls)
    assert "Ready" in message.text
    async with running(wire.settings(), monkeypatch):
        await shows(wire, message, "**Confirmed**", 60)
    assert len(wire.api.render_calls) == 1


async def test_one_that_takes_longer_than_a_stop_ends_as_interrupted(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(50)
        return web.json_response(wire.api.rendered())

    async with running(wire.settings(), monkeypatch):
        await wire.set_key()
        message = await ready(wire)
        wire.api.renders = [Answer(handler=hang)]
        await try_it(wire, message)
        await wire.server.wait_for(lambda: wire.api.render_calls)
    async with running(wire.settings(), monkeypatch):
        await shows(wire, message, "the bot was interrupted. It may have cost one generation.")
        assert labels(message) == [AGAIN, TEST]
        wire.api.renders = [Answer(wire.api.rendered())]
        await try_it(wire, message)
        await shows(wire, message, "**Confirmed**")
    assert len(wire.api.render_calls) == 2


async def test_a_picture_whose_address_was_known_is_shown_after_a_crash(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ending is shown before it is stored: after a crash in between, once more."""
    async with running(wire.settings(), monkeypatch) as bot:
        await wire.set_key()
        message = await ready(wire)
        wire.api.pictures = [Answer(b"", 404), Answer(PNG)]
        await try_it(wire, message)
        await wire.server.wait_for(lambda: wire.api.picture_calls)
        [reload] = await bot.store.open()
        assert reload.test is not None
        assert reload.test.picture == f"{wire.api.url}/picture.png"
    assert "Confirmed" not in message.text
    async with running(wire.settings(), monkeypatch):
        await shows(wire, message, "**Confirmed**")
    assert len(wire.api.render_calls) == 1


async def test_a_server_that_leaves_takes_its_test_along(wire: Wire, bot: Rewarm) -> None:
    message = await ready(wire)
    wire.api.renders = [Answer(wire.api.rendering(eta=20))]
    await try_it(wire, message)
    wire.server.remove_guild(wire.guild)
    await asyncio.sleep(60)
    assert await bot.store.history(wire.guild.id) == []
    assert wire.api.fetch_calls == []


async def test_a_defect_leaves_nobody_waiting(
    wire: Wire, bot: Rewarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = await ready(wire)
    monkeypatch.setattr(image_story, "RENDERING_TIMEOUT", None)
    wire.api.renders = [Answer(wire.api.rendering(eta=5))]
    await try_it(wire, message)
    await shows(wire, message, "the bot was interrupted. It may have cost one generation.")
    [reload] = await bot.store.history(wire.guild.id)
    assert reload.test is not None
    assert reload.test.outcome is Outcome.INTERRUPTED


async def test_no_press_brings_a_key_or_a_token_into_the_log(
    wire: Wire, bot: Rewarm, capfd: pytest.CaptureFixture[str]
) -> None:
    message = await ready(wire)
    asked = await try_it(wire, message)
    await shows(wire, message, "**Confirmed**")
    said: list[str] = []

    def output() -> str:
        said.extend(capfd.readouterr())
        return "".join(said)

    await wire.server.wait_for(lambda: "image_test.ended" in output())
    assert CANARY not in output()
    assert asked.token not in output()


# --- What an attack found ---------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [1.2, 2.0, 4.0])
@pytest.mark.parametrize("ends", ["picture", "refusal"])
async def test_being_made_that_lands_late_does_not_stay(
    wire: Wire, bot: Rewarm, late: float, ends: str
) -> None:
    message = await ready(wire)
    form = await wire.server.press(wire.ben, message, TEST)
    if ends == "refusal":
        wire.api.renders = [Answer({"status": "error", "message": "Insufficient credits"}, 402)]
    wire.server.faults.append(Fault("PATCH", BY_TOKEN, delay=late))
    await wire.server.submit_modal(form, {"prompt": "x"})
    await asyncio.sleep(30)
    assert ("**Confirmed**" if ends == "picture" else "out of credits") in message.text


@pytest.mark.parametrize("ends", ["picture", "refusal"])
async def test_what_came_of_it_is_shown_after_an_outage_of_twenty_minutes(
    wire: Wire, bot: Rewarm, ends: str
) -> None:
    message = await ready(wire)
    form = await wire.server.press(wire.ben, message, TEST)
    if ends == "refusal":
        wire.api.renders = [Answer({"status": "error", "message": "Insufficient credits"}, 402)]
    await wire.server.submit_modal(form, {"prompt": "x"})
    until = asyncio.get_running_loop().time() + 1300
    wire.server.faults += [Fault("PATCH", way, times=10**6, status=503) for way in (BY_TOKEN, BY_CHANNEL)]
    while asyncio.get_running_loop().time() < until:
        await asyncio.sleep(10)
    wire.server.faults.clear()
    await shows(wire, message, "**Confirmed**" if ends == "picture" else "out of credits", 1300)


async def test_where_only_their_token_may_post_a_restart_before_the_ping_does_not_lose_it(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(wire.settings(), monkeypatch):
        await wire.set_key()
        message = await ready(wire)
        wire.general.may_send = False
        wire.api.renders = [Answer(wire.api.rendering(eta=20))]
        wire.server.faults.append(Fault("POST", r"^/webhooks/", times=10**6, status=503))
        await try_it(wire, message)
        await shows(wire, message, "**Confirmed**")
        await asyncio.sleep(5)
        assert len(wire.pings()) == 1, "the reload's"
    wire.server.faults.clear()
    async with running(wire.settings(), monkeypatch):
        await wire.server.wait_for(lambda: len(wire.pings()) == 2)
        await asyncio.sleep(60)
        assert [ping.mentions for ping in wire.pings()] == [{wire.ana.id}, {wire.ben.id}]


async def test_test_it_too_that_a_slow_disk_stores_late_keeps_its_place(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(wire.settings(reload_seconds=120.0), monkeypatch) as bot:
        await wire.set_key()
        message = wire.reply(await wire.reload())
        await shows(wire, message, "left")
        question = await wire.server.press(wire.ben, message, TOO)
        await wire.server.wait_for(lambda: question.message_id is not None)
        disk = sqlite3.connect(wire.folder / "data" / FILE_NAME, isolation_level=None)
        store = bot.store.test_ahead

        async def slowly(id_: int, user: int, test: ImageTest | None) -> Reload | None:
            disk.execute("BEGIN IMMEDIATE")
            try:
                return await store(id_, user, test)
            finally:
                disk.rollback()

        monkeypatch.setattr(bot.store, "test_ahead", slowly)
        pressed = await wire.server.press(wire.ben, wire.reply(question), "Yes, test it")
        await wire.server.wait_for(lambda: pressed.message_id not in (None, question.message_id))
        assert "our storage" in wire.reply(pressed).text
        await asyncio.sleep(1)
        [known] = await bot.store.open()
        assert known.test is not None, "it landed"
        assert [call.by for call in await bot.store.paid_calls(wire.guild.id)] == [wire.ben.id]
        disk.close()


@pytest.mark.parametrize("ends", ["picture", "refusal"])
async def test_a_thread_that_rests_meanwhile_is_woken_up_by_the_one_ping(
    wire: Wire, bot: Rewarm, ends: str
) -> None:
    message = await ready(wire)
    wire.api.renders = [Answer(wire.api.rendering(eta=5))]
    if ends == "refusal":
        wire.api.fetches = [Answer({"status": "error", "message": "Insufficient credits"}, 402)]
    await try_it(wire, message)
    wire.general.archived = True
    await shows(wire, message, "**Confirmed**" if ends == "picture" else "out of credits")
    await asyncio.sleep(90)
    assert [ping.mentions for ping in wire.pings()] == [{wire.ana.id}, {wire.ben.id}]
    nothing_odd(wire)


async def test_a_thread_that_is_locked_meanwhile_is_shown_it_once_it_is_open(wire: Wire, bot: Rewarm) -> None:
    message = await ready(wire)
    wire.api.renders = [Answer(wire.api.rendering(eta=5))]
    await try_it(wire, message)
    wire.general.archived = wire.general.locked = True
    await asyncio.sleep(90)
    assert "Confirmed" not in message.text
    wire.general.archived = wire.general.locked = False
    await shows(wire, message, "**Confirmed**", 120)  # the pauses between tries double
    await asyncio.sleep(30)
    assert [ping.mentions for ping in wire.pings()] == [{wire.ana.id}, {wire.ben.id}]


async def test_the_form_delivered_twice_costs_once(wire: Wire, bot: Rewarm) -> None:
    message = await ready(wire)
    wire.api.renders = [Answer({"status": "failed", "message": "Failed, Try Again"})]
    asked = await try_it(wire, message)
    wire.server.deliver(asked)
    await shows(wire, message, "Failed, Try Again")
    wire.server.deliver(asked)
    await asyncio.sleep(10)
    assert len(wire.api.render_calls) == 1
    assert "Failed, Try Again" in message.text
    assert [call.by for call in await bot.store.paid_calls(wire.guild.id)] == [wire.ben.id], "it counts once"


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "success", "output": [f"https://pictures.example/x.png?key={CANARY}"]},
        {"status": "processing", "id": CANARY, "eta": 3},
    ],
    ids=["address", "number"],
)
async def test_a_key_in_the_apis_answer_goes_nowhere(wire: Wire, bot: Rewarm, answer: dict[str, Any]) -> None:
    message = await ready(wire)
    wire.api.renders = [Answer(answer)]
    await try_it(wire, message)
    await shows(wire, message, "Test image failed (")
    await asyncio.sleep(30)
    assert wire.api.fetch_calls == []
    kept = b"".join(path.read_bytes() for path in (wire.folder / "data").iterdir() if path.is_file())
    assert CANARY.encode() not in kept
    assert CANARY not in message.text


async def test_a_stop_before_the_call_sends_nothing(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(wire.settings(), monkeypatch):
        await wire.set_key()
        message = await ready(wire)
        form = await wire.server.press(wire.ben, message, TEST)
        wire.server.faults.append(Fault("PATCH", BY_TOKEN, delay=0.9))  # "is being made" is on its way
        await wire.server.submit_modal(form, {"prompt": "x"})
    assert wire.api.render_calls == []
    async with running(wire.settings(), monkeypatch):
        await shows(wire, message, "the bot was interrupted; nothing was sent. Press the button again.")
    assert wire.api.render_calls == []


async def test_what_is_known_is_not_forgotten_by_a_stop(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(wire.settings(), monkeypatch):
        await wire.set_key()
        message = await ready(wire)
        form = await wire.server.press(wire.ben, message, TEST)
        wire.api.renders = [Answer({"status": "error", "message": "Insufficient credits"}, 402)]
        wire.server.faults += [
            Fault("PATCH", BY_TOKEN),
            *(Fault("PATCH", way, times=99, status=503) for way in (BY_TOKEN, BY_CHANNEL)),
        ]
        await wire.server.submit_modal(form, {"prompt": "x"})
        await wire.server.wait_for(lambda: wire.api.render_calls)
        await asyncio.sleep(1)
    wire.server.faults.clear()
    async with running(wire.settings(), monkeypatch):
        await shows(wire, message, "the API account is out of credits")


async def test_a_day_without_the_bot_in_mid_test(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(wire.settings(), monkeypatch):
        await wire.set_key()
        message = await ready(wire)
        wire.api.renders = wire.api.fetches = [Answer(wire.api.rendering(eta=20))]
        await try_it(wire, message)
        await wire.server.wait_for(lambda: wire.api.render_calls)
        await asyncio.sleep(1)
    await asyncio.sleep(25 * 3600)
    async with running(wire.settings(), monkeypatch):
        await shows(wire, message, "no picture after 3 minutes", 400)


async def test_a_ready_that_is_still_being_told(wire: Wire, bot: Rewarm) -> None:
    """Its ping is stuck, but it has ended."""
    wire.server.faults.append(Fault("POST", PING, times=10**6, status=500))
    message = wire.reply(await wire.reload())
    await shows(wire, message, "Ready")
    early = await wire.server.press(wire.ben, message, TEST)
    assert wire.reply(early).text == "This reload has only just finished. Try again in a minute."
    page = wire.reply(await wire.server.slash(wire.ana, wire.general, "models"))
    assert "**Warm**" in page.text
    assert "Reloading now" not in page.text
    wire.server.faults.clear()


async def test_where_no_connection_is_made_it_does_not_count(wire: Wire, bot: Rewarm) -> None:
    message = await ready(wire)
    form = await wire.server.press(wire.ben, message, TEST)
    await wire.api.__aexit__(None, None, None)
    await wire.server.submit_modal(form, {"prompt": "x"})
    await shows(wire, message, "couldn't be reached", 30)
    assert await bot.store.paid_calls(wire.guild.id) == []


async def test_a_member_has_five_test_images_at_once(wire: Wire, bot: Rewarm) -> None:
    replies = []
    for n in range(6):
        replies.append(wire.reply(await wire.reload(model=f"m-{n}")))
        await shows(wire, replies[-1], "Ready")
        await asyncio.sleep(6)
    wire.api.renders = [Answer(wire.api.rendering(eta=20))]
    wire.api.fetches = [Answer(wire.api.rendering())]
    for message in replies[:5]:
        await try_it(wire, message)
    refused = await try_it(wire, replies[5])
    assert "which is the limit" in wire.reply(refused).text
    await wire.server.wait_for(lambda: len(wire.api.render_calls) == 5)
    await asyncio.sleep(10)
    assert len(wire.api.render_calls) == 5


async def test_a_key_that_is_removed_meanwhile(wire: Wire, bot: Rewarm) -> None:
    message = await ready(wire)
    wire.api.renders = [Answer(wire.api.rendering(eta=20))]
    await try_it(wire, message)
    await wire.remove_key()
    await shows(wire, message, "this server no longer has a working API key.")
    assert wire.api.fetch_calls == []


async def test_a_fetch_that_is_not_found_is_no_word_about_the_model(wire: Wire, bot: Rewarm) -> None:
    message = await ready(wire)
    wire.api.renders = [Answer(wire.api.rendering(eta=3))]
    wire.api.fetches = [Answer({"status": "error", "message": "Request not found"}, 404)]
    await try_it(wire, message)
    await shows(wire, message, "the API sent no picture that we can show. It may have cost one generation.")


async def test_a_test_by_channel_a_day_later(wire: Wire, bot: Rewarm) -> None:
    message = await ready(wire)
    await bot.store.expire(0.0, bot.now())
    form = await wire.server.press(wire.ben, message, TEST)
    wire.server.faults.append(Fault("PATCH", BY_TOKEN, times=99, status=401, code=50027))
    await wire.server.submit_modal(form, {"prompt": "x"})
    await shows(wire, message, "**Confirmed**")


async def test_a_long_prompt_is_cut(wire: Wire, bot: Rewarm) -> None:
    message = await ready(wire)
    form = await wire.server.press(wire.ben, message, TEST)
    assert form.modal is not None
    for part in flat(form.modal["components"]):
        part.pop("max_length", None)
    await wire.server.submit_modal(form, {"prompt": "x" * 4000})
    await shows(wire, message, "**Confirmed**")
    assert wire.api.render_calls[0].body["prompt"] == "x" * 200


@contextmanager
def slow_disk(bot: Rewarm, seconds: float) -> Iterator[None]:
    """Make writes take this many seconds."""
    store = cast("EmbeddedStore", bot.store)
    write = store._write

    def slowly() -> None:
        time.sleep(seconds)
        write()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_write", slowly)
        yield


async def test_a_test_that_the_disk_takes_too_late_sends_nothing(wire: Wire, bot: Rewarm) -> None:
    message = await ready(wire)
    form = await wire.server.press(wire.ben, message, TEST)
    with slow_disk(bot, 1.5):
        with capture_logs() as logs:
            refused = await wire.server.submit_modal(form, {"prompt": "x"})
        assert "Something is wrong with our storage" in wire.reply(refused).text
        assert "Nothing was sent to the API" in wire.reply(refused).text
        [logged] = [line for line in logs if line["event"] == "command.failed"]
        assert logged["ref"] in wire.reply(refused).text
        assert "exc_info" not in logged, "an outage is one line per command, not thirty"
        await asyncio.sleep(10)
    assert wire.api.render_calls == []
    [reload] = await bot.store.history(wire.guild.id)
    assert not reload.is_open
    assert await bot.store.paid_calls(wire.guild.id) == [], "it does not count"
    await try_it(wire, message)
    await shows(wire, message, "**Confirmed**")


async def test_a_channels_rule_counts_and_an_administrator_may_all(wire: Wire, bot: Rewarm) -> None:
    message = await ready(wire)
    [command] = [c for c in wire.server.commands if c["name"] == "reload"]
    wire.server.permissions[int(command["id"])] = [
        {"id": str(wire.guild.id - 1), "type": 3, "permission": False}
    ]
    assert "not allowed to use" in wire.reply(await wire.server.press(wire.ben, message, AGAIN)).text
    wire.ben.administrator = True
    again = wire.reply(await wire.server.press(wire.ben, message, AGAIN))
    assert "not allowed to use" not in again.text
    wire.server.permissions.clear()
    wire.ben.administrator, wire.ben.may_use_commands = False, False
    assert "not allowed to use" in wire.reply(await wire.server.press(wire.ben, message, AGAIN)).text


# --- Languages --------------------------------------------------------------------------------------------


async def test_the_channel_in_the_servers_language_and_private_answers_in_the_persons(
    wire: Wire, bot: Rewarm
) -> None:
    wire.guild.locale, wire.ben.locale = "de", "ja"
    message = wire.reply(await wire.reload())
    await shows(wire, message, "**Lädt**")
    assert labels(message)[0] != NOTIFY
    joined = wire.reply(await wire.reload(wire.ben))
    assert "リロード" in joined.text
    await shows(wire, message, "**Bereit**")
    await ended(wire)
    [ping] = wire.pings()
    assert "sdxl-turbo" in ping.text
    assert "ready" not in ping.text


async def test_the_setting_goes_before_what_discord_says(wire: Wire, bot: Rewarm) -> None:
    wire.guild.locale = "de"
    panel = wire.reply(await wire.server.slash(wire.mod, wire.general, "settings"))
    await wire.server.choose(wire.mod, panel, "fr", "rewarm:set:language")
    message = wire.reply(await wire.reload())
    await shows(wire, message, "**Prêt**")


async def test_a_countdown_keeps_its_language_over_a_restart(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.guild.locale = "es-ES"
    async with running(wire.settings(reload_seconds=30), monkeypatch):
        await wire.set_key()
        message = wire.reply(await wire.reload())
        await shows(wire, message, "**Recargando**")
    wire.guild.locale = "en-US"
    async with running(wire.settings(reload_seconds=30), monkeypatch):
        await shows(wire, message, "**Listo**", 60)


async def test_commands_are_registered_in_all_languages(wire: Wire, bot: Rewarm) -> None:
    [command] = [c for c in wire.server.commands if c["name"] == "reload"]
    assert set(command["name_localizations"]) == set(LOCALES)
    assert set(command["description_localizations"]) == set(command["name_localizations"])
    assert command["options"][0]["description_localizations"]
    nothing_odd(wire)
