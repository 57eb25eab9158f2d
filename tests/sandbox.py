"""The sandbox as a process, and a person in front of it in a real browser."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Locator, Page, async_playwright, expect

from tests import ROOT

PHONE = (390, 844)
DESKTOP = (1280, 800)
PEOPLE = {"mod": "mod (moderator)", "ana": "ana (member)"}
"""The people whom one can be, as the page lists them."""
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = (
    "--no-sandbox",  # for root in a container; it sees nothing but our page
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
_START_SECONDS = 30
_OVERFLOWING = """() => [...document.querySelectorAll('body *')].filter((it) => {
    const box = it.getBoundingClientRect();
    return it.checkVisibility() && box.width > 1 && (box.right > innerWidth + 1 || box.left < -1);
}).map((it) => it.outerHTML.slice(0, 120))"""


class Sandbox:
    """A running `python -m bot sandbox`; `said` is its first output."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, said: str = "") -> None:
        self.process = process
        self.url = url
        self.said = said

    async def stop(self) -> tuple[int, str]:
        """Press Ctrl-C; return the exit status and the text on standard error."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(_START_SECONDS):
            _, errors = await self.process.communicate()
        return self.process.returncode or 0, errors.decode()


async def start(
    folder: Path,
    seconds: float | None = None,
    stdout: int | None = None,
    *,
    port: int | None = 0,
    **environment: str,
) -> Sandbox:
    """Start it with reloads of this many seconds; `folder` is its temporary one.

    `port`: 0 for any free one, None for the usual one. With a separate standard output it is not waited for,
    and its address is not known.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "sandbox", *(("--port", str(port)) if port is not None else ())),
        *(("--seconds", str(seconds)) if seconds is not None else ()),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(folder), **environment},
        stdout=asyncio.subprocess.PIPE if stdout is None else stdout,
        stderr=asyncio.subprocess.PIPE,
    )
    if process.stdout is None:
        return Sandbox(process, "")
    async with asyncio.timeout(_START_SECONDS):
        said = ""
        while (line := await process.stdout.readline()) and b"http://" not in line:
            said += line.decode()
    if not line:
        raise AssertionError((await process.communicate())[1].decode())
    return Sandbox(process, line.decode().strip(), said)


@asynccontextmanager
async def sandbox(folder: Path, seconds: float, port: int | None = 0) -> AsyncIterator[Sandbox]:
    """Run a sandbox and stop it afterwards; nothing may be on standard error."""
    it = await start(folder, seconds, port=port)
    try:
        yield it
    finally:
        stopped = await it.stop()
        print(stopped[1])  # noqa: T201  # shown when a test fails
    assert stopped == (0, "")


class Person:
    """Somebody at the page, with a keyboard."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        """What the browser's console said."""
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.composer = page.locator("#channel-composer-input")
        self.note = page.locator("#sandbox-note")
        self.messages = page.locator(".channel-message")
        self.form = page.locator("#modal-root")

    @property
    def reply(self) -> Locator:
        """The last reply of a reload."""
        return self.page.locator(".components-v2").last

    async def become(self, name: str) -> None:
        """Choose who to be."""
        before = await self.page.evaluate("simcordPreview.viewerId")
        await self.page.get_by_label("You are").select_option(label=PEOPLE[name])
        arrived = "before => ![before, null].includes(simcordPreview.viewerId) && simcordPreview.ready"
        await self.page.wait_for_function(arrived, arg=before)

    async def type_command(self, text: str) -> None:
        """Type the beginning of a command, wherever the focus is, and choose the first suggestion."""
        await self.page.keyboard.type(text)
        await self.page.locator(".command-popup [role=option]").first.wait_for()
        await self.page.keyboard.press("Enter")

    async def reload(self, model: str) -> None:
        """Type `/reload` and a model id, and send it."""
        await self.type_command("/reload")
        await self.page.locator(".command-option-input").wait_for()
        await self.page.keyboard.type(model)
        await self.page.keyboard.press("Enter")
        await self.page.keyboard.press("Enter")

    async def send(self, command: str) -> Locator:
        """Type a command without options, and send it; return the newest message then."""
        await self.type_command(command)
        await self.page.keyboard.press("Enter")
        return self.messages.last

    async def look_at_model(self, listed: Locator, model: str) -> None:
        """Choose it in the menu of the list of models."""
        await listed.get_by_role("combobox").click()
        await listed.get_by_role("option", name=model).click()

    async def scrolled(self) -> float:
        """Return how far the log is scrolled."""
        return float(await self.page.locator("#channel-timeline").evaluate("it => it.scrollTop"))

    async def press(self, label: str) -> None:
        """Press the newest button of that label."""
        await self.page.get_by_role("button", name=label, exact=True).last.click()

    async def open_key_form(self) -> None:
        """Type `/key set`, and send it."""
        await self.type_command("/key set")
        await self.page.keyboard.press("Enter")
        await expect(self.form.locator("input")).to_be_focused()

    async def set_key(self, key: str = "made-up") -> None:
        """Store a key."""
        await self.open_key_form()
        await self.page.keyboard.type(key)
        await self.page.keyboard.press("Enter")
        await expect(self.messages.last).to_contain_text("The key works")

    async def fits(self) -> None:
        """Check that nothing sticks out of the window to the left or right, once it is drawn."""
        found = None
        for _ in range(50):
            if (found := await self.page.evaluate(_OVERFLOWING)) == []:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(found)


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A real Chromium without a screen."""
    async with async_playwright() as driver:
        chromium = await driver.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield chromium
        await chromium.close()


@asynccontextmanager
async def visitor(
    chromium: Browser,
    url: str,
    size: tuple[int, int] = PHONE,
    scale: float = 1.0,
    *,
    may_complain: bool = False,
) -> AsyncIterator[Person]:
    """Let somebody visit the page whom the browser has never seen before.

    Anything on its console is a failure, unless it may complain.
    """
    context = await chromium.new_context(
        viewport={"width": size[0], "height": size[1]}, device_scale_factor=scale
    )
    try:
        person = Person(await context.new_page())
        await person.page.goto(url)
        if not may_complain:  # it measures its window first, then redraws
            await person.page.wait_for_function("() => simcordPreview.ready")
        yield person
    finally:
        await context.close()
    assert may_complain or person.complaints == []
