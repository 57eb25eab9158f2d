"""A server's models in words: the list, and one of them."""

from collections.abc import Iterator, Sequence

from bot.domain.catalogue import PublicModel
from bot.domain.reload import Outcome, Reload
from bot.domain.server_models import Model, Warmth
from bot.words.common import may_not_write, message_link, span
from bot.words.language import Language, n_
from bot.words.reload import state_word

CHOICE_CHARACTERS = 100
"""The most characters that Discord takes in a choice."""
NO_MODELS = n_("Nobody has reloaded a model in this server yet.")
CHOOSE_MODEL = n_("Choose a model")
EARLIER, LATER = n_("Previous"), n_("Next")
BACK, RELOAD = n_("All models"), n_("Reload")
WATCH, UNWATCH = n_("Watch"), n_("Stop watching")
WATCHERS = n_("People watching this model. Remove someone to stop their watch.")
SHOWN_RELOADS = 5
SHOWN_PEOPLE = 5
_HEADINGS = {Warmth.RELOADING: n_("Reloading now"), Warmth.WARM: n_("Warm"), Warmth.COLD: n_("Cold")}
_SMALL_PRINT = n_(
    "Warm: for 7 days after the last reload or test image this bot knows of. It can't see use elsewhere."
)


def choice_text(row: PublicModel) -> str:
    """The choice for a public model: its ID, and its name if that says more."""
    same = row.name.lower().replace(" ", "-") == row.id.lower()
    return row.id if same or not row.name else f"{row.id} · {row.name}"[:CHOICE_CHARACTERS]


def models_text(
    models: Sequence[Model],
    page: int,
    pages: int,
    now: float,
    say: Language,
    made: Sequence[tuple[int, int]] = (),
) -> str:
    """The `models` of one page of the list; the first page is 0. `made`: test images, for moderators."""
    lines, before = [say("**This server's models**")], None
    for model in models:
        warmth = model.warmth(now)
        if warmth is not before:
            lines.append(f"\n**{say(_HEADINGS[warmth])}**")
        before = warmth
        lines.append(f"`{model.id}` {_stands(model, now, say)}")
    number = say("Page {page} of {pages}", page=page + 1, pages=pages)
    small = [*([number] if pages > 1 else []), *([tests_text(made, say)] if made else []), say(_SMALL_PRINT)]
    return "\n".join([*lines, "", *(f"-# {line}" for line in small)])


def tests_text(made: Sequence[tuple[int, int]], say: Language) -> str:
    """How many test images members had made in 24 hours: each one's ID and number."""
    people = ", ".join(f"<@{user}> {number}" for user, number in made[:SHOWN_PEOPLE])
    if len(made) > SHOWN_PEOPLE:
        people = say("{people} and {number} more", people=people, number=len(made) - SHOWN_PEOPLE)
    total = sum(number for _, number in made)
    return say("Test images in the last 24 hours: {number} ({people}).", number=total, people=people)


def model_text(
    model: Model, now: float, say: Language, *, who: bool, watched: int | None, may_write: bool = True
) -> str:
    """One model: its state and its last reloads; `who`: also by whom.

    `watched`: where it is announced, and `may_write`: whether the bot may do that there.
    """
    head = f"**{warmth_word(model, now, say)}** `{model.id}`\n{_stands(model, now, say)}"
    past = _past(model.reloads[:SHOWN_RELOADS], say, who=who)
    before = n_("Watched: {channel} will be told before the model goes cold.")
    later = n_("Watched, but cold now. {channel} will be told six days after the model's next use.")
    is_cold = model.warmth(now) is Warmth.COLD
    told = say(later if is_cold else before, channel=f"<#{watched}>")
    if watched is not None and not may_write:
        told += f"\n{may_not_write(watched, say)}"
    return "\n".join(
        [head, *([told] if watched is not None else []), "", *past, "", f"-# {say(_SMALL_PRINT)}"]
    )


def warmth_word(model: Model, now: float, say: Language) -> str:
    """A model's warmth, in two words."""
    return say(_HEADINGS[model.warmth(now)])


def _stands(model: Model, now: float, say: Language) -> str:
    running = model.open
    if running is not None:
        link = message_link(running.server, running.owner.channel, running.message)
        if (left := running.left(now)) is None:
            return say("requested: {link}", link=link)
        return say("{span} left: {link}", span=span(left, say), link=link)
    if model.warm_until is None:
        return say("never seen warm")
    day = f"<t:{round(model.warm_until)}:d>"
    if model.warm_until > now:
        return say("until {day}", day=day)
    return say("since {day}", day=day)


def _past(reloads: Sequence[Reload], say: Language, *, who: bool) -> Iterator[str]:
    for reload in reloads:
        people = list(dict.fromkeys(asker.user for asker in reload.askers))
        by = ""
        if who and len(people) > 1:
            by = " · " + say("{people} and {number} more", people=f"<@{people[0]}>", number=len(people) - 1)
        elif who:
            by = f" · <@{people[0]}>"
        test = reload.test
        failed = test is not None and test.outcome not in (None, Outcome.RENDERED)
        tested = " · " + say("the test image failed") if failed else ""
        yield f"<t:{round(reload.asked_at)}:f> · {state_word(reload, say)}{tested}{by}"
