"""A server's models, told: the list, and one of them."""

from collections.abc import Iterator, Sequence

from bot.catalogue import Row
from bot.models import Model, Warmth
from bot.reload import Reload, time_left
from bot.words.common import message_link, span
from bot.words.reload import state_word

CHOICE_CHARACTERS = 100
"""Discord takes no more."""
NO_MODELS = "Nobody has reloaded a model in this server yet."
CHOOSE_MODEL = "Look at a model"
EARLIER, LATER, BACK, RELOAD = "Previous", "Next", "All models", "Reload"
SHOWN_RELOADS = 5
_HEADINGS = {Warmth.RELOADING: "Reloading now", Warmth.WARM: "Warm", Warmth.COLD: "Cold"}
_SMALL_PRINT = (
    "-# Warm: until 7 days after this bot last saw the model used (a reload, a test image). "
    "Use elsewhere is not seen."
)


def choice(row: Row) -> str:
    """What is offered for a public model: its id, and its name where that says more."""
    same = row.name.lower().replace(" ", "-") == row.id.lower()
    return row.id if same or not row.name else f"{row.id} · {row.name}"[:CHOICE_CHARACTERS]


def models_page(models: Sequence[Model], page: int, pages: int, now: float) -> str:
    """The `models` of one page of the list; the first page is 0."""
    lines, before = ["**Models of this server**"], None
    for model in models:
        warmth = model.warmth(now)
        if warmth is not before:
            lines.append(f"\n**{_HEADINGS[warmth]}**")
        before = warmth
        lines.append(f"`{model.id}` {_stands(model, now)}")
    number = f"-# Page {page + 1} of {pages}\n" if pages > 1 else ""
    return "\n".join(lines) + f"\n\n{number}{_SMALL_PRINT}"


def model_page(model: Model, now: float, *, who: bool) -> str:
    """One model: how it stands, its last reloads; `who`: also by whom."""
    head = f"**{_HEADINGS[model.warmth(now)]}** `{model.id}`\n{_stands(model, now)}"
    return "\n".join([head, "", *_past(model.reloads[:SHOWN_RELOADS], who=who), "", _SMALL_PRINT])


def warmth_word(model: Model, now: float) -> str:
    """How a model stands, in two words."""
    return _HEADINGS[model.warmth(now)]


def _stands(model: Model, now: float) -> str:
    running = model.open
    if running is not None:
        left = (
            f"{span(time_left(running.deadline, now))} left" if running.deadline is not None else "asked for"
        )
        return f"{left} {message_link(running.server, running.owner.channel, running.message)}"
    if model.warm_until is None:
        return "not seen warm"
    if model.warm_until > now:
        return f"until <t:{round(model.warm_until)}:d> (<t:{round(model.warm_until)}:R>)"
    return f"since <t:{round(model.warm_until)}:d>"


def _past(reloads: Sequence[Reload], *, who: bool) -> Iterator[str]:
    for reload in reloads:
        people = list(dict.fromkeys(asker.user for asker in reload.askers))
        by = f" · <@{people[0]}>" if who else ""
        more = f" and {len(people) - 1} more" if who and len(people) > 1 else ""
        yield f"<t:{round(reload.asked_at)}:f> · {state_word(reload)}{by}{more}"
