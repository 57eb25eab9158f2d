"""Private answers: what was refused and why, the key, trouble on our side."""

import math

from bot.errors import (
    AlreadyEnded,
    BadKey,
    BadModelId,
    Forgotten,
    KeyRefused,
    NoKey,
    NotAllowed,
    NotAllowedHere,
    NotAMember,
    NoTestNow,
    Refusal,
    Restarting,
    RightsUnknown,
    TooManyOpen,
)
from bot.words.common import Command

_KEY_TAIL = 4
_COPY_AGAIN = "Copy it again from your API account."


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
    NotAllowedHere: "This server does not let you use {reload} here. Ask a moderator.",
    RightsUnknown: "Discord did not say whether you may do this. Type {reload} instead.",
    Forgotten: "This reload is too old: the bot has forgotten it. {reload} starts a new one.",
    AlreadyEnded: "This reload has ended: see its reply. {reload} asks again.",
    NoTestNow: "No test image can be made here now: see the reply. {reload} asks again.",
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
            return _PLAIN_REFUSALS[type(error)].format(reload=command("reload"))


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


def help_page(command: Command, support_url: str, *, may_manage: bool) -> str:
    """What the bot does, and its commands."""
    lines = [
        "A model that nobody used for 7 days is removed from the inference server. Rewarm wakes it up:",
        f"{command('reload')} takes about 2 minutes, counts down, and pings you.",
        f"{command('models')} shows this server's models: which are warm, and for how long.",
    ]
    if may_manage:
        lines.append(f"{command('key set')} stores this server's API key, {command('key status')} shows it.")
    if support_url:
        lines.append(f"Questions: {support_url}")
    return "\n".join(lines)


KEY_TITLE = "API key of this server"
KEY_LABEL = "Key of Stable Diffusion API / ModelsLab"
KEY_HINT = "Stored encrypted; used only to check it and to reload models."


def key_tail(key: str) -> str:
    """At most the last 4 characters of a key, and none of a short one."""
    tail = key[-_KEY_TAIL:] if len(key) >= 4 * _KEY_TAIL else ""
    return tail.replace("`", "'")
