"""Checks that this version can be released: `make release-check` stops at the first step that fails.

The quick steps come first. Nothing is released, and nothing in the clone is changed.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests import ROOT
from tests.tools.dist import PROJECT
from tests.tools.tables import PAGES, written

SHOWN_LINES = 40
"""Lines of a failed command's output that are shown, from its end."""


class Step(NamedTuple):
    """One check: `fault` returns what is wrong, or an empty text; `advice` says what to do about it."""

    name: str
    fault: Callable[[], str]
    advice: str


def changelog_fault(text: str, version: str) -> str:
    """Return what is wrong with a changelog whose newest section should describe a version."""
    newest, _, content = (text.partition("\n## ")[2].partition("\n## ")[0] + "\n").partition("\n")
    if not re.fullmatch(rf"{re.escape(version)}\b.*", newest):
        return f"The newest section is {newest!r}, not {version!r}."
    return "" if content.strip() else f"The section {version!r} is empty."


def _tables_fault() -> str:
    old = [str(page.relative_to(ROOT)) for page in PAGES if written(text := page.read_text("utf-8")) != text]
    return f"Not up to date: {', '.join(old)}." if old else ""


def command_fault(*command: str) -> str:
    """Run a command of a release; return the last lines of its output if it failed, else an empty text."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "RELEASE": "true"},  # a sentence without a translation fails
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return ""
    return "\n".join(done.stdout.splitlines()[-SHOWN_LINES:]) or f"Exit status {done.returncode}."


STEPS = [
    Step(
        f"CHANGELOG.md describes {PROJECT['version']}",
        lambda: changelog_fault((ROOT / "CHANGELOG.md").read_text("utf-8"), PROJECT["version"]),
        "Describe the version there, or correct `version` in pyproject.toml.",
    ),
    Step("the tables are current", _tables_fault, "Run `make tables` and commit the pages."),
    Step(
        "every sentence is translated",
        lambda: command_fault(sys.executable, "-m", "pytest", "-q", "tests/unit/test_languages.py"),
        "Run `make translations`, translate the new sentences in bot/languages/*.po, and commit them.",
    ),
    Step(
        "every check and test passes (10 minutes)",
        lambda: command_fault("make", "test"),
        "Run `make test` and fix what fails.",
    ),
    Step(
        "wheel and source install into empty environments and work (15 minutes)",
        lambda: command_fault("make", "dist-test"),
        "Run `make dist-test` and fix what fails.",
    ),
]


def check(steps: Sequence[Step], say: Callable[[str], None]) -> int:
    """Do the steps, with one line for each; return the exit status: 1 after the first that fails."""
    for step in steps:
        start = time.monotonic()
        if fault := step.fault():
            say(f"✗ {step.name}\n{fault}\n→ {step.advice}")
            return 1
        say(f"✓ {step.name} ({time.monotonic() - start:.0f} s)")
    say(f"Rewarm {PROJECT['version']} can be released.")
    return 0


if __name__ == "__main__":
    sys.exit(check(STEPS, lambda line: print(line, flush=True)))  # noqa: T201
