"""The test image: its form, its picture, its other outcomes, and restarts while it is made."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from simcord.actors import MemberActor
from simcord.results import InteractionResult

from bot.app import Rewarm
from bot.model_api.picture import MOST_BYTES
from bot.words.buttons import TEST_PROMPT
from tests.stand_ins.model_api import PNG, Answer, ModelApiServer
from tests.world import CANARY, Seen, World, said, texts

Restart = Callable[[], Awaitable[None]]
AGAIN, TEST = "Reload again", "Test image"


@pytest.fixture
async def ready(world: World) -> World:
    """A reload of ana's that has just ended as Ready."""
    await world.reload(world.ana)
    await world.env.advance_time(125)
    return world


async def try_it(
    world: World, who: MemberActor | None = None, prompt: str = TEST_PROMPT
) -> InteractionResult:
    """Press *Test image* and submit the form."""
    who = who or world.ana
    form = await world.press(who, TEST)
    return await who.submit_modal(form, {"prompt": prompt})


async def send(form: InteractionResult, who: MemberActor) -> InteractionResult:
    """Submit the form unchanged."""
    return await who.submit_modal(form, {"prompt": TEST_PROMPT})


async def later(world: World, seconds: int = 30) -> None:
    for _ in range(0, seconds, 10):  # simcord must be polled often while sockets are waited for
        await world.env.advance_time(10)


async def test_the_form_says_what_it_costs_and_proposes_something_harmless(
    ready: World, api: ModelApiServer
) -> None:
    form = await ready.press(ready.ben, TEST)
    assert form.modal is not None
    cost, label = form.modal["components"]
    assert "one picture with `sdxl-turbo`" in cost["content"]
    assert "uses one generation" in cost["content"]
    assert label["component"]["value"] == TEST_PROMPT
    assert api.render_calls == [], "nothing is asked for before the form comes back"


async def test_a_picture_confirms_the_model(ready: World, api: ModelApiServer) -> None:
    reply = ready.last()
    await try_it(ready, ready.ben, "a blue cup")
    await later(ready)
    [call] = api.render_calls
    assert call.path == "/api/v4/dreambooth"
    assert (call.body["key"], call.body["model_id"], call.body["prompt"]) == (
        CANARY,
        "sdxl-turbo",
        "a blue cup",
    )
    shown = ready.last()
    assert shown.message == reply.message, "in the same message"
    assert shown.word == "Confirmed"
    assert f"Test image made <t:{round(ready.env.now().timestamp()) - 30}:R>" in shown.text
    assert f"for <@{ready.ben.id}>" in shown.text
    [picture] = ready.pictures()
    assert picture["media"]["content_type"] == "image/png"
    assert ready.buttons() == [AGAIN]
    assert len(ready.pings()) == 1, "an edit, and no message more"


async def test_meanwhile_the_reply_says_so_and_offers_no_second_one(
    ready: World, api: ModelApiServer
) -> None:
    api.renders = [Answer(api.rendering(eta=20))]
    await try_it(ready)
    assert ready.last().word == "Ready"
    assert f"Making a test image for <@{ready.ana.id}> …" in ready.last().text
    assert ready.buttons() == [AGAIN]


async def test_two_forms_make_one_picture(ready: World, api: ModelApiServer) -> None:
    api.renders = [Answer(api.rendering(eta=20))]
    first, second = await ready.press(ready.ana, TEST), await ready.press(ready.ben, TEST)
    await send(first, ready.ana)
    refused = said(await send(second, ready.ben))
    assert refused.startswith("A test image is already being made.")
    await later(ready)
    assert len(api.render_calls) == 1
    assert ready.last().word == "Confirmed"


async def test_a_picture_that_takes_a_while_is_asked_for_until_it_is_there(
    ready: World, api: ModelApiServer
) -> None:
    api.renders = [Answer(api.rendering(eta=10))]
    api.fetches = [Answer(api.rendering()), Answer(b"", 502), *api.fetches]
    await try_it(ready)
    await later(ready, 40)
    asked = [call.at for call in api.fetch_calls]
    assert len(asked) == 3
    assert {call.body["request_id"] for call in api.fetch_calls} == {"7"}
    assert {call.path for call in api.fetch_calls} == {"/api/v4/dreambooth/fetch"}
    assert len(api.render_calls) == 1
    assert ready.last().word == "Confirmed"


async def test_a_picture_that_never_comes(ready: World, api: ModelApiServer) -> None:
    api.renders = api.fetches = [Answer(api.rendering())]
    await try_it(ready)
    await later(ready, 200)
    assert ready.last().word == "Ready"
    assert "): no picture after 3 minutes. The model may still be loading." in ready.last().text
    assert len(api.render_calls) == 1
    assert len(api.fetch_calls) < 30
    assert ready.buttons() == [AGAIN, TEST], "it may be tried again"


FAILURES: dict[str, tuple[Answer, str]] = {
    "failed": (
        Answer({"status": "failed", "message": "Failed, Try Again"}),
        "the API says `Failed, Try Again`. The model may still be loading.",
    ),
    "not loaded": (Answer({"status": "error", "message": "Model not found: x"}), "can't find the model"),
    "credits": (Answer({"status": "error", "message": "Insufficient credits"}, 402), "out of credits"),
    "key": (
        Answer({"status": "error", "message": "Invalid API key"}, 401),
        "rejects this server's key. A moderator can set a new one with </key set:",
    ),
    "plan": (
        Answer({"status": "error", "message": "Feature not available"}, 403),
        "doesn't include test images",
    ),
    "rate": (
        Answer({"status": "error", "message": "Rate limit exceeded", "retry_after": 30}, 429),
        "slow down",
    ),
    "trouble": (Answer({"status": "error", "message": "Try again"}, 500), "is having problems"),
    "page": (Answer(b"<html>", 502), "no clear answer. It may have cost one generation."),
    "no number": (Answer({"status": "processing", "id": "../../x", "output": []}), "no clear answer"),
    "no picture": (Answer({"status": "success", "output": {"a": 1}}), "no picture that we can show"),
    "echo": (Answer({"status": "error", "message": f"Bad thing {CANARY}"}), "[hidden: it repeats the key]"),
}


@pytest.mark.parametrize("case", FAILURES)
async def test_a_failed_test_says_what_it_means(ready: World, api: ModelApiServer, case: str) -> None:
    answer, sentence = FAILURES[case]
    api.renders = [answer]
    await try_it(ready)
    await later(ready)
    assert ready.last().word == "Ready"
    assert sentence in ready.last().text
    assert CANARY not in ready.last().text
    assert len(api.render_calls) == 1
    assert ready.buttons() == ([TEST] if case == "key" else [AGAIN, TEST])


async def test_a_second_test_may_confirm_after_all(ready: World, api: ModelApiServer) -> None:
    api.renders = [FAILURES["failed"][0], *api.renders]
    await try_it(ready)
    await later(ready)
    await try_it(ready, ready.ben)
    await later(ready)
    assert ready.last().word == "Confirmed"
    assert len(api.render_calls) == 2


async def test_a_picture_is_a_spoiler(ready: World) -> None:
    await try_it(ready)
    await later(ready)
    [picture] = ready.pictures()
    assert picture["spoiler"] is True


PICTURES: dict[str, Answer] = {
    "a page": Answer(b"<html>not a picture</html>"),
    "nothing": Answer(b""),
    "too long": Answer(PNG + bytes(MOST_BYTES)),
    "not there": Answer(b"", 404),
    "elsewhere": Answer(b"", 302, {"Location": "/picture.png?followed"}),
    "packed": Answer(PNG, headers={"Content-Encoding": "br"}),
}


@pytest.mark.parametrize("case", [case for case in PICTURES if case != "packed"])
async def test_what_is_no_picture_confirms_nothing(ready: World, api: ModelApiServer, case: str) -> None:
    api.pictures = [PICTURES[case]]
    await try_it(ready)
    await later(ready, 60)
    assert ready.last().word == "Ready"
    assert "the API sent no picture that we can show" in ready.last().text
    assert ready.pictures() == []


async def test_a_picture_that_is_there_a_moment_later(ready: World, api: ModelApiServer) -> None:
    api.pictures = [Answer(b"", 404), Answer(PNG)]
    await try_it(ready)
    await later(ready)
    assert ready.last().word == "Confirmed"


@pytest.mark.parametrize(
    "address",
    ["http://pictures.example/x.png", "https://127.0.0.1/x.png", "file:///etc/passwd", "/x.png", "x" * 5000],
)
async def test_an_address_that_is_not_safe_is_not_asked(
    ready: World, api: ModelApiServer, address: str
) -> None:
    api.renders = [Answer({"status": "success", "output": [address]})]
    await try_it(ready)
    await later(ready)
    assert "no picture that we can show" in ready.last().text


# --- People who waited for it are pinged --------------------------------------------------------------------


def told(world: World) -> list[Seen]:
    """Return the pings about test images: those after the reload's own."""
    return world.pings()[1:]


async def test_who_waited_for_a_picture_is_pinged_once(ready: World, api: ModelApiServer) -> None:
    """Whatever they chose to hear about reloads: pressing the button asks for a ping."""
    await bot_of(ready).store.change_settings(ready.guild.id, quiet=True)
    reply = ready.last()
    api.renders = [Answer(api.rendering(eta=20))]
    await try_it(ready, ready.ben)
    await later(ready, 60)
    [ping] = told(ready)
    assert ping.text == f"`sdxl-turbo` is confirmed: it made your test image. <@{ready.ben.id}>"
    assert ping.pinged == {ready.ben.id}
    reference = ready.message(ping).reference
    assert reference is not None
    assert reference.message_id == reply.message
    assert ready.last().word == "Confirmed"
    [row] = await bot_of(ready).store.history(ready.guild.id)
    assert not row.is_open


async def test_a_picture_that_is_there_at_once_pings_nobody(ready: World) -> None:
    await try_it(ready)
    await later(ready, 60)
    assert ready.last().word == "Confirmed"
    assert told(ready) == []


async def test_each_try_that_fails_late_is_a_ping_of_its_own(ready: World, api: ModelApiServer) -> None:
    api.renders = api.fetches = [Answer(api.rendering())]
    for _ in range(2):
        await try_it(ready)
        await later(ready, 200)
    why = "no picture after 3 minutes. The model may still be loading."
    text = f"`sdxl-turbo` made no test image: {why} <@{ready.ana.id}>"
    assert [ping.text for ping in told(ready)] == [text, text]


async def test_a_restart_before_the_ping_neither_loses_nor_doubles_it(
    ready: World, api: ModelApiServer, restart: Restart
) -> None:
    api.renders = [Answer(api.rendering(eta=20))]
    await try_it(ready, ready.ben)
    await later(ready, 10)
    ready.env.inject_error("POST", "/channels/*/messages", status=503, times=10)
    await later(ready, 20)
    assert told(ready) == []
    assert len(ready.pictures()) == 1, "it is shown"
    await restart()
    await later(ready, 60)
    assert [ping.pinged for ping in told(ready)] == [{ready.ben.id}]
    await restart()
    await later(ready, 60)
    assert len(told(ready)) == 1
    assert len(ready.pictures()) == 1
    assert len(api.render_calls) == 1


# --- Restarts ---------------------------------------------------------------------------------------------


async def test_a_button_from_before_a_restart(ready: World, api: ModelApiServer, restart: Restart) -> None:
    await restart()
    await try_it(ready)
    await later(ready)
    assert ready.last().word == "Confirmed"


async def test_a_form_from_before_a_restart(ready: World, restart: Restart) -> None:
    form = await ready.press(ready.ana, TEST)
    await restart()
    await send(form, ready.ana)
    await later(ready)
    assert ready.last().word == "Confirmed"


async def test_a_restart_while_it_is_rendered(ready: World, api: ModelApiServer, restart: Restart) -> None:
    api.renders = [Answer(api.rendering(eta=20))]
    await try_it(ready)
    await later(ready, 10)
    await restart()
    await later(ready)
    assert ready.last().word == "Confirmed"
    assert len(ready.pictures()) == 1
    assert len(api.render_calls) == 1, "a restart costs no second generation"


async def test_confirmed_outlives_a_restart(ready: World, restart: Restart) -> None:
    await try_it(ready)
    await later(ready)
    await restart()
    assert "**Warm**" in texts_of(await ready.ana.slash(ready.general, "models"))
    await ready.press(ready.ben, AGAIN)
    assert ready.last().word == "Reloading"


def texts_of(result: InteractionResult) -> str:
    assert result.response is not None
    return texts(result.response.components)


# --- Permissions --------------------------------------------------------------------------------


async def test_it_needs_the_right_to_reload_also_when_the_form_comes_back(
    ready: World, api: ModelApiServer
) -> None:
    form = await ready.press(ready.ben, TEST)
    [command] = [c for c in ready.env.backend.commands[None].values() if c["name"] == "reload"]
    ready.guild.set_command_permissions(int(command["id"]), {ready.ben: False})
    assert "not allowed to use" in said(await ready.press(ready.ben, TEST))
    assert "not allowed to use" in said(await send(form, ready.ben))
    await later(ready)
    assert api.render_calls == []
    assert "test image" not in ready.last().text.lower()


async def test_without_a_key_no_form(ready: World) -> None:
    await ready.remove_key()
    assert said(await ready.press(ready.ben, TEST)).startswith("This server has no API key yet.")


async def test_a_prompt_of_spaces_is_the_usual_one(ready: World, api: ModelApiServer) -> None:
    await try_it(ready, prompt="   ")
    await later(ready)
    assert api.render_calls[0].body["prompt"] == TEST_PROMPT


def bot_of(world: World) -> Rewarm:
    assert isinstance(world.env.bot, Rewarm)
    return world.env.bot


async def test_a_day_later_by_somebody_else(ready: World, api: ModelApiServer) -> None:
    """The reload's tokens and message are forgotten by then; the press brings both."""
    bot = bot_of(ready)
    await bot.store.expire(0.0, bot.now())
    await try_it(ready, ready.ben)
    await later(ready)
    assert ready.last().word == "Confirmed"
    [reload] = await bot.store.history(ready.guild.id)
    assert reload.has_tokens
    await bot.store.expire(0.0, bot.now())
    [reload] = await bot.store.history(ready.guild.id)
    assert not reload.has_tokens
    assert reload.ending == "confirmed"


async def test_the_key_goes_nowhere_but_to_the_api(ready: World, api: ModelApiServer) -> None:
    api.renders = [Answer(api.rendering(fetch_result="http://127.0.0.1:1/steal"))]
    await try_it(ready)
    await later(ready)
    everything: list[Any] = [api.picture_calls, [request.json for request in ready.env.http_requests]]
    assert CANARY not in repr(everything[0])
    assert all(CANARY not in repr(body) for body in everything[1][-10:])
    assert ready.last().word == "Confirmed"


async def choose_cap(world: World, value: str) -> None:
    panel = await world.mod.slash(world.general, "settings")
    assert panel.response is not None
    await world.mod.select(panel.response.message, [value], custom_id="rewarm:set:tests")


async def test_whoever_had_the_most_in_a_day_hears_when_the_next_one_is_possible(
    ready: World, api: ModelApiServer, restart: Restart
) -> None:
    await choose_cap(ready, "1")
    api.renders = [Answer({"status": "failed", "message": "Failed, Try Again"})]
    made_at = round(ready.env.now().timestamp())
    first, second = await ready.press(ready.ana, TEST), await ready.press(ready.ana, TEST)
    await send(first, ready.ana)
    await later(ready)
    text = said(await send(second, ready.ana))
    assert text.startswith(
        "You've made 1 test image in the last 24 hours, which is the limit in this server."
    )
    assert f"You can make the next one <t:{made_at + 86400}:R>" in text
    await restart()
    assert said(await ready.press(ready.ana, TEST)).startswith("You've made 1 test image"), "before the form"
    await try_it(ready, ready.ben)
    await later(ready)
    assert len(api.render_calls) == 2, "each member has as many"
    ready.env.backend.advance_clock(86400)
    await try_it(ready, ready.ana)
    await later(ready)
    assert len(api.render_calls) == 3


async def test_a_server_may_let_nobody_make_them_or_everybody_as_many(
    ready: World, api: ModelApiServer
) -> None:
    await choose_cap(ready, "0")
    assert said(await ready.press(ready.ana, TEST)).startswith("Test images are turned off in this server")
    await choose_cap(ready, "None")
    api.renders = [Answer({"status": "failed", "message": "Failed, Try Again"})]
    for _ in range(12):
        await try_it(ready)
        await later(ready, 10)
    assert len(api.render_calls) == 12


async def test_moderators_see_how_many_were_made_and_by_whom(ready: World, api: ModelApiServer) -> None:
    api.renders = [Answer({"status": "failed", "message": "Failed, Try Again"})]
    for who in (ready.ana, ready.ben, ready.ben):
        await try_it(ready, who)
        await later(ready, 10)

    async def models(who: MemberActor) -> str:
        response = (await who.slash(ready.general, "models")).response
        assert response is not None
        return texts(response.components)

    assert f"Test images in the last 24 hours: 3 (<@{ready.ben.id}> 2, <@{ready.ana.id}> 1)." in await models(
        ready.mod
    )
    assert "Test images in the last 24 hours" not in await models(ready.ana)
    ready.env.backend.advance_clock(86400)
    assert "Test images in the last 24 hours" not in await models(ready.mod)
