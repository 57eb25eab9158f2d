"""`make release-check`: it stops at the first step that fails, and says what to do."""

import sys

import pytest

from tests.tools.dist import PROJECT
from tests.tools.release import SHOWN_LINES, Step, changelog_fault, check, command_fault

OLD = "# Changelog\n\n## 0.1.0\n\nThe first version.\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (OLD, "The newest section is '0.1.0', not '0.2.0'."),
        (
            OLD.replace("## 0.1.0", "## Unreleased\n\n- News.\n\n## 0.1.0"),
            "The newest section is 'Unreleased', not '0.2.0'.",
        ),
        (OLD.replace("## 0.1.0", "## 0.2.0\n\n## 0.1.0"), "The section '0.2.0' is empty."),
        (
            OLD.replace("## 0.1.0", "## 0.2.01\n\n- News.\n\n## 0.1.0"),
            "The newest section is '0.2.01', not '0.2.0'.",
        ),
        ("", "The newest section is '', not '0.2.0'."),
        (OLD.replace("## 0.1.0", "## 0.2.0\n\n- News.\n\n## 0.1.0"), ""),
        (OLD.replace("## 0.1.0", "## 0.2.0 (2026-11-30)\n\n- News.\n\n## 0.1.0"), ""),
    ],
)
def test_a_changelog_without_the_version_is_no_release(text: str, fault: str) -> None:
    assert changelog_fault(text, "0.2.0") == fault


def test_the_first_step_that_fails_ends_it_and_says_what_to_do() -> None:
    said: list[str] = []
    steps = [
        Step("good", lambda: "", ""),
        Step("bad", lambda: "This is missing.", "Add it."),
        Step("never reached", lambda: pytest.fail("it went on"), ""),
    ]
    assert check(steps, said.append) == 1
    assert said == ["✓ good (0 s)", "✗ bad\nThis is missing.\n→ Add it."]


def test_what_passes_can_be_released() -> None:
    said: list[str] = []
    assert check([Step("good", lambda: "", "")], said.append) == 0
    assert said[-1] == f"Rewarm {PROJECT['version']} can be released."


def test_a_command_that_fails_shows_its_last_lines() -> None:
    assert command_fault(sys.executable, "-c", "print('fine')") == ""
    said = command_fault(sys.executable, "-c", "for n in range(99): print(n)\nraise SystemExit('why')")
    assert said.splitlines()[-1] == "why"
    assert len(said.splitlines()) == SHOWN_LINES
    assert command_fault(sys.executable, "-c", "raise SystemExit(3)") == "Exit status 3."


def test_a_release_needs_every_sentence_in_all_languages() -> None:
    assert (
        command_fault(sys.executable, "-c", "import os; raise SystemExit(os.environ['RELEASE'] != 'true')")
        == ""
    )
