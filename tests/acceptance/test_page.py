"""The sandbox's page in a real Chromium: a newcomer's first minute."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route, expect

from tests import as_read
from tests.sandbox import DESKTOP, PHONE, Person, browser, sandbox, start, visitor

pytestmark = pytest.mark.asyncio(loop_scope="module")  # as the browser, which lives in one loop
EDIT_MILLISECONDS = 7000
"""Milliseconds to wait for an edit: one comes every 5 s, and the page polls twice a second."""
_KEEP_HEIGHTS = (
    "it => { window.heights = []; new ResizeObserver(() => heights.push(it.offsetHeight)).observe(it); }"
)
"""Which heights an element was ever drawn with, if only for a moment."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium(has_chromium: None) -> AsyncIterator[Browser]:
    """One browser for all tests here that a worker runs; each visitor is new to it."""
    async with browser() as chromium:
        yield chromium


@pytest.fixture(autouse=True)
def _patient() -> Iterator[None]:
    """Wait longer: a busy machine is no bug."""
    expect.set_options(timeout=20_000)
    yield
    expect.set_options(timeout=None)


async def states(person: Person, until: str) -> list[str]:
    """Return the reply's states in the order of its edits while the page was watched."""
    seen: list[str] = []
    async with asyncio.timeout(60):
        while not seen or until not in seen[-1]:
            text = as_read(await person.reply.inner_text())
            if not seen or text != seen[-1]:
                seen.append(text)
            await asyncio.sleep(0.1)
    return seen


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_first_minute(size: tuple[int, int], chromium: Browser, tmp_path: Path) -> None:
    """The whole journey by keyboard: key, reload, live countdown, ready, ping; nothing sticks out."""
    async with sandbox(tmp_path, seconds=8) as it, visitor(chromium, it.url, size) as person:
        await expect(person.page).to_have_title("Rewarm sandbox")
        await expect(person.note).to_contain_text("A reload takes 8 s here")
        await expect(person.note).to_contain_text("deleted when the sandbox stops")
        welcome = person.page.locator("#channel-empty")
        await expect(welcome).to_contain_text("/key set")
        await expect(welcome).to_contain_text("mod is a moderator here, ana a regular member")
        await person.fits()

        await person.open_key_form()
        await person.fits()
        await person.page.keyboard.type("made-up")
        await person.page.keyboard.press("Enter")
        await expect(person.messages.last).to_contain_text("The key works")
        await expect(person.messages.last).to_contain_text("Only you can see this")

        await person.type_command("/reload")
        offered = person.page.locator(".command-popup [role=option]")
        await expect(offered).to_contain_text(["works", "slow", "unknown-model", "no-credits"])
        await person.fits()
        line, box = [
            await person.page.locator(part).bounding_box()
            for part in (".command-context", "#channel-composer")
        ]
        assert line is not None
        assert box is not None
        assert (line["x"] >= box["x"], line["width"] <= box["width"]) == (True, True)
        await person.page.keyboard.press("Enter")
        await expect(person.page.locator(".command-option-input")).to_have_value("works")
        await person.page.keyboard.press("Enter")

        seen = await states(person, until="Ready works")
        left = [int(found[1]) for text in seen if (found := re.search(r"(\d+) s left", text))]
        assert len(left) >= 2
        assert all(before > after for before, after in pairwise(left)), left
        assert seen[0].startswith("Reloading works")
        assert "The promised time (8 s) is up. Not confirmed yet." in seen[-1]
        ping = person.messages.last
        await expect(ping).to_contain_text(
            "works should be ready: the 8 s wait is over (not tested yet). @mod"
        )
        await expect(ping).to_have_class(re.compile(r"\bis-ping\b"))
        await person.fits()
        await expect(person.page.locator(".is-ping")).to_have_count(1)
        assert await person.page.evaluate("performance.getEntriesByType('navigation').length") == 1


async def test_two_people(chromium: Browser, tmp_path: Path) -> None:
    """A member may not set the key, sees what the moderator started, joins it, and gets pinged, too."""
    async with (
        sandbox(tmp_path, seconds=12) as it,
        visitor(chromium, it.url) as mod,
        visitor(chromium, it.url) as ana,
    ):
        await ana.become("ana")
        await ana.composer.focus()
        await ana.page.keyboard.type("/")
        offered = ana.page.locator(".command-popup [role=option]")
        await expect(offered).to_have_count(3)
        await expect(offered).to_contain_text(["/help", "/models", "/reload"])
        await ana.composer.fill("")
        await ana.reload("works")
        await expect(ana.messages.last).to_contain_text("Ask a moderator")
        await expect(mod.messages).to_have_count(0)

        await mod.set_key()
        await mod.reload("works")
        await expect(ana.reply).to_contain_text("Reloading works")
        await ana.reload("works")
        await expect(ana.messages.last).to_contain_text("already reloading")
        for person, name in ((mod, "mod"), (ana, "ana")):
            await expect(person.messages.last).to_contain_text(
                "the 12 s wait is over (not tested yet). @mod @ana"
            )
            await expect(person.messages.last, name).to_have_class(re.compile(r"\bis-ping\b"))

        await ana.become("mod")
        await expect(ana.messages.last).to_contain_text("should be ready")
        await ana.set_key()  # after switching they have the other person's permissions


async def test_buttons_and_a_test_image(chromium: Browser, tmp_path: Path) -> None:
    """On a phone: people who ask for a ping get it, a picture confirms the model, also after a restart."""
    async with (
        sandbox(tmp_path, seconds=8) as it,
        visitor(chromium, it.url, DESKTOP) as mod,
        visitor(chromium, it.url) as ana,
    ):
        await ana.become("ana")
        await mod.set_key()
        await mod.reload("works")
        await ana.press("Notify me")
        await expect(ana.messages.last).to_contain_text("You'll be pinged when works is ready")
        await expect(ana.messages.last).to_contain_text("the 8 s wait is over (not tested yet). @mod @ana")
        await ana.fits()

        await mod.page.get_by_role("button", name="Restart the bot").click()
        for person in (mod, ana):
            await expect(person.note).to_contain_text("The bot is restarting")
        await expect(mod.note).to_contain_text("A reload takes")
        await ana.press("Test image")
        await expect(ana.form).to_contain_text("uses one generation")
        await expect(ana.form.locator("textarea")).to_have_value("a red apple on a wooden table, soft light")
        await ana.fits()
        await ana.page.get_by_role("button", name="Submit").click()
        await expect(mod.reply).to_contain_text("Making a test image for @ana")
        await expect(mod.reply).to_contain_text("Confirmed works")
        picture = ana.reply.locator("img")
        await expect(picture).to_have_count(1)
        await expect(picture).to_have_attribute("alt", "Test image made with works")
        ago = ana.reply.locator("time", has_text="ago")
        await expect(ago).not_to_have_text(await ago.inner_text())  # though nothing else changes
        await expect(ana.reply.locator("[class*=spoiler]").first).to_be_visible()
        await expect(picture).to_have_js_property("naturalWidth", 512)
        await ana.fits()

        listed = await mod.send("/models")  # each time a menu opens, the page redraws everything
        menu, cold = listed.get_by_role("combobox"), listed.get_by_role("option", name="slow")
        await expect(menu).to_be_in_viewport(ratio=1)
        devtools = await mod.page.context.new_cdp_session(mod.page)
        await devtools.send("Network.enable")
        await devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})  # the picture loads again
        await mod.messages.locator("..").first.evaluate(_KEEP_HEIGHTS)
        for _ in range(2):
            before = await mod.scrolled()
            await menu.click()
            await expect(cold).to_be_visible()
            assert await mod.scrolled() == before
            await mod.page.keyboard.press("Escape")
            await expect(cold).to_be_hidden()
        heights = await mod.page.evaluate("heights")
        assert len(set(heights)) == 1, heights
        for _ in range(2):
            await mod.look_at_model(listed, "slow")
            await expect(listed).to_contain_text("Cold slow")
            await expect(listed).to_be_in_viewport(ratio=1)
            await mod.press("All models")
            await expect(listed).to_contain_text("This server's models")


async def test_a_list_of_models_on_a_phone(chromium: Browser, tmp_path: Path) -> None:
    async with sandbox(tmp_path, seconds=5) as it, visitor(chromium, it.url) as person:
        await person.set_key()
        listed = await person.send("/models")
        await expect(listed).to_contain_text("Page 1 of 3")
        await expect(listed).to_contain_text("works since")
        await person.fits()
        await person.press("Next")
        await expect(listed).to_contain_text("Page 2 of 3")
        await person.press("Previous")
        await expect(listed).to_contain_text("Page 1 of 3")
        await person.look_at_model(listed, "works")
        await expect(listed).to_contain_text("Cold works")
        await expect(listed).to_contain_text("Ready")
        await person.fits()
        await person.press("Reload")
        await expect(person.messages.last).to_contain_text("left")


async def test_days_pass_and_a_watched_model_is_announced(chromium: Browser, tmp_path: Path) -> None:
    """A watched model is announced six days later, and a day after that the message changes."""
    async with sandbox(tmp_path, seconds=5) as it, visitor(chromium, it.url) as person:
        await person.set_key()
        await person.reload("works")
        await expect(person.messages.last).to_contain_text("should be ready")
        listed = await person.send("/models")
        await expect(listed).to_contain_text("This server's models")
        await person.look_at_model(listed, "works")
        await person.press("Watch")
        await expect(listed).to_contain_text("Watched")
        later = person.page.get_by_role("button", name="A day later")
        for _ in range(6):
            await later.dblclick()  # an impatient one
            await expect(later).to_be_enabled()
            await expect(person.note).to_contain_text("in the sandbox now")
            await person.page.mouse.down(click_count=2)  # and one whose day is over before its second click
            await person.page.mouse.up(click_count=2)
        await person.page.reload()
        await expect(person.note).to_contain_text("in the sandbox now")
        await expect(person.messages.last).to_contain_text("works will go cold tomorrow")
        await person.fits()
        await person.press("Keep it warm")
        await expect(person.form).to_contain_text("uses one generation")
        await person.page.keyboard.press("Escape")
        await later.click()
        await expect(person.messages.last).to_contain_text("works has gone cold")
        await person.fits()


async def test_settings_change_the_language(chromium: Browser, tmp_path: Path) -> None:
    async with sandbox(tmp_path, seconds=5) as it, visitor(chromium, it.url) as person:
        await person.set_key()
        panel = await person.send("/settings")
        await expect(panel).to_contain_text("Server settings")
        await person.fits()
        await expect(
            panel.get_by_role("combobox", name="Who gets pinged when a reload is done")
        ).to_have_count(1)
        await panel.get_by_role("combobox", name="Language of the bot's messages").click()
        await panel.get_by_role("option", name="Deutsch").click()
        await expect(panel.get_by_role("combobox").nth(1)).to_contain_text("Deutsch")
        await person.reload("works")
        await expect(person.reply).to_contain_text("Bereit works")
        await person.fits()


async def test_form_and_clicks_survive_edits(chromium: Browser, tmp_path: Path) -> None:
    async with sandbox(tmp_path, seconds=16) as it, visitor(chromium, it.url) as person:
        await person.set_key()
        await person.reload("works")
        await expect(person.reply).to_contain_text("left")

        await person.open_key_form()
        await person.page.keyboard.type("half a k")
        before = await person.reply.inner_text()
        await expect(person.reply).not_to_have_text(before, timeout=EDIT_MILLISECONDS)
        await expect(person.form.locator("input")).to_have_value("half a k")
        await expect(person.form.locator("input")).to_be_focused()
        await person.page.keyboard.press("Escape")
        await expect(person.form).to_be_hidden()
        await expect(person.composer).to_be_focused()

        restart = person.page.get_by_role("button", name="Restart the bot")
        await restart.focus()  # an edit takes the focus from nobody
        before = await person.reply.inner_text()
        await expect(person.reply).not_to_have_text(before, timeout=EDIT_MILLISECONDS)
        await expect(restart).to_be_focused()

        answers = person.messages.filter(has_text="Only you can see this")
        for number in range(2, 7):  # in all phases between two edits
            await person.type_command("/key status")
            await person.fits()
            await person.page.keyboard.press("Enter")
            await expect(answers).to_have_count(number)
            await expect(answers.last).to_be_in_viewport(ratio=1)
        await expect(answers.last).to_contain_text("mod")
        await person.page.mouse.move(200, 500)
        await person.page.mouse.wheel(0, -2000)
        await expect(answers.first).to_be_in_viewport()
        await expect(person.messages.last).to_contain_text("should be ready")
        await expect(answers.first).to_be_in_viewport()  # a person who reads further up is left alone


async def test_enter_is_not_lost_while_suggestions_are_on_their_way(
    chromium: Browser, tmp_path: Path
) -> None:
    async with sandbox(tmp_path, seconds=5) as it, visitor(chromium, it.url) as person:
        asked = asyncio.Event()

        async def slowly(route: Route) -> None:
            if "autocomplete_command" in (route.request.post_data or ""):
                asked.set()
                await asyncio.sleep(1)
            await route.continue_()

        await person.set_key()
        await person.page.route("**/api/action", slowly)
        await person.type_command("/reload")
        await person.page.locator(".command-option-input").wait_for()
        await person.page.keyboard.type("my-model")
        await asked.wait()
        await person.page.keyboard.press("Enter")
        await person.page.keyboard.press("Enter")  # an impatient one does not ask twice
        await expect(person.reply).to_contain_text("Reloading my-model")
        await expect(person.messages.last).to_contain_text("my-model should be ready")
        await expect(person.messages).to_have_count(3)


async def test_only_a_slow_command_waits(chromium: Browser, tmp_path: Path) -> None:
    """Two are on their way: the page takes the other, and it is answered long before the slow one."""
    async with sandbox(tmp_path, seconds=5) as it, visitor(chromium, it.url) as person:
        typed = asyncio.Event()

        async def held(route: Route) -> None:
            if '"run_command"' in (route.request.post_data or ""):
                await typed.wait()
            await route.continue_()

        await person.set_key()
        await person.page.route("**/api/action", held)
        await person.reload("slow")
        await expect(person.composer).to_be_focused()
        await person.send("/help")
        await expect(person.composer).to_have_value("")
        typed.set()
        await expect(person.messages.last).to_contain_text("mod used /help")
        await expect(person.messages.last).to_contain_text("Only you can see this")
        slow = person.messages.filter(has_text="mod used /reload")
        assert "Thinking" in await slow.inner_text()
        await expect(slow).to_contain_text("Reloading slow")


async def test_what_is_done_again_once_it_is_answered_is_not_lost(chromium: Browser, tmp_path: Path) -> None:
    """The answer can be seen, and only the page still waits for the end of its request."""
    async with sandbox(tmp_path, seconds=60) as it, visitor(chromium, it.url) as person:
        may_end, sent = asyncio.Event(), []

        async def late(route: Route) -> None:
            answer = await route.fetch()
            if kind := re.search('"(run_command|click)"', route.request.post_data or ""):
                sent.append(kind[1])
                await may_end.wait()
            await route.fulfill(response=answer)

        await person.set_key()
        await person.reload("works")
        await expect(person.reply).to_contain_text("left")
        await person.page.route("**/api/action", late)
        for do in (partial(person.send, "/key status"), partial(person.press, "Notify me")):
            may_end.clear()
            before = await person.messages.count()
            await do()
            await expect(person.messages).to_have_count(before + 1)
            await do()
            may_end.set()
            await expect(person.messages).to_have_count(before + 2)

        await person.send("/models")
        listed = person.messages.filter(has_text="This server's models")
        await expect(listed).to_contain_text("Page 1 of 3")
        may_end.clear()
        await listed.get_by_role("button", name="Next").dblclick()  # an impatient one is one
        await expect(listed).to_contain_text("Page 2 of 3")
        may_end.set()
        await person.send("/key status")
        await expect(person.messages).to_have_count(before + 4)
        await expect(listed).to_contain_text("Page 2 of 3")
        assert sent == [*["run_command"] * 2, *["click"] * 2, "run_command", "click", "run_command"]


async def test_a_command_can_be_typed_in_one_go(chromium: Browser, tmp_path: Path) -> None:
    """A space after its name chooses it: it does not become a message. Typed in full, one Enter sends it."""
    async with sandbox(tmp_path, seconds=5) as it, visitor(chromium, it.url) as person:
        await person.set_key()
        await person.composer.focus()
        await person.page.keyboard.type("/reload my-own-long-model-v2", delay=40)
        typed = person.page.locator(".command-option-input")
        assert await typed.evaluate("it => it.scrollWidth <= it.clientWidth"), "all of it can be seen"
        await person.page.keyboard.press("Enter")
        await expect(person.reply).to_contain_text("Reloading my-own-long-model-v2")
        await expect(person.composer).to_have_value("")
        await person.composer.focus()
        await person.page.keyboard.type("/reload picture-fails", delay=40)
        offered = person.page.locator(".command-popup [role=option]")
        await expect(offered).to_have_text(["picture-fails"])
        await person.page.keyboard.press("Enter")
        await expect(person.reply).to_contain_text("Reloading picture-fails")


async def test_what_is_typed_survives_a_restart(chromium: Browser, tmp_path: Path) -> None:
    async with (
        sandbox(tmp_path, seconds=5) as it,
        visitor(chromium, it.url) as mod,
        visitor(chromium, it.url) as ana,
    ):
        await ana.become("ana")
        await ana.page.reload()  # and is still ana
        await expect(ana.page.locator("#viewer-picker option:checked")).to_have_text("ana")
        await mod.set_key()
        await ana.type_command("/reload")
        await ana.page.keyboard.type("half-a-mod")
        generation = await ana.page.evaluate("simcordPreview.botGeneration")
        await mod.page.get_by_role("button", name="Restart the bot").click()
        await ana.page.wait_for_function("before => simcordPreview.botGeneration > before", arg=generation)
        await expect(ana.page.locator(".command-option-input")).to_have_value("half-a-mod")
        await ana.page.locator(".command-option-input").focus()
        await ana.page.keyboard.press("End")
        await ana.page.keyboard.type("el")
        await ana.page.keyboard.press("Enter")
        await expect(ana.reply).to_contain_text("Reloading half-a-model")


async def test_a_form_from_before_a_restart_says_that_nobody_answers(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        sandbox(tmp_path, seconds=5) as it,
        visitor(chromium, it.url) as mod,
        visitor(chromium, it.url) as other,
    ):
        await mod.open_key_form()
        await mod.page.keyboard.type("made-up")
        generation = await mod.page.evaluate("simcordPreview.botGeneration")
        await other.page.get_by_role("button", name="Restart the bot").click()
        await mod.page.wait_for_function("before => simcordPreview.botGeneration > before", arg=generation)
        await expect(mod.form.locator("input")).to_have_value("made-up")
        await mod.page.keyboard.press("Enter")
        await expect(mod.note).to_contain_text("The bot didn’t answer")
        await mod.set_key()
        await expect(mod.note).to_contain_text("A reload takes")


async def test_a_restart_that_fails_is_said(chromium: Browser, tmp_path: Path) -> None:
    it = await start(tmp_path, seconds=5)
    try:
        async with visitor(chromium, it.url, may_complain=True) as person:
            [store] = tmp_path.glob("rewarm-*/rewarm.db")
            await person.page.get_by_role("button", name="Restart the bot").click()
            await expect(person.note).to_contain_text("The bot is restarting")
            async with asyncio.timeout(10):
                while store.with_name("rewarm.db-wal").exists():  # the old bot lets go of it
                    await asyncio.sleep(0.05)
            store.write_bytes(b"no store" * 1000)
            await expect(person.note).to_contain_text("The bot didn’t come back")
            await person.page.wait_for_timeout(2500)
            await expect(person.note).to_contain_text("The bot didn’t come back")
    finally:
        status, said = await it.stop()
    assert status == 0
    assert "is damaged" in said
    assert list(tmp_path.iterdir()) == []


async def test_a_link_to_a_message_leads_to_it(chromium: Browser, tmp_path: Path) -> None:
    """It does not lead to the real Discord."""
    async with sandbox(tmp_path, seconds=8) as it, visitor(chromium, it.url) as person:
        await person.set_key()
        await person.reload("works")
        await expect(person.reply).to_contain_text("left")
        await person.reload("works")
        link = person.messages.last.get_by_role("link")
        await expect(link).to_have_text(re.compile("^#general . message$"))
        async with asyncio.timeout(10):
            await link.click()
        assert len(person.page.context.pages) == 1
        await expect(person.reply).to_be_in_viewport(ratio=1)


async def test_restart_in_mid_countdown(chromium: Browser, tmp_path: Path) -> None:
    """By the visible control: the bot is away for seconds, the countdown ends in time, with one ping."""
    async with sandbox(tmp_path, seconds=12) as it, visitor(chromium, it.url) as person:
        await person.set_key()
        await person.reload("works")
        await expect(person.reply).to_contain_text("left")
        began = time.monotonic()
        restart = person.page.get_by_role("button", name="Restart the bot")
        await restart.focus()
        await person.page.keyboard.press("Enter")
        await expect(person.note).to_contain_text("The bot is restarting")
        await expect(restart).to_be_disabled()
        await person.reload("slow")  # while it is away: the command waits for it, and nothing else
        await expect(person.composer).to_have_value("")
        await expect(person.composer).to_be_focused()
        await expect(restart).to_be_disabled()
        await expect(restart).to_be_enabled()
        await expect(person.note).to_contain_text("A reload takes")
        await expect(person.reply).to_contain_text("Reloading slow")

        first = person.page.locator(".components-v2").first
        await expect(first).to_contain_text("Ready works")
        assert time.monotonic() - began > 8, "it counted on, and did not end early"
        await expect(first).not_to_contain_text("late")
        await expect(person.messages.filter(has_text="should be ready")).to_have_count(1)


async def test_command_in_a_message_can_be_tapped(chromium: Browser, tmp_path: Path) -> None:
    async with sandbox(tmp_path, seconds=5) as it, visitor(chromium, it.url) as person:
        await expect(person.composer).to_be_focused()
        await person.page.keyboard.type("/settings")  # half typed, and given up
        await person.page.keyboard.press("Enter")
        await person.page.locator("#channel-empty").get_by_role("button", name="/reload").click()
        await person.page.keyboard.press("Enter")
        await person.page.keyboard.type("works")
        await person.page.keyboard.press("Enter")
        await person.messages.last.get_by_role("button", name="/key set").click()
        await person.page.keyboard.press("Enter")
        await person.page.keyboard.press("Enter")
        await expect(person.form.locator("input")).to_be_focused()
        await person.page.keyboard.type("slow")
        await person.page.keyboard.press("Enter")
        await expect(person.messages.last).to_contain_text("Thinking")
        await expect(person.messages.last).to_contain_text("The key works")  # in private, and late


async def test_page_says_why_it_shows_nothing(chromium: Browser, tmp_path: Path) -> None:
    """Half an address; a sandbox that has stopped; then another sandbox with another address."""
    async with sandbox(tmp_path, seconds=5) as it, AsyncExitStack() as visitors:
        page = it.url.partition("#")[0]
        people = [  # the page may complain about refused requests
            await visitors.enter_async_context(visitor(chromium, address, may_complain=True))
            for address in (it.url, it.url, page, f"{page}#guessed")
        ]
        for person in people[2:]:
            await expect(person.note).to_contain_text("incomplete or out of date. The right one")
            await expect(person.page.get_by_role("button", name="Restart the bot")).to_be_hidden()
        for person in people[:2]:
            await person.page.wait_for_function("() => simcordPreview.ready")
        await it.stop()
        await people[1].page.keyboard.type("hello")
        await people[1].page.keyboard.press("Enter")
        for person in people:
            await expect(person.note).to_contain_text("The sandbox has stopped. Run")
        async with sandbox(tmp_path, seconds=5, port=urlsplit(page).port):
            for person in people:
                await expect(person.note).to_contain_text("This address is incomplete or out of date")
