"""The buttons of a reply, the answers to pressing them, and the form of the test image."""

from bot.domain.reload import Reload
from bot.words.common import span
from bot.words.language import Language, n_


def notified_text(reload: Reload, now: float, say: Language) -> str:
    """The private answer to *Notify me*."""
    model = f"`{reload.model}`"
    if (left := reload.left(now)) is None:
        return say("You'll be pinged when {model} is ready.", model=model)
    about = span(left, say)
    return say("You'll be pinged when {model} is ready, in about {span}.", model=model, span=about)


def not_notified_text(reload: Reload, user: int, say: Language) -> str:
    """The private answer to *Don't notify me*; a test image that they requested still pings them."""
    model, tester = f"`{reload.model}`", reload.tested_ahead_by
    if tester is not None and tester.user == user:
        return say("You'll only be pinged about the test image you requested with {model}.", model=model)
    return say("You won't be pinged about {model}.", model=model)


NOTIFY, DO_NOT_NOTIFY = n_("Notify me"), n_("Don't notify me")
TEST_TOO, YES, TAKE_BACK = n_("Test it too"), n_("Yes, test it"), n_("Cancel the test")
RELOAD_AGAIN, TEST_IMAGE = n_("Reload again"), n_("Test image")
"""Labels of buttons: of a reply, and of the answers to them."""
TEST_TITLE = n_("Test image")
TEST_ALT = n_("Test image made with {model}")
TEST_LABEL = n_("Prompt")
TEST_PROMPT = "a red apple on a wooden table, soft light"
"""English in every language, because it is sent to the model."""


def test_cost(reload: Reload, say: Language) -> str:
    """The first text in the form of a test image."""
    return say(
        "This makes one picture with {model} and shows it to everyone here, in the reply. It **uses "
        "one generation** from this server's API account.",
        model=f"`{reload.model}`",
    )


def test_too_cost(reload: Reload, say: Language) -> str:
    """The private answer to *Test it too*, which asks once more."""
    return say(
        "When the countdown ends, this makes one picture with {model} and shows it to everyone here, "
        "in the reply. It **uses one generation** from this server's API account.",
        model=f"`{reload.model}`",
    )


def tested_too(reload: Reload, say: Language) -> str:
    """The private answer to *Yes, test it*."""
    return say(
        "{model} will make a test image when the countdown ends, and you'll be pinged with the "
        "result. You can cancel it until then.",
        model=f"`{reload.model}`",
    )


def not_tested_too(reload: Reload, say: Language) -> str:
    """The private answer to *Cancel the test*."""
    return say("{model} won't make a test image.", model=f"`{reload.model}`")
