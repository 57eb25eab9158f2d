"""A reload, told: its reply, its ping, and what a second asker hears."""

import math
import re

from bot.reload import Ending, ImageTest, Outcome, Ping, Reload, State, time_left
from bot.words.common import Command, message_link, span

REPLY_CHARACTERS = 300
_BAR_CELLS = 8
"""So that bar and "1 min 45 s left" share a line on a phone."""
_NAMED_ASKERS = 3
_HALF_A_DAY = 43200


def _promise(reload: Reload) -> str:
    """The promised time and its verb: "2 minutes", "have passed"."""
    seconds = round(reload.seconds)
    minutes, rest = divmod(seconds, 60)
    length = (
        span(seconds) if rest or minutes >= 60 else f"{minutes} {'minute' if minutes == 1 else 'minutes'}"
    )
    return f"{length} {'has' if re.fullmatch('1 [a-z]+', length) else 'have'} passed"


def state_word(reload: Reload) -> str:
    """The first word of a reply."""
    if reload.ending is not None:
        return reload.ending.capitalize()
    return "Waiting" if reload.state is State.ASKED else "Reloading"


def reply(reload: Reload, now: float, command: Command) -> str:
    """The text of a reload's reply at `now`: at most 300 characters, state and model first."""
    head = f"**{state_word(reload)}** `{reload.model}`"
    body = _body(reload, now, command)
    for named in range(min(_NAMED_ASKERS, len(reload.askers)), -1, -1):
        text = f"{head}\n{body}{_asked_by(reload, named)}"
        if len(text) <= REPLY_CHARACTERS:
            break
    return text


def _body(reload: Reload, now: float, command: Command) -> str:
    if reload.ending is not None:
        return _ending(reload, now, command)
    if reload.state is State.COUNTING and reload.deadline is not None:
        left = time_left(reload.deadline, now)
        done = math.floor(_BAR_CELLS * (1 - min(1.0, left / reload.seconds)))
        bar = "▰" * done + "▱" * (_BAR_CELLS - done)
        return f"{bar} {span(left)} left\nReady at <t:{round(reload.deadline)}:t>"
    if reload.state is State.ASKED and reload.not_before is not None:
        why = "The API asks to wait." if reload.waits else "This model was asked for moments ago."
        return f"{why} Starts in {span(time_left(reload.not_before, now))}"
    return "Asking the API"


def _asked_by(reload: Reload, named: int) -> str:
    people = list(dict.fromkeys(asker.user for asker in reload.askers))
    names = ", ".join(f"<@{user}>" for user in people[:named])
    rest = len(people) - len(people[:named])
    if not names:
        return ""
    return f"\nAsked by {names}{f' and {rest} more' if rest else ''}"


def _ending(reload: Reload, now: float, command: Command) -> str:
    if reload.ending is Ending.CONFIRMED and reload.test is not None:
        return f"It made this test image <t:{round(reload.test.at)}:R>, for <@{reload.test.by.user}>."
    if reload.ending is Ending.READY:
        more = _late(reload, now) if reload.test is None else _test(reload.test)
        return f"The promised {_promise(reload)}; not confirmed.{more}"
    if reload.ending is Ending.UNKNOWN:
        return f"{_unknown(reload)} It may be reloading. {command('reload')} asks again."
    return _failed(reload, command)


def _test(test: ImageTest) -> str:
    """How a test image stands that has not confirmed the model."""
    if test.outcome is None:
        return f"\nA test image is being made for <@{test.by.user}>."
    answered = f"the model answered `{test.said}`" if test.said else "the model refused"
    sentences = {
        Outcome.REFUSED: f"{answered}. It may still be loading.",
        Outcome.VENDOR_TROUBLE: "the API reports trouble. The model may still be loading.",
        Outcome.UNKNOWN_MODEL: "the API does not find the model. It may still be loading.",
        Outcome.TOOK_TOO_LONG: "no picture after 3 minutes. The model may still be loading.",
        Outcome.NO_PICTURE: "the API says that it is made, but it could not be shown.",
        Outcome.NO_USABLE_ANSWER: "no clear answer. It may have cost a generation.",
        Outcome.INTERRUPTED: "the bot was interrupted. It may have cost a generation.",
        Outcome.NO_CONNECTION: "the API could not be reached; nothing was sent.",
        Outcome.WRONG_KEY: "the API does not accept this server's key.",
        Outcome.NO_CREDITS: "the API account is out of credits.",
        Outcome.PLAN_TOO_SMALL: "the API plan does not include it.",
        Outcome.SLOW_DOWN: "the API asks to slow down. Try again in a minute.",
        Outcome.KEY_GONE: "this server has no usable API key any more.",
        Outcome.NOT_SENT: "Discord was too slow, so nothing was sent. Press once more.",
        Outcome.STORAGE: "our storage is in trouble; nothing was sent.",
    }
    return f"\nTest image: {sentences[test.outcome]}"


def _late(reload: Reload, now: float) -> str:
    due = (
        f" This comes late: it was due <t:{round(reload.deadline)}:R>." if reload.deadline is not None else ""
    )
    return due if reload.is_late(now) else ""


def _unknown(reload: Reload) -> str:
    if reload.ref and reload.outcome is not Outcome.STORAGE:
        return f"Something went wrong on our side (ref {reload.ref})."
    if reload.outcome is Outcome.INTERRUPTED:
        return "The bot was restarted in the middle of the call."
    return "The request went out, but no clear answer came back."


def _failed(reload: Reload, command: Command) -> str:
    again = command("reload")
    at = _again_at(reload)
    said = f": `{reload.said}`" if reload.said else ""
    nothing = "nothing was sent to the API" if reload.called_at is None else "nothing was reloaded"
    if reload.ref and reload.outcome is not Outcome.STORAGE:
        return f"Something went wrong on our side (ref {reload.ref}), so {nothing}. Try again in a minute."
    sentences = {
        Outcome.WRONG_KEY: "The API does not accept this server's key. "
        f"A moderator can store a new one with {command('key set')}.",
        Outcome.UNKNOWN_MODEL: "The API does not know this model. "
        f"Check the id on the models page, then {again} again.",
        Outcome.NO_CREDITS: "The API account of this server is out of credits. "
        f"Whoever owns the key can top it up, then {again} again.",
        Outcome.PLAN_TOO_SMALL: "This server's API plan does not include this. Ask whoever owns the key.",
        Outcome.SLOW_DOWN: f"The API asks to slow down. {again} works again {at}.",
        Outcome.REFUSED: f"The API refused{said}. Mend that or ask a moderator, then {again} again."
        if said
        else f"The API refused and gave no reason. {again} again later, or ask a moderator.",
        Outcome.VENDOR_TROUBLE: f"The API reports trouble on its side. {again} again in a minute.",
        Outcome.NO_CONNECTION: f"The API could not be reached, so {nothing}. {again} again in a minute.",
        Outcome.NOT_SENT: f"The bot was interrupted, so {nothing}. {again} asks again.",
        Outcome.KEY_GONE: f"This server has no usable API key any more, so {nothing}. "
        f"A moderator can store one with {command('key set')}.",
        Outcome.STORAGE: f"Our storage is in trouble (ref {reload.ref}), so {nothing}. "
        f"{again} again in a minute.",
    }
    return sentences[reload.outcome or Outcome.NOT_SENT]


def _again_at(reload: Reload) -> str:
    if reload.again_at is None:
        return "in a minute"
    moment = math.ceil(reload.again_at)
    soon = moment - (reload.ended_at or moment) < _HALF_A_DAY
    return f"at <t:{moment}:T>" if soon else f"<t:{moment}:R>"


def ping(reload: Reload, ping: Ping, now: float, command: Command, *, alone: bool) -> str:
    """The new message that mentions those who asked; plain text, as phones show only that.

    `alone`: the reply could not be edited, so the ping carries the whole ending.
    """
    people = "".join(f"<@{user}> " for user in ping.users)
    if alone:
        return f"{people}**{state_word(reload)}** `{reload.model}`\n{_ending(reload, now, command)}"
    late = ", told late" if reload.is_late(now) else ""
    text = {
        Ending.READY: f"should be ready ({_promise(reload)}, not tested{late}).",
        Ending.FAILED: "was not reloaded: see the reply.",
        Ending.UNKNOWN: "may or may not be reloading: see the reply.",
    }[reload.ending or Ending.UNKNOWN]
    here = ping.channel == reload.owner.channel
    link = "" if here else f" {message_link(reload.server, reload.owner.channel, reload.message)}"
    return f"{people}`{reload.model}` {text}{link}"


def joined(reload: Reload, now: float, *, anew: bool) -> str:
    """The private answer to somebody who joined a reload that runs, or who had asked already."""
    left = f": {span(time_left(reload.deadline, now))} left" if reload.deadline is not None else ""
    link = message_link(reload.server, reload.owner.channel, reload.message)
    state = "asked for" if reload.state is State.ASKED else "reloading"
    then = " You will be pinged too." if anew else ""
    return f"`{reload.model}` is already {state}{left}.{then}\n{link}"


def notified(reload: Reload, now: float) -> str:
    """The private answer to *Notify me*."""
    left = f" in about {span(time_left(reload.deadline, now))}" if reload.deadline is not None else ""
    return f"You will be pinged when `{reload.model}` is done{left}."


def not_notified(reload: Reload) -> str:
    """The private answer to *Don't notify me*."""
    return f"You will not be pinged for `{reload.model}`."


NOTIFY, DO_NOT_NOTIFY, RELOAD_AGAIN, TEST_IMAGE = "Notify me", "Don't notify me", "Reload again", "Test image"
"""What stands on the buttons of a reply."""
TEST_TITLE = "Test image"
TEST_COST = "This makes one picture with the model. It **costs one generation** of this server's API account."
TEST_LABEL = "What is to be in the picture"
TEST_PROMPT = "a red apple on a wooden table, soft light"
