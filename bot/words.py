"""Pure: every sentence that a person reads, by state, outcome and error.

`Command` turns a command's name into something tappable. Model ids and the API's own words stand in code
spans: there they cannot ping, format or link, and neither can hold a backtick.
"""

import math
import re
from collections.abc import Callable

from bot.errors import (
    BadKey,
    BadModelId,
    KeyRefused,
    NoKey,
    NotAllowed,
    NotAMember,
    Refusal,
    Restarting,
    TooManyOpen,
)
from bot.reload import Ending, Outcome, Ping, Reload, State, time_left

Command = Callable[[str], str]
"""From a command's full name ("key set") to its mention."""

REPLY_CHARACTERS = 300
_BAR_CELLS = 8
"""So that bar and "1 min 45 s left" share a line on a phone."""
_NAMED_ASKERS = 3
_KEY_TAIL = 4
_HALF_A_DAY = 43200
_COPY_AGAIN = "Copy it again from your API account."


def span(seconds: float) -> str:
    """A length of time, in full seconds: "45 s", "1 min 45 s", "2 h 5 min"."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    parts = [(hours, "h"), (minutes, "min"), (rest if not hours else 0, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


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
    if reload.ending is Ending.READY:
        return f"The promised {_promise(reload)}; not confirmed.{_late(reload, now)}"
    if reload.ending is Ending.UNKNOWN:
        return f"{_unknown(reload)} It may be reloading. {command('reload')} asks again."
    return _failed(reload, command)


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


def message_link(server: int, channel: int, message: int | None) -> str:
    """A link to a message, or to its channel where the message is not known."""
    place = f"https://discord.com/channels/{server}/{channel}"
    return place if message is None else f"{place}/{message}"


def ping(reload: Reload, ping: Ping, now: float, command: Command, *, alone: bool) -> str:
    """The new message that mentions those who asked; plain text, as phones show only that.

    `alone`: the reply could not be edited, so the ping carries the whole ending.
    """
    people = " ".join(f"<@{user}>" for user in ping.users)
    if alone:
        return f"{people} **{state_word(reload)}** `{reload.model}`\n{_ending(reload, now, command)}"
    late = ", told late" if reload.is_late(now) else ""
    text = {
        Ending.READY: f"should be ready ({_promise(reload)}, not tested{late}).",
        Ending.FAILED: "was not reloaded: see the reply.",
        Ending.UNKNOWN: "may or may not be reloading: see the reply.",
    }[reload.ending or Ending.UNKNOWN]
    here = ping.channel == reload.owner.channel
    link = "" if here else f" {message_link(reload.server, reload.owner.channel, reload.message)}"
    return f"{people} `{reload.model}` {text}{link}"


def joined(reload: Reload, now: float, *, anew: bool) -> str:
    """The private answer to somebody who joined a reload that runs, or who had asked already."""
    left = f": {span(time_left(reload.deadline, now))} left" if reload.deadline is not None else ""
    link = message_link(reload.server, reload.owner.channel, reload.message)
    state = "asked for" if reload.state is State.ASKED else "reloading"
    then = " You will be pinged too." if anew else ""
    return f"`{reload.model}` is already {state}{left}.{then}\n{link}"


def broken(ref: str) -> str:
    """Something broke on our side."""
    return f"Something went wrong on our side (ref {ref}). Try again in a minute."


def storage_trouble(ref: str, command: Command, *, of_reload: bool) -> str:
    """Storage failed: before anything was sent for a reload; with a key, who knows."""
    nothing = (
        "Nothing was sent to the API" if of_reload else f"See what is stored with {command('key status')}"
    )
    return f"Our storage is in trouble (ref {ref}). {nothing}. Try again in a minute."


def stale_command() -> str:
    """Discord sent a command in a form that we no longer know."""
    return "This command has just changed. Please type it once more."


_PLAIN_REFUSALS: dict[type[Refusal], str] = {
    BadModelId: "That is not a model id. Ids look like `sdxl-turbo`; you find it on the model's page.",
    BadKey: f"That is not an API key: no spaces, at most 256 characters. {_COPY_AGAIN}",
    KeyRefused: f"The API says that this key is invalid, so it was not stored. {_COPY_AGAIN}",
    Restarting: "The bot is restarting. Nothing was sent to the API. Try again in a minute.",
    NotAllowed: "This needs the Manage Server permission. Ask a moderator.",
}


def refusal(error: Refusal, command: Command, *, may_manage: bool) -> str:
    """One sentence or two for something that the person can change."""
    match error:
        case NoKey() if may_manage:
            set_key = command("key set")
            return f"This server has no API key yet. Store it with {set_key}; it is kept encrypted."
        case NoKey():
            return f"This server has no API key yet. Ask a moderator to run {command('key set')}."
        case TooManyOpen(whose="member"):
            return f"You have {error.limit} reloads running, the most at once. {_place(error)}"
        case TooManyOpen():
            return f"This server has {error.limit} reloads running, the most at once. {_place(error)}"
        case NotAMember():
            again = f"[Invite it]({error.invitation}), then {command('key set')} again."
            return f"Rewarm is not a member of this server, so it cannot ping anybody. {again}"
        case _:
            return _PLAIN_REFUSALS[type(error)]


def _place(error: TooManyOpen) -> str:
    if error.free_at is None:
        return "Wait until one of them ends."
    return f"The next one ends <t:{math.ceil(error.free_at)}:R>."


def key_stored(*, checked: bool) -> str:
    """The key is stored."""
    if checked:
        return "The key works and is stored, encrypted. Members can reload models now."
    return "The key is stored, encrypted. The API could not say whether it works; the first reload will tell."


def key_status(by_name: str, at: float, tail: str, command: Command) -> str:
    """Who set the key and when; `by_name` must be escaped already."""
    ends = f" It ends in `{tail}`." if tail else ""
    return (
        f"This server has an API key, set by {by_name} on <t:{round(at)}:f>.{ends} "
        f"{command('key set')} replaces it, {command('key remove')} deletes it."
    )


def key_unreadable(command: Command) -> str:
    """A key is stored, and does not open."""
    return f"The stored API key cannot be opened. Store it again with {command('key set')}."


def no_key(command: Command) -> str:
    """There is no key, said to somebody who may set one."""
    return f"This server has no API key. Store one with {command('key set')}."


def key_removed(*, existed: bool) -> str:
    """The key is gone."""
    return "The API key is deleted." if existed else "This server has no API key; nothing to delete."


KEY_TITLE = "API key of this server"
KEY_LABEL = "Key of Stable Diffusion API / ModelsLab"
KEY_HINT = "Stored encrypted; used only to check it and to reload models."


def key_tail(key: str) -> str:
    """At most the last 4 characters of a key, and none of a short one."""
    tail = key[-_KEY_TAIL:] if len(key) >= 4 * _KEY_TAIL else ""
    return tail.replace("`", "'")
