"""Tests, sorted by what they need; `stand_ins` replaces what is outside, `tools` serves `make`."""

from pathlib import Path

import bot

ROOT = Path(__file__).parents[1]
"""The project's root."""
INSTALLED = Path(bot.__file__).parents[1]
"""Where `bot` and `cogs` are: in the root or, in `make dist-test`, where packages are installed."""
NOT_TESTED = "Not tested: "
"""The start of the reason when a test is skipped because a program is missing."""


def as_read(text: str) -> str:
    """Return a text as people read it: a no-break space looks like any other."""
    return text.replace("\N{NO-BREAK SPACE}", " ")
