"""The buttons of a reply, the answers to pressing them, and the form of the test image."""

from bot.domain.reload import Reload
from bot.words.common import span
from bot.words.language import Language, n_


def notified_text(reload: Reload, now: float, say: Language) -> str:
    """The private answer to *Notify me*."""
    model = f"`{reload.model}`"
    if (left := reload.left(now)) is None:
        return say("You will be pinged when {model} is done.", model=model)
    about = span(left, say)
    return say("You will be pinged when {model} is done, in about {span}.", model=model, span=about)


def not_notified_text(reload: Reload, say: Language) -> str:
    """The private answer to *Don't notify me*."""
    return say("You will not be pinged for {model}.", model=f"`{reload.model}`")


NOTIFY, DO_NOT_NOTIFY = n_("Notify me"), n_("Don't notify me")
TEST_TOO, YES, TAKE_BACK = n_("Test it too"), n_("Yes, test it"), n_("Take it back")
RELOAD_AGAIN, TEST_IMAGE = n_("Reload again"), n_("Test image")
"""The labels of a reply's buttons."""
TEST_TITLE = n_("Test image")
TEST_ALT = n_("Test image of {model}")
TEST_LABEL = n_("Prompt")
TEST_PROMPT = "a red apple on a wooden table, soft light"
"""English in every language, because it is sent to the model."""


def test_cost(reload: Reload, say: Language) -> str:
    """The first text in the form of a test image."""
    return say(
        "Makes one picture with {model} and shows it in the reply, to everybody here. "
        "It **costs one generation** of this server's API account.",
        model=f"`{reload.model}`",
    )


def test_too_cost(reload: Reload, say: Language) -> str:
    """The private answer to *Test it too*, which asks once more."""
    return say(
        "When the countdown ends, makes one picture with {model} and shows it in the reply, "
        "to everybody here. It **costs one generation** of this server's API account.",
        model=f"`{reload.model}`",
    )


def tested_too(reload: Reload, say: Language) -> str:
    """The private answer to a *Yes*."""
    return say(
        "{model} makes a test image when the countdown ends, and you are pinged with what came of it. "
        "Until then you can take it back.",
        model=f"`{reload.model}`",
    )


def not_tested_too(reload: Reload, say: Language) -> str:
    """The private answer to *Take it back*."""
    return say("{model} makes no test image.", model=f"`{reload.model}`")
