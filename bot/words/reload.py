"""A reload in words: its reply, its ping, its test image, and the answer to a second asker."""

import math

from bot.domain.reload import WARM_AGE, Ending, ImageTest, Outcome, Ping, Reload, State, time_left
from bot.words.common import mentions, message_link, pushed_id, span
from bot.words.language import Language, n_

REPLY_CHARACTERS = 300
_BAR_CELLS = 8
"""Cells of the bar, so that it and "1 min 45 s left" share a line on a phone."""
_NAMED_ASKERS = 3
_HALF_A_DAY = 43200
_STATES = {
    None: n_("Reloading"),
    Ending.READY: n_("Ready"),
    Ending.CONFIRMED: n_("Confirmed"),
    Ending.FAILED: n_("Failed"),
    Ending.UNKNOWN: n_("Unclear"),
}


def _whole_minutes(reload: Reload) -> int | None:
    """The promised time, if it is a whole number of minutes that reads well."""
    minutes, rest = divmod(round(reload.seconds), 60)
    return minutes if not rest and minutes < 60 else None


def state_word(reload: Reload, say: Language) -> str:
    """The first word of a reply."""
    if reload.ending is None and reload.state is State.ASKED:
        return say("Waiting")
    return say(_STATES[reload.ending])


def reply_text(reload: Reload, now: float, say: Language) -> str:
    """The text of a reload's reply at `now`: at most 300 characters, state and model first."""
    word = _warmth_word(reload, now, say) if reload.is_old_ready else state_word(reload, say)
    head = f"**{word}** `{reload.model}`"
    body = _body(reload, now, say)
    for named in range(min(_NAMED_ASKERS, len(reload.askers)), -1, -1):
        text = f"{head}\n{body}{_asked_by(reload, named, say)}"
        if len(text) <= REPLY_CHARACTERS:
            break
    return text


def _warmth_word(reload: Reload, now: float, say: Language) -> str:
    """The word for a Ready of last week, which says nothing about today."""
    return say("Warm") if now - (reload.used_at or 0.0) < WARM_AGE else say("Cold")


def _body(reload: Reload, now: float, say: Language) -> str:
    if reload.ending is not None:
        return _ending(reload, now, say)
    if reload.state is State.COUNTING and reload.deadline is not None:
        left = time_left(reload.deadline, now)
        done = math.floor(_BAR_CELLS * (1 - min(1.0, left / reload.seconds)))
        bar = "▰" * done + "▱" * (_BAR_CELLS - done)
        ready = say("Expected at {time}", time=f"<t:{round(reload.deadline)}:t>")
        return say("{bar} {span} left", bar=bar, span=span(left, say)) + f"\n{ready}"
    if reload.outcome is Outcome.NO_PLACE and reload.not_before is not None:
        by = f"<t:{math.ceil(reload.not_before)}:T>"
        return say(
            "Many requests are waiting for the API. This one will wait until {time} at the latest.", time=by
        )
    if reload.state is State.ASKED and reload.not_before is not None:
        wait = span(time_left(reload.not_before, now), say)
        if reload.waits:
            return say("The API asked us to wait. Starting in {span}.", span=wait)
        return say("This model was requested a moment ago. Starting in {span}.", span=wait)
    return say("Asking the API …")


def named_in(reload: Reload) -> list[int]:
    """The people its reply may mention."""
    tested = [reload.test.by.user] if reload.test is not None else []
    return list(dict.fromkeys(_people(reload)[:_NAMED_ASKERS] + tested))


def _people(reload: Reload) -> list[int]:
    return list(dict.fromkeys(asker.user for asker in reload.askers))


def _asked_by(reload: Reload, named: int, say: Language) -> str:
    people = _people(reload)
    names = ", ".join(f"<@{user}>" for user in people[:named])
    rest = len(people) - len(people[:named])
    if not names:
        return ""
    if not rest:
        return "\n" + say("Requested by {people}", people=names)
    return "\n" + say("Requested by {people} and {number} more", people=names, number=rest)


def _ending(reload: Reload, now: float, say: Language) -> str:
    if reload.ending is Ending.CONFIRMED and reload.test is not None:
        at, who = f"<t:{round(reload.test.at)}:R>", f"<@{reload.test.by.user}>"
        return say("Test image made {time} for {person}.", time=at, person=who)
    if reload.ending is Ending.READY:
        more = _late(reload, now, say) if reload.test is None else _test(reload.test, say)
        if not reload.is_old_ready:
            return _passed(reload, say) + more
        text = n_("Last used {time}, as far as the bot knows. Models go cold 7 days after their last use.")
        return say(text, time=f"<t:{round(reload.used_at or 0.0)}:R>") + more
    if reload.ending is Ending.UNKNOWN:
        maybe = say("The model may be reloading. Use {reload} to ask again.")
        return f"{_unknown(reload, say)} {maybe}"
    return _failed(reload, say)


def _passed(reload: Reload, say: Language) -> str:
    minutes = _whole_minutes(reload)
    if minutes is None:
        up = say("The promised time ({span}) is up.", span=span(reload.seconds, say))
    else:
        up = say.count(
            "The promised {number} minute is up.", "The promised {number} minutes are up.", minutes
        )
    return up if reload.test is not None else up + " " + say("Not confirmed yet.")


def _test(test: ImageTest, say: Language) -> str:
    """The state of a test image that has not confirmed the model."""
    if test.outcome is None:
        making = say("Making a test image for {person} …", person=f"<@{test.by.user}>")
        return f"\n{making}"
    why = _no_picture(test.outcome, test.said, say)
    return "\n" + say("Test image failed ({time}): {why}", time=f"<t:{round(test.at)}:t>", why=why)


def _no_picture(outcome: Outcome, said: str, say: Language) -> str:
    if outcome is Outcome.REFUSED and said:
        return say("the API says {said}. The model may still be loading.", said=f"`{said}`")
    return say(_TESTS[outcome])


_TESTS = {
    Outcome.REFUSED: n_("the API refused it. The model may still be loading."),
    Outcome.VENDOR_TROUBLE: n_("the API is having problems. The model may still be loading."),
    Outcome.UNKNOWN_MODEL: n_("the API can't find the model. It may still be loading."),
    Outcome.TOOK_TOO_LONG: n_("no picture after 3 minutes. The model may still be loading."),
    Outcome.NO_PICTURE: n_("the API sent no picture that we can show. It may have cost one generation."),
    Outcome.NO_USABLE_ANSWER: n_("no clear answer. It may have cost one generation."),
    Outcome.INTERRUPTED: n_("the bot was interrupted. It may have cost one generation."),
    Outcome.NO_CONNECTION: n_("the API couldn't be reached; nothing was sent."),
    Outcome.ADDRESS_GONE: n_("the API address the bot uses no longer exists."),
    Outcome.NO_PLACE: n_(
        "too many requests were waiting for the API; nothing was sent. Press the button again."
    ),
    Outcome.WRONG_KEY: n_("the API rejects this server's key. A moderator can set a new one with {key_set}."),
    Outcome.NO_CREDITS: n_("the API account is out of credits or over its limit, or its plan has expired."),
    Outcome.PLAN_TOO_SMALL: n_("the API plan doesn't include test images."),
    Outcome.SLOW_DOWN: n_("the API wants us to slow down. Try again in a minute."),
    Outcome.KEY_GONE: n_("this server no longer has a working API key."),
    Outcome.NOT_SENT: n_("the bot was interrupted; nothing was sent. Press the button again."),
    Outcome.STORAGE: n_("something is wrong with our storage; nothing was sent."),
    Outcome.NOT_ALLOWED: n_(
        "the bot couldn't confirm that whoever requested it may still use {reload}; nothing was sent."
    ),
    Outcome.TOO_LATE: n_("the end of the countdown was announced too late; nothing was sent."),
    Outcome.NO_TESTS_LEFT: n_("moderators now allow fewer test images per day; nothing was sent."),
}


def _late(reload: Reload, now: float, say: Language) -> str:
    if reload.deadline is None or not reload.is_late(now):
        return ""
    return " " + say("Sorry, this is late: it was due {time}.", time=f"<t:{round(reload.deadline)}:R>")


def _unknown(reload: Reload, say: Language) -> str:
    if reload.ref and reload.outcome is not Outcome.STORAGE:
        return say("Something went wrong on our side (ref {ref}).", ref=reload.ref)
    if reload.outcome is Outcome.INTERRUPTED:
        return say("The bot restarted while it was waiting for the API.")
    return say("The request was sent, but no clear answer came back.")


def _failed(reload: Reload, say: Language) -> str:
    nothing_sent = reload.called_at is None
    sent, reloaded = n_("Nothing was sent to the API."), n_("Nothing was reloaded.")
    nothing = say(sent if nothing_sent else reloaded)
    if reload.ref and reload.outcome is not Outcome.STORAGE:
        wrong = say("Something went wrong on our side (ref {ref}).", ref=reload.ref)
        again = say("Try again in a minute.")
        return f"{wrong} {nothing} {again}"
    if reload.outcome is Outcome.REFUSED and reload.said:
        refused = n_("The API refused: {said}. Fix that or ask a moderator, then try {reload} again.")
        return say(refused, said=f"`{reload.said}`")
    text = _FAILURES[reload.outcome or Outcome.NOT_SENT]
    return say(text, nothing=nothing, time=_again_at(reload, say), ref=reload.ref)


_FAILURES = {
    Outcome.WRONG_KEY: n_("The API rejects this server's key. A moderator can set a new one with {key_set}."),
    Outcome.UNKNOWN_MODEL: n_(
        "The API doesn't know this model. Check the ID on the model's page, then try {reload} again."
    ),
    Outcome.NO_CREDITS: n_(
        "This server's API account is out of credits or over its limit, or its plan has expired. Whoever "
        "owns the key can top it up or renew it; then try {reload} again."
    ),
    Outcome.PLAN_TOO_SMALL: n_(
        "This server's API plan doesn't include this model or feature. Ask whoever owns the key."
    ),
    Outcome.SLOW_DOWN: n_("The API wants us to slow down. You can use {reload} again {time}."),
    Outcome.REFUSED: n_(
        "The API refused without giving a reason. Try {reload} again later, or ask a moderator."
    ),
    Outcome.VENDOR_TROUBLE: n_("The API is having problems. Try {reload} again in a minute."),
    Outcome.NO_CONNECTION: n_("The API couldn't be reached. {nothing} Try {reload} again in a minute."),
    Outcome.ADDRESS_GONE: n_(
        "The API address the bot uses no longer exists. {nothing} A moderator can try {key_set}; if "
        "that doesn't help, tell whoever runs the bot."
    ),
    Outcome.NO_PLACE: n_(
        "Too many requests were waiting for the API. {nothing} Try {reload} again in a minute."
    ),
    Outcome.NOT_SENT: n_("The bot was interrupted. {nothing} Use {reload} to try again."),
    Outcome.KEY_GONE: n_(
        "This server no longer has a working API key. {nothing} A moderator can set one with {key_set}."
    ),
    Outcome.STORAGE: n_(
        "Something is wrong with our storage (ref {ref}). {nothing} Try {reload} again in a minute."
    ),
}


def _again_at(reload: Reload, say: Language) -> str:
    if reload.again_at is None:
        return say("in a minute")
    moment = math.ceil(reload.again_at)
    soon = moment - (reload.ended_at or moment) < _HALF_A_DAY
    return say("at {time}", time=f"<t:{moment}:T>") if soon else f"<t:{moment}:R>"


def ping_text(reload: Reload, ping: Ping, now: float, say: Language, *, alone: bool) -> str:
    """The new message that mentions those who asked: plain text with the news first, for phones.

    `alone`: the reply could not be edited, so the ping carries the whole ending.
    """
    people = mentions(ping.users)
    if alone:
        ending = _ending(reload, now, say)
        if reload.ending in (Ending.FAILED, Ending.UNKNOWN):  # a Ready says so itself
            ending += _comes_late(reload, now, say)
        return f"**{state_word(reload, say)}** {pushed_id(reload.model)}\n{ending}{people}"
    here = ping.channel == reload.owner.channel
    link = "" if here else f" {message_link(reload.server, reload.owner.channel, reload.message)}"
    return f"{_ended(reload, say)}{_comes_late(reload, now, say)}{link}{people}"


def image_ping_text(reload: Reload, test: ImageTest, say: Language) -> str:
    """The new message to the person who requested a test image, once it has an outcome."""
    model, people = pushed_id(reload.model), mentions((test.by.user,))
    if test.outcome is None or test.outcome is Outcome.RENDERED:
        return say("{model} is confirmed: it made your test image.", model=model) + people
    why = _no_picture(test.outcome, test.said, say)
    return say("{model} made no test image: {why}", model=model, why=why) + people


def _ended(reload: Reload, say: Language) -> str:
    model, minutes = pushed_id(reload.model), _whole_minutes(reload)
    if reload.ending is Ending.FAILED:
        return say("{model} was not reloaded. The reply says why.", model=model)
    if reload.ending not in (Ending.READY, Ending.CONFIRMED):
        return say("{model} may or may not be reloading. The reply has the details.", model=model)
    if minutes is None:
        text = n_("{model} should be ready: the {span} wait is over (not tested yet).")
        return say(text, model=model, span=span(reload.seconds, say))
    return say.count(
        "{model} should be ready: its {number} minute is up (not tested yet).",
        "{model} should be ready: its {number} minutes are up (not tested yet).",
        minutes,
        model=model,
    )


def _comes_late(reload: Reload, now: float, say: Language) -> str:
    return " " + say("Sorry, this is late.") if reload.is_late(now) else ""


def joined_text(reload: Reload, now: float, say: Language, *, user: int, is_new: bool) -> str:
    """The private answer to a user who joined a running reload, or had requested it already."""
    model, link = f"`{reload.model}`", message_link(reload.server, reload.owner.channel, reload.message)
    if (left := reload.left(now)) is not None:
        text = say("{model} is already reloading: {span} left.", model=model, span=span(left, say))
    elif reload.state is State.ASKED:
        text = say("{model} has already been requested.", model=model)
    else:
        text = say("{model} is already reloading.", model=model)
    then = say("You'll be pinged too.") if is_new else ""
    if reload.muted and user in reload.muted:
        then = say("Press *Notify me* there if you want a ping.")
    return f"{text} {then}".rstrip() + f"\n{link}"
