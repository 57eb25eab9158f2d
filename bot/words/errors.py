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
    NoModelPage: n_("That is a list, or another page: open one model and paste its link."),
    BadKey: n_(
        "That is not an API key: no spaces, at most 256 characters. Copy it again from your API account, "
        "then {key_set}."
    ),
    KeyRefused: n_(
        "The API says that this key is invalid, so it was not stored. Copy it again from your API account, "
        "then {key_set}."
    ),
    Restarting: n_("The bot is restarting. Nothing was sent to the API. Try again in a minute."),
    NotAllowed: n_("This needs the Manage Server permission. Ask a moderator."),
    NotAllowedHere: n_("This server does not let you use {reload} here. Ask a moderator."),
    PermissionsUnknown: n_("Discord did not say whether you may do this. Type {reload} instead."),
    MayNotWrite: n_("You may not send messages in this channel. Press *Watch* in one where you may."),
    Forgotten: n_("This reload is too old: the bot has forgotten it. {reload} starts a new one."),
    OneChannelForBoth: n_(
        "Members read the channel for watched models, so moderators need another one. Nothing was changed."
    ),
    AlreadyEnded: n_("This reload has ended: see its reply. {reload} asks again."),
}


_NO_TEST = {
    "running": n_("A test image is being made already. It will show in the reply."),
    "asked": n_("Somebody has asked for a test image of this already. It will show in the reply."),
    "yet": n_("This has only just ended. Try again in a minute."),
    "over": n_("No test image can be made of this reload any more. {reload} starts a new one."),
}


def refusal(error: Refusal, say: Language, *, may_manage: bool) -> str:
    """One or two sentences about something that the person can change."""
    match error:
        case NoKey() if may_manage:
            return say("This server has no API key. Store one with {key_set}; it is kept encrypted.")
        case NoKey():
            return say("This server has no API key. Ask a moderator to run `/key set`.")
        case TooManyOpen() | TooManyCalls() | TooManyWatched() | TooManyWatchers() | NoTestsLeft():
            return _too_many(error, say)
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


def _too_many(
    error: TooManyOpen | TooManyCalls | TooManyWatched | TooManyWatchers | NoTestsLeft, say: Language
) -> str:
    match error:
        case TooManyOpen(whose="member"):
            most = say("You have {number} reloads running, the most at once.", number=error.limit)
            return f"{most} {_place(error, say)}"
        case TooManyOpen():
            most = say("This server has {number} reloads running, the most at once.", number=error.limit)
            return f"{most} {_place(error, say)}"
        case TooManyCalls():
            return say(
                "You have made {number} requests to the API within a minute, the most for one member. "
                "It works again {time}.",
                number=error.limit,
                time=_relative(error.again_at),
            )
        case TooManyWatched():
            return say("This server watches {number} models, the most at once.", number=error.limit)
        case TooManyWatchers():
            return say("{number} people watch this model, the most at once.", number=error.limit)
        case NoTestsLeft(limit=0):
            return say(
                "In this server nobody can have test images made. Moderators choose that in {settings}."
            )
        case NoTestsLeft():
            most = say.count(
                "You had {number} test image made in 24 hours, the most in this server.",
                "You had {number} test images made in 24 hours, the most in this server.",
                error.limit,
            )
            then = say("The next one is possible {time}.", time=_relative(error.free_at or 0.0))
            return f"{most} {then}"


def _place(error: TooManyOpen, say: Language) -> str:
    if error.free_at is None:
        return say("Wait until one of them ends.")
    return say("The next one ends {time}.", time=_relative(error.free_at))


def _relative(moment: float) -> str:
    return f"<t:{math.ceil(moment)}:R>"
