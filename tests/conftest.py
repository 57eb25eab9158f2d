"""What all tests share; tests/fixtures.py has what those need that are not of pure rooms."""

import asyncio
from pathlib import Path

import hypothesis
import pytest
import structlog

from bot.settings import Settings
from tests import NOT_TESTED

_missing = pytest.StashKey[set[str]]()

# Otherwise looptime makes a loop for the first test that needs none, and leaves it open: a warning, later.
asyncio.set_event_loop(None)

# As in the bot itself: a traceback shows no local variables.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no defect
hypothesis.settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the environment nor a `.env` of the developer reaches a test."""
    for name in (*Settings.model_fields, "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Take what was not tested from the reports, whichever worker ran the test."""
    reasons = (str(report.longrepr[-1]) for report in terminalreporter.stats.get("skipped", ()))
    config.stash[_missing] = {reason.partition(NOT_TESTED)[2] for reason in reasons if NOT_TESTED in reason}


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last lines say what was not tested."""
    for line in sorted(config.stash.get(_missing, ())):
        print(f"{NOT_TESTED}{line}")  # noqa: T201
