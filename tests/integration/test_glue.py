"""What the sandbox and the tests use of simcord without a promise: another version fails here, by name."""

import asyncio
import time
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import simcord
import simcord.preview
from simcord.preview import Preview
from simcord.preview._server import PreviewServer

from bot.sandbox import glue, patches
from tests import ROOT
from tests.world import World

THEIRS = Path(simcord.preview.__file__).with_name("static")
INDEX = (THEIRS / "index.html").read_text()


def test_simcord_is_the_one_that_the_glue_was_written_for() -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][
        "sandbox"
    ]
    assert f"simcord=={version('simcord')}" in extra


@pytest.mark.parametrize(
    ("of", "name"),
    [
        (simcord.Env, "_settle_internal"),
        (simcord.Env, "_advance_to"),
        (simcord.Env, "_settlement_state"),
        (Preview, "_action"),
        (Preview, "_get_page"),
        (Preview, "_publish"),
        (Preview, "_advance_presentation_time"),
        (Preview, "_origin"),
        (PreviewServer, "_index"),
        (PreviewServer, "_static"),
        (PreviewServer, "_STATIC_FILES"),
        (PreviewServer, "_STATIC_CONTENT_TYPES"),
    ],
)
def test_private_name_is_still_there(of: type, name: str) -> None:
    assert hasattr(of, name), (
        f"simcord's {of.__name__} has no {name} any more: see bot/sandbox/glue.py, tests/fixtures.py"
    )


def test_page_has_a_place_for_each_part() -> None:
    html = glue.dress(INDEX, "30 s")
    assert "A reload takes 30 s here" in html
    assert "SimCord" not in html.partition('id="messages-sidebar"')[0].partition("preview-brand")[0]
    with pytest.raises(ValueError, match="simcord has changed: there is no single '</head>'"):
        glue.dress(INDEX.replace("</head>", ""), "30 s")


def test_their_scripts_have_a_place_for_each_patch() -> None:
    """Their effect is tested in the browser."""
    for path, parts in patches.PATCHES.items():
        theirs = (THEIRS / path[1:]).read_text()
        assert glue.replaced(theirs, parts) != theirs


async def test_a_machine_that_stands_still_fails_no_test(world: World) -> None:
    await world.reload(world.ana)
    world.env.settle_timeout = 0.05
    asyncio.get_running_loop().call_soon(time.sleep, 0.2)
    await world.env.advance_time(125)
    [ping] = world.pings()
    assert "should be ready" in ping.text
