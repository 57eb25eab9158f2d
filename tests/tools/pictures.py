"""The README's pictures, taken from the sandbox: `make pictures` writes them to docs/ (takes two minutes)."""

import asyncio
import tempfile
from pathlib import Path

from playwright.async_api import Locator, Page, expect

from tests import ROOT
from tests.sandbox import PHONE, browser, sandbox, visitor

DOCS = ROOT / "docs"
RELOAD_SECONDS = 120
PHONE_CLIP = (PHONE[0], 600)
DESKTOP = (1000, 640)
SCALE = 2.0
ABOVE = 110
"""Pixels from the top of the channel to a reply: the channel's name, and the line that says who used what."""


async def take() -> None:
    """Play a reload between two people: pictures of its countdown, its end, a test image, the whole page."""
    expect.set_options(timeout=(RELOAD_SECONDS + 30) * 1000)
    with tempfile.TemporaryDirectory() as folder:
        async with (
            sandbox(Path(folder), RELOAD_SECONDS) as it,
            browser() as chromium,
            visitor(chromium, it.url, DESKTOP, SCALE) as mod,
            visitor(chromium, it.url, PHONE_CLIP, SCALE) as ana,
        ):
            await mod.set_key()
            await ana.become("ana")
            await ana.reload("sdxl-turbo")
            await expect(ana.reply).to_contain_text("2 min left")
            await mod.reload("sdxl-turbo")
            await expect(ana.reply).to_contain_text("1 min 15 s left")
            await _picture(ana.page, "countdown")
            await expect(mod.reply).to_contain_text("50 s left")
            await mod.page.screenshot(path=DOCS / "sandbox.png")
            await expect(ana.messages.last).to_contain_text("should be ready")
            await _picture(ana.page, "ready")
            await ana.press("Test image")
            await ana.page.get_by_role("button", name="Submit").click()
            await expect(ana.reply).to_contain_text("Confirmed")
            await expect(ana.reply.locator("img")).to_have_js_property("naturalWidth", 512)
            await ana.reply.locator("[class*=spoiler]").first.click()
            await _scroll_to(ana.page, ana.reply)
            await expect(ana.reply.get_by_text("Confirmed")).to_be_in_viewport()
            await _picture(ana.page, "confirmed")
            await mod.type_command("/settings")
            await mod.page.keyboard.press("Enter")
            menu = mod.messages.last.get_by_role("combobox").nth(1)
            await menu.click()
            await mod.messages.last.get_by_role("option", name="Deutsch").click()
            await expect(menu).to_contain_text("Deutsch")
            await ana.reload("anything-v3")
            await expect(ana.reply).to_contain_text("noch 1 min 45 s")
            await ana.reply.scroll_into_view_if_needed()
            await _picture(ana.page, "german")


async def _scroll_to(page: Page, reply: Locator) -> None:
    """Scroll with the wheel, as a person does: until then the page keeps its end in view."""
    await reply.hover()
    at, channel = await reply.bounding_box(), await page.locator("#channel-layout").bounding_box()
    if at is not None and channel is not None:
        await page.mouse.wheel(0, at["y"] - channel["y"] - ABOVE)


async def _picture(page: Page, name: str) -> None:
    """The conversation alone, without what is the sandbox's own."""
    await page.evaluate("document.getElementById('channel-empty')?.remove()")
    await page.locator("#channel-layout").screenshot(path=DOCS / f"{name}.png")


if __name__ == "__main__":
    asyncio.run(take())
