"""Private answers to what can't be done: what was refused and why, or trouble on our side."""

import math

from bot.domain.errors import (
    AlreadyEnded,
    BadKey,
    BadModelId,
    Forgotten,
    KeyRefused,
    MayNotWrite,
    NoKey,
    NoModelPage,
    NotAllowed,
    NotAllowedHere,
    NotAMember,
    NoTestNow,
    NoTestsLeft,
    OneChannelForBoth,
    PermissionsUnknown,
    Refusal,
    Restarting,
    TooManyCalls,
    TooManyOpen,
    TooManyWatched,
    TooManyWatchers,
)
from bot.words.language import Language, n_


def broken(ref: str, say: Language) -> str:
    """Something broke on our side."""
    return say("Something went wrong on our side (ref {ref}). Try again in a minute.", ref=ref)


def storage_trouble(ref: str, say: Language, *, of_reload: bool) -> str:
    """Storage failed: before anything was sent, for a reload; with a key, that is unclear."""
    if of_reload:
        text = n_(
            "Something is wrong with our storage (ref {ref}). Nothing was sent to the API. Try again in a "
            "minute."
        )
    else:
        text = n_(
            "Something is wrong with our storage (ref {ref}). Check what is stored with {key_status}, "
            "then try again in a minute."
        )
    return say(text, ref=ref)


def stale_command(say: Language) -> str:
    """Discord sent a command in a form that we no longer know."""
    return say("This command has just been updated. Please type it again.")


_PLAIN_REFUSALS: dict[type[Refusal], str] = {
    BadModelId: n_(
        "That isn't a model ID. IDs look like `sdxl-turbo`. You'll find it on the model's page; a "
        "link to that page works, too."
    ),
    NoModelPage: n_("That's a list or some other page. Open a single model and paste its link."),
    BadKey: n_(
        "That doesn't look like an API key (no spaces, at most 256 characters). Copy it again from "
        "your API account, then use {key_set}."
    ),
    KeyRefused: n_(
        "The API says this key is invalid, so it wasn't stored. Copy it again from your API account, "
        "then use {key_set}."
    ),
    Restarting: n_("The bot is restarting. Nothing was sent to the API. Try again in a minute."),
    NotAllowed: n_("You need the Manage Server permission for this. Ask a moderator."),
    NotAllowedHere: n_("You're not allowed to use {reload} here. Ask a moderator."),
    PermissionsUnknown: n_("Discord didn't tell us whether you're allowed to do this. Use {reload} instead."),
    MayNotWrite: n_(
        "You're not allowed to send messages in this channel. Press *Watch* in a channel where you can."
    ),
    Forgotten: n_("This reload is too old; the bot no longer remembers it. Use {reload} to start a new one."),
    OneChannelForBoth: n_(
        "Members can read the channel for watched models, so choose a different one for moderators. "
        "Nothing was changed."
    ),
    AlreadyEnded: n_("This reload is over; see its reply. Use {reload} to start again."),
}


_NO_TEST = {
    "running": n_("A test image is already being made. It will appear in the reply."),
    "asked": n_(
        "A test image has already been requested for the end of the countdown. It will appear in the reply."
    ),
    "yet": n_("This reload has only just finished. Try again in a minute."),
    "over": n_("It's too late to make a test image for this reload. Use {reload} to start a new one."),
}


def refusal(error: Refusal, say: Language, *, may_manage: bool) -> str:
    """One or two sentences about something that the person can change."""
    match error:
        case NoKey() if may_manage:
            return say("This server has no API key yet. Set one with {key_set}; it will be stored encrypted.")
        case NoKey():
            return say("This server has no API key yet. Ask a moderator to run `/key set`.")
        case TooManyOpen() | TooManyCalls() | TooManyWatched() | TooManyWatchers() | NoTestsLeft():
            return _too_many(error, say)
        case NoTestNow():
            return say(_NO_TEST[error.why])
        case NotAMember():
            return say(
                "Rewarm isn't a member of this server, so it can't ping anyone. [Invite it]({link}), then "
                "use {key_set} again.",
                link=error.invitation,
            )
        case _:
            return say(_PLAIN_REFUSALS[type(error)])


def _too_many(
    error: TooManyOpen | TooManyCalls | TooManyWatched | TooManyWatchers | NoTestsLeft, say: Language
) -> str:
    match error:
        case TooManyOpen(whose="member"):
            most = say("You already have {number} reloads running, which is the limit.", number=error.limit)
            return f"{most} {_place(error, say)}"
        case TooManyOpen():
            most = say(
                "This server already has {number} reloads running, which is the limit.", number=error.limit
            )
            return f"{most} {_place(error, say)}"
        case TooManyCalls():
            return say(
                "You've made {number} API requests within a minute, which is the limit per member. You can "
                "make the next one {time}.",
                number=error.limit,
                time=_relative(error.again_at),
            )
        case TooManyWatched():
            return say(
                "This server is already watching {number} models, which is the limit.", number=error.limit
            )
        case TooManyWatchers():
            return say(
                "{number} people are already watching this model, which is the limit.", number=error.limit
            )
        case NoTestsLeft(limit=0):
            return say("Test images are turned off in this server. Moderators can change that in {settings}.")
        case NoTestsLeft():
            most = say.count(
                "You've made {number} test image in the last 24 hours, which is the limit in this server.",
                "You've made {number} test images in the last 24 hours, which is the limit in this server.",
                error.limit,
            )
            then = say("You can make the next one {time}.", time=_relative(error.free_at or 0.0))
            return f"{most} {then}"


def _place(error: TooManyOpen, say: Language) -> str:
    if error.free_at is None:
        return say("Wait for one of them to finish.")
    return say("The next one finishes {time}.", time=_relative(error.free_at))


def _relative(moment: float) -> str:
    return f"<t:{math.ceil(moment)}:R>"
