"""The layout of a reply: Discord accepts it, and nothing in it lives on."""

from dataclasses import replace
from typing import Any

import discord
import orjson
import pytest
from hypothesis import given

from bot.domain.picture import Picture
from bot.domain.reload import Ending, Outcome, Reload, State
from bot.view import render
from bot.words.reload import reply_text
from tests.unit.test_words import NOW, ended, near, reloads, say, with_test

MOST_COMPONENTS, MOST_TEXT = 40, 4000
CONTAINER, TEXT, ROW, GALLERY = 17, 10, 1, 12


def laid_out(reload: Reload, now: float = NOW) -> list[dict[str, Any]]:
    return render(reload, now, say).components


def flat(components: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [found for part in components for found in (part, *flat(part.get("components", [])))]


@given(reload=reloads, now=near)
def test_any_reload_gives_a_payload_that_discord_takes(reload: Reload, now: float) -> None:
    parts = flat(laid_out(reload, now))
    assert [part["type"] for part in parts[:3]] == [CONTAINER, TEXT, ROW][: len(parts)]
    assert len(parts) != 3, "no row without a button"
    labels = [part["label"] for part in parts[3:]]
    if reload.ending is None:
        assert labels == ["Notify me", "Don't notify me", "Test it too"]
    else:
        may_be_tested = reload.ending is Ending.READY and not reload.is_testing
        key_refused = reload.test is not None and reload.test.outcome is Outcome.WRONG_KEY
        again = reload.outcome not in (Outcome.UNKNOWN_MODEL, Outcome.WRONG_KEY) and not key_refused
        assert labels == ["Reload again"] * again + ["Test image"] * may_be_tested
    assert all(part["custom_id"].endswith(f":{reload.id}") for part in parts[3:])
    assert all(len(part["custom_id"]) <= 100 for part in parts[3:])
    assert len(parts) <= MOST_COMPONENTS
    text = parts[1]["content"]
    assert text == reply_text(reload, now, say)
    assert 0 < len(text) <= MOST_TEXT
    assert 0 <= parts[0]["accent_color"] <= 0xFFFFFF
    assert orjson.dumps(parts)


def test_each_ending_has_a_colour_of_its_own() -> None:
    running = laid_out(Reload(1, 2, "m", ended(Outcome.ACCEPTED).askers, NOW, 120.0))[0]["accent_color"]
    endings = {
        outcome.ending: laid_out(ended(outcome))[0]["accent_color"]
        for outcome in (Outcome.ACCEPTED, Outcome.REFUSED, Outcome.INTERRUPTED)
    }
    assert set(endings) == set(Ending) - {Ending.CONFIRMED}
    assert len({running, *endings.values()}) == 4
    assert laid_out(with_test(Outcome.RENDERED))[0]["accent_color"] == endings[Ending.READY]


def test_a_picture_stands_in_the_reply_that_it_confirms() -> None:
    confirmed = with_test(Outcome.RENDERED)
    view = render(confirmed, NOW, say, Picture(b"", "test-image.png"))
    [_, _, gallery, *_] = flat(view.components)
    [item] = gallery["items"]
    assert (gallery["type"], item["media"]["url"], item["spoiler"]) == (
        GALLERY,
        "attachment://test-image.png",
        True,
    )


@pytest.mark.parametrize("state", [State.COUNTING, State.ENDED])
async def test_the_layout_leaves_nothing_behind_in_discord_py(state: State) -> None:
    """A view with a button would stay in its store forever, unless it is stopped."""
    view = render(replace(ended(Outcome.ACCEPTED), state=state), NOW, say).as_view()
    assert isinstance(view, discord.ui.LayoutView)
    assert view.has_components_v2()
    assert view.timeout is None
    assert view.is_finished()
