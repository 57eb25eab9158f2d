"""*Test it too*: a test image that is requested during a countdown and made at its end."""

import functools

import discord

from bot import view
from bot.app import Rewarm
from bot.discord_api.place import is_age_restricted
from bot.domain.custom_ids import AHEAD, AHEAD_ID
from bot.domain.errors import AlreadyEnded, NoTestNow
from bot.domain.reload import JOINABLE, ImageTest, Reload
from bot.words.buttons import TAKE_BACK, YES, not_tested_too, test_too_cost, tested_too
from cogs.press import Press, asker_of, known_reload


class AheadButton(Press, template=AHEAD):
    """The button under a countdown, and those of its private answer, which states the cost and asks once."""

    async def press(self, interaction: discord.Interaction[Rewarm]) -> None:
        """Check everything each time: the answer may be an old one."""
        bot, user = interaction.client, interaction.user.id
        reload = await known_reload(interaction, int(self.match["reload"]))
        if self.match["what"] == "no":
            reload = await bot.runner.test_ahead(reload, user, None)
            await _answer(interaction, reload, is_asked_for=False)
            return
        await _check(interaction, reload)
        if self.match["what"] == "yes":
            spoiler = not is_age_restricted(interaction)
            test = ImageTest(asker_of(interaction), bot.now(), spoiler, ahead=True)
            reload = await bot.runner.test_ahead(reload, user, test)
        await _answer(interaction, reload, is_asked_for=reload.test is not None)


async def _check(interaction: discord.Interaction[Rewarm], reload: Reload) -> None:
    """Check all conditions.

    Raises AlreadyEnded, NoTestNow, NoKey, NotAllowedHere, PermissionsUnknown, NoTestsLeft.
    """
    if reload.state not in JOINABLE:
        raise AlreadyEnded
    if reload.test is not None and reload.test.by.user != interaction.user.id:
        raise NoTestNow("asked")
    await interaction.client.keys.open(reload.server)
    await interaction.client.permissions.require(interaction, "reload")
    if reload.test is None:  # otherwise their place is reserved
        await interaction.client.image_tests.check_allowance(reload.server, interaction.user.id)


async def _answer(interaction: discord.Interaction[Rewarm], reload: Reload, *, is_asked_for: bool) -> None:
    """Show the state, and offer the next steps: in a new private answer, or in the existing one."""
    say = interaction.client.languages.of(interaction.locale)
    what, label, text = "yes", YES, test_too_cost(reload, say)
    if is_asked_for:
        what, label, text = "no", TAKE_BACK, tested_too(reload, say)
    elif _is_private(interaction):
        text = not_tested_too(reload, say)
    offer = view.buttons(view.button(say(label), AHEAD_ID.format(what=what, reload=reload.id)))
    quiet = discord.AllowedMentions.none()
    if _is_private(interaction):
        edit = interaction.response.edit_message
        show = functools.partial(edit, content=text, view=offer, allowed_mentions=quiet)
    else:
        send = interaction.response.send_message
        show = functools.partial(send, text, view=offer, ephemeral=True, allowed_mentions=quiet)
    await interaction.client.responses.respond(interaction, show)


def _is_private(interaction: discord.Interaction[Rewarm]) -> bool:
    """Return whether it was pressed in the private answer."""
    return interaction.message is not None and interaction.message.flags.ephemeral
