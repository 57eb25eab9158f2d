"""The buttons of a reply, and the form of the test image."""

import functools
from typing import Any

import discord
from discord.ext import commands

from bot.app import Rewarm
from bot.discord_api.place import is_age_restricted
from bot.discord_api.responses import NeverAcknowledged
from bot.domain.custom_ids import BUTTON, FORM, FORM_ID
from bot.domain.errors import NoTestNow
from bot.domain.reload import Ending, ImageTest, Outcome, Reload, State
from bot.words.buttons import TEST_LABEL, TEST_PROMPT, TEST_TITLE, not_notified_text, notified_text, test_cost
from bot.words.language import Language
from cogs.ahead import AheadButton
from cogs.error_handler import errors_shown
from cogs.press import Press, asker_of, known_reload
from cogs.reload import ask

LONGEST_PROMPT = 200
_BOX = "prompt"


class ReplyButton(Press, template=BUTTON):
    """Any button of any reply."""

    async def press(self, interaction: discord.Interaction[Rewarm]) -> None:
        """Handle a press, which carries only the reload's ID."""
        reload = await known_reload(interaction, int(self.match["reload"]))
        match self.match["what"]:
            case "again":
                await interaction.client.permissions.require(interaction, "reload")
                await ask(interaction, reload.model)
            case "test" | "keep" as what:
                await _check_test(interaction, reload, what)
                form = _form(reload, what, interaction.client.languages.of(interaction.locale))
                show = functools.partial(interaction.response.send_modal, form)
                await interaction.client.responses.respond(interaction, show)
            case "notify" | "mute" as what:
                await _notify(interaction, reload, wanted=what == "notify")


async def _notify(interaction: discord.Interaction[Rewarm], reload: Reload, *, wanted: bool) -> None:
    bot = interaction.client
    stored = await bot.runner.notify(reload.id, asker_of(interaction), wanted=wanted)
    say = bot.languages.of(interaction.locale)
    user = interaction.user.id
    text = notified_text(stored, bot.now(), say) if wanted else not_notified_text(stored, user, say)
    await bot.responses.say(interaction, text)


async def _check_test(interaction: discord.Interaction[Rewarm], reload: Reload, what: str) -> None:
    """Check that a test image may be made; a model to keep warm may have been confirmed before.

    Raises NoTestNow, NoKey, NotAllowedHere, PermissionsUnknown, NoTestsLeft.
    """
    if reload.is_testing:
        raise NoTestNow("running")
    if reload.ending is not Ending.READY and (what, reload.ending) != ("keep", Ending.CONFIRMED):
        raise NoTestNow
    if reload.state is not State.ENDED:
        raise NoTestNow("yet")
    await interaction.client.keys.open(reload.server)
    await interaction.client.permissions.require(interaction, "reload")
    await interaction.client.image_tests.check_allowance(reload.server, interaction.user.id)


def _form(reload: Reload, what: str, say: Language) -> discord.ui.Modal:
    """Make the form, which states the cost and asks for the prompt; discord.py must not keep it."""
    form = discord.ui.Modal(
        title=say(TEST_TITLE), timeout=None, custom_id=FORM_ID.format(what=what, reload=reload.id)
    )
    form.add_item(discord.ui.TextDisplay(test_cost(reload, say)))
    box: discord.ui.TextInput[Any] = discord.ui.TextInput(
        custom_id=_BOX,
        style=discord.TextStyle.long,  # shows all of it on a phone
        default=TEST_PROMPT,
        max_length=LONGEST_PROMPT,
    )
    form.add_item(discord.ui.Label(text=say(TEST_LABEL), component=box))
    form.stop()
    return form


class ButtonsCog(commands.Cog):
    """Receives submitted forms."""

    def __init__(self, bot: Rewarm) -> None:
        self.bot = bot

    @commands.Cog.listener()
    async def on_interaction(self, interaction: discord.Interaction[Rewarm]) -> None:
        """Handle a form, recognised by its ID alone, so that one from before a restart works."""
        data: Any = interaction.data or {}
        found = FORM.fullmatch(str(data.get("custom_id")))
        if interaction.type is discord.InteractionType.modal_submit and found is not None:
            await errors_shown(interaction, self._test(interaction, found[1], int(found[2]), _typed(data)))

    async def _test(self, interaction: discord.Interaction[Rewarm], what: str, id_: int, prompt: str) -> None:
        """Store that a test image is being made, answer, make it. Everything is checked once more."""
        reload = await known_reload(interaction, id_)
        await _check_test(interaction, reload, what)
        spoiler = not is_age_restricted(interaction)
        test = ImageTest(asker_of(interaction), self.bot.now(), spoiler)
        message = interaction.message.id if interaction.message is not None else 0
        chosen = await self.bot.store.settings(reload.server)
        locale = chosen.locale(interaction.guild_locale)
        stored = await self.bot.image_tests.begin(reload, test, message, locale)
        try:
            await self.bot.responses.respond(interaction, interaction.response.defer)
        except NeverAcknowledged:
            self.bot.image_tests.drop(stored, Outcome.NOT_SENT)
        else:
            self.bot.image_tests.start(stored, prompt)


def _typed(data: Any) -> str:
    """Return the prompt in a submitted form; the default if there is none."""
    parts = [part.get("component") for part in data.get("components", ()) if isinstance(part, dict)]
    boxes = [part for part in parts if isinstance(part, dict) and part.get("custom_id") == _BOX]
    text = " ".join(str(boxes[0].get("value") or "").split()) if boxes else ""
    return text[:LONGEST_PROMPT] or TEST_PROMPT


async def setup(bot: Rewarm) -> None:
    """Called by discord.py."""
    bot.add_dynamic_items(ReplyButton, AheadButton)
    await bot.add_cog(ButtonsCog(bot))
