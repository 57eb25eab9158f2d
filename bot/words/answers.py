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
    TooManyWatched,
)
from bot.words.language import Language, n_

_KEY_TAIL = 4


def broken(ref: str, say: Language) -> str:
    """Something broke on our side."""
    return say("Something went wrong on our side (ref {ref}). Try again in a minute.", ref=ref)


def storage_trouble(ref: str, say: Language, *, of_reload: bool) -> str:
    """Storage failed: before anything was sent for a reload; with a key, who knows."""
    if of_reload:
        text = n_(
            "Our storage is in trouble (ref {ref}). Nothing was sent to the API. Try again in a minute."
        )
    else:
        text = n_(
            "Our storage is in trouble (ref {ref}). See what is stored with {key_status}. "
            "Try again in a minute."
        )
    return say(text, ref=ref)


def stale_command(say: Language) -> str:
    """Discord sent a command in a form that we no longer know."""
    return say("This command has just changed. Please type it once more.")


_PLAIN_REFUSALS: dict[type[Refusal], str] = {
    BadModelId: n_("That is not a model id. Ids look like `sdxl-turbo`; you find it on the model's page."),
    BadKey: n_(
        "That is not an API key: no spaces, at most 256 characters. Copy it again from your API account."
    ),
    KeyRefused: n_(
        "The API says that this key is invalid, so it was not stored. Copy it again from your API account."
    ),
    Restarting: n_("The bot is restarting. Nothing was sent to the API. Try again in a minute."),
    NotAllowed: n_("This needs the Manage Server permission. Ask a moderator."),
    NotAllowedHere: n_("This server does not let you use {reload} here. Ask a moderator."),
    RightsUnknown: n_("Discord did not say whether you may do this. Type {reload} instead."),
    Forgotten: n_("This reload is too old: the bot has forgotten it. {reload} starts a new one."),
    AlreadyEnded: n_("This reload has ended: see its reply. {reload} asks again."),
}


_NO_TEST = {
    "running": n_("A test image is being made already. It will show in the reply."),
    "yet": n_("This has only just ended. Try again in a minute."),
    "over": n_("No test image can be made of this reload any more. {reload} starts a new one."),
}


def refusal(error: Refusal, say: Language, *, may_manage: bool) -> str:
    """One sentence or two for something that the person can change."""
    match error:
        case NoKey() if may_manage:
            return say("This server has no API key. Store one with {key_set}; it is kept encrypted.")
        case NoKey():
            return say("This server has no API key. Ask a moderator to run `/key set`.")
        case TooManyOpen(whose="member"):
            most = say("You have {number} reloads running, the most at once.", number=error.limit)
            return f"{most} {_place(error, say)}"
        case TooManyOpen():
            most = say("This server has {number} reloads running, the most at once.", number=error.limit)
            return f"{most} {_place(error, say)}"
        case TooManyWatched():
            return say("This server watches {number} models, the most at once.", number=error.limit)
        case NoTestNow():
            return say(_NO_TEST[error.why])
        case NotAMember():
            return say(
                "Rewarm is not a member of this server, so it cannot ping anybody. "
                "[Invite it]({link}), then {key_set} again.",
                link=error.invitation,
            )
        case _:
            return say(_PLAIN_REFUSALS[type(error)])


def _place(error: TooManyOpen, say: Language) -> str:
    if error.free_at is None:
        return say("Wait until one of them ends.")
    return say("The next one ends {time}.", time=f"<t:{math.ceil(error.free_at)}:R>")


def key_stored(say: Language, *, checked: bool) -> str:
    """The key is stored."""
    if checked:
        return say(
            "The key works and is stored, encrypted. Members can reload models now, and make test images, "
            "which cost a generation each."
        )
    return say(
        "The key is stored, encrypted. The API could not say whether it works; the first reload will tell."
    )


def key_status(by_name: str, at: float, tail: str, say: Language) -> str:
    """Who set the key and when; `by_name` must be escaped already."""
    time = f"<t:{round(at)}:f>"
    who = say("This server has an API key, set by {person} on {time}.", person=by_name, time=time)
    ends = " " + say("It ends in {tail}.", tail=f"`{tail}`") if tail else ""
    more = say("{key_set} replaces it, {key_remove} deletes it.")
    return f"{who}{ends} {more}"


def key_unreadable(say: Language) -> str:
    """A key is stored, and does not open."""
    return say("The stored API key cannot be opened. Store it again with {key_set}.")


def no_key(say: Language) -> str:
    """There is no key, said to somebody who may set one."""
    return say("This server has no API key. Store one with {key_set}.")


def key_removed(say: Language, *, existed: bool) -> str:
    """The key is gone."""
    if existed:
        return say("The API key is deleted. What is counting goes on; new reloads need a new key.")
    return say("This server has no API key; nothing to delete.")


def help_page(say: Language, support_url: str, *, may_manage: bool) -> str:
    """What the bot does, and its commands."""
    lines = [
        say("A model that nobody used for 7 days is removed from the inference server. Rewarm wakes it up:"),
        say("{reload} takes about 2 minutes, counts down, and pings who wants it."),
        say("Its buttons: be pinged or not; once it is ready, a test image (costs one generation) or again."),
        say("{models} shows this server's models: which are warm, and for how long."),
    ]
    if may_manage:
        lines.append(say("{key_set} stores this server's API key, {key_status} says who set it."))
        lines.append(say("{settings} is about pings, the language, and where cold models are announced."))
    if support_url:
        lines.append(say("Questions: {link}", link=support_url))
    return "\n".join(lines)


KEY_TITLE = n_("API key of this server")
KEY_LABEL = n_("Key of Stable Diffusion API / ModelsLab")
KEY_HINT = n_("For reloads, and members' test images, which cost credits. Stored encrypted.")


def key_tail(key: str) -> str:
    """At most the last 4 characters of a key, and none of a short one."""
    tail = key[-_KEY_TAIL:] if len(key) >= 4 * _KEY_TAIL else ""
    return tail.replace("`", "'")
