"""A server's models: in which order, how long warm, and what is said of each."""

from dataclasses import replace

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.reload import WARM_AGE, Asker, ImageTest, Outcome, Reload, State
from bot.domain.rows import Watch
from bot.domain.server_models import Model, Warmth, models_of
from bot.view import MODELS_PER_PAGE, model_page, models_page
from bot.words.models import NO_MODELS, model_text, models_text
from tests import as_read
from tests.unit.test_words import NOW, reloads, say

DAY = 86400.0
ANA, BEN = 11, 12
WATCH = Watch(5, "m", BEN, 70)
SMALL_PRINT = (
    "-# Warm: for 7 days after the last reload or test image this bot knows of. It can't see use elsewhere."
)


def past(model: str, ago: float, outcome: Outcome = Outcome.ACCEPTED, id_: int = 1) -> Reload:
    """A reload that ended so many seconds ago."""
    at = NOW - ago
    ready = outcome is Outcome.ACCEPTED
    return Reload(
        id_,
        5,
        model,
        (Asker(ANA, 70, ""), Asker(BEN, 70, "")),
        asked_at=at - 120,
        seconds=120.0,
        state=State.ENDED,
        deadline=at if ready else None,
        outcome=outcome,
        ended_at=at,
    )


RUNNING = replace(past("run", 0), state=State.COUNTING, outcome=None, deadline=NOW + 75, message=99)
HISTORY = [
    RUNNING,
    past("failed", 10, Outcome.NO_CREDITS),
    past("old", 8 * DAY),
    past("no-such", 30, Outcome.UNKNOWN_MODEL),
    past("warm", 3 * DAY),
    past("warmer", DAY),
    past("warm", 9 * DAY),
]


def test_reloading_then_warm_then_cold_each_by_last_use() -> None:
    assert [model.id for model in models_of(HISTORY, NOW)] == ["run", "warmer", "warm", "old", "failed"]


def test_an_id_that_the_api_does_not_know_is_no_model() -> None:
    """Its last word counts."""
    assert "no-such" not in [model.id for model in models_of(HISTORY, NOW)]
    no_more = [*HISTORY, past("no-such", 20 * DAY)]
    assert "no-such" not in [model.id for model in models_of(no_more, NOW)]
    again = [past("no-such", 0), *HISTORY]
    assert "no-such" in [model.id for model in models_of(again, NOW)]


@pytest.mark.parametrize(
    ("ago", "warmth"),
    [(0, Warmth.WARM), (7 * DAY - 1, Warmth.WARM), (7 * DAY, Warmth.COLD), (8 * DAY, Warmth.COLD)],
)
def test_a_model_is_warm_for_seven_days(ago: float, warmth: Warmth) -> None:
    [model] = models_of([past("m", ago)], NOW)
    assert model.warmth(NOW) is warmth
    assert model.warm_until == NOW - ago + WARM_AGE


def test_a_test_image_keeps_it_warm() -> None:
    test = ImageTest(Asker(BEN, 70, ""), NOW - DAY, spoiler=True, outcome=Outcome.RENDERED)
    tested = replace(past("m", 8 * DAY), test=test, confirmed_at=test.at)
    [model] = models_of([tested], NOW)
    assert model.warm_until == NOW - DAY + WARM_AGE


@pytest.mark.parametrize("outcome", [Outcome.NO_CREDITS, Outcome.INTERRUPTED])
def test_what_may_never_have_been_loaded_is_not_called_warm(outcome: Outcome) -> None:
    [model] = models_of([past("m", 60, outcome)], NOW)
    assert model.warmth(NOW) is Warmth.COLD
    assert "never seen warm" in model_text(model, NOW, say, who=False, watched=None)


def test_the_list_says_how_each_stands() -> None:
    models = models_of(HISTORY, NOW)
    assert as_read(models_text(models, 0, 1, NOW, say)).splitlines() == [
        "**This server's models**",
        "",
        "**Reloading now**",
        "`run` 1 min 15 s left: https://discord.com/channels/5/70/99",
        "",
        "**Warm**",
        f"`warmer` until <t:{round(NOW + 6 * DAY)}:d>",
        f"`warm` until <t:{round(NOW + 4 * DAY)}:d>",
        "",
        "**Cold**",
        f"`old` since <t:{round(NOW - DAY)}:d>",
        "`failed` never seen warm",
        "",
        SMALL_PRINT,
    ]


def test_only_a_moderator_sees_who() -> None:
    [_, _, warm, *_] = models_of(HISTORY, NOW)
    mods, members = (
        model_text(warm, NOW, say, who=who, watched=70 if who else None) for who in (True, False)
    )
    assert f"Ready · <@{ANA}> and 1 more" in mods
    assert "<@" not in members
    assert members.count("Ready") == 2


@given(history=st.lists(reloads, max_size=40), page=st.integers(0, 9999), who=st.booleans())
def test_any_history_makes_pages_that_discord_takes(history: list[Reload], page: int, who: bool) -> None:
    models = models_of(history, NOW)
    layouts = [
        models_page(models[:MODELS_PER_PAGE], page, page + 2, NOW, say),
        *(model_page(m, page, NOW, say, user=ANA, who=who, watch=WATCH, channel=70) for m in models),
    ]
    for layout in layouts:
        assert 0 < layout.content_length() <= 4000


def test_a_page_has_ten_models_and_buttons_to_the_others() -> None:
    models = [Model(f"m{n}", (past(f"m{n}", n),)) for n in range(10)]
    turns = {page: [b.label for b in _buttons(models_page(models, page, 3, NOW, say))] for page in range(3)}
    assert turns == {0: ["Next"], 1: ["Previous", "Next"], 2: ["Previous"]}
    assert MODELS_PER_PAGE == 10


def _buttons(layout: discord.ui.LayoutView) -> list[discord.ui.Button[discord.ui.LayoutView]]:
    return [item for item in layout.walk_children() if isinstance(item, discord.ui.Button)]


def test_an_empty_list_says_so() -> None:
    assert models_page([], 0, 1, NOW, say).content_length() == len(NO_MODELS)
