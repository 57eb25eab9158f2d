"""Sorted by what they need; `stand_ins` for what is outside, `tools` for `make`."""

from pathlib import Path

import bot

ROOT = Path(__file__).parents[1]
"""The project's root."""
INSTALLED = Path(bot.__file__).parents[1]
"""Where `bot` and `cogs` are: in the root, or, in `make dist-test`, where packages are installed."""
NOT_TESTED = "Not tested: "
"""How the reason begins why a test is skipped for want of a program."""


def as_read(text: str) -> str:
    """A text as a person reads it, to whom a no-break space looks like any other."""
    return text.replace("\N{NO-BREAK SPACE}", " ")
