"""Fixtures for all tests; tests/fixtures.py has those for tests that are not of pure modules."""

import asyncio
from collections.abc import Iterator
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

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no bug
hypothesis.settings.register_profile("quick", deadline=None, max_examples=10)  # for `make test-fast`
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def _nowhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give such tests one shared empty folder: making one for each takes longer than most of them."""
    return tmp_path_factory.mktemp("nowhere")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, _nowhere: Path
) -> Iterator[None]:
    """Neither the environment nor a `.env` of the developer reaches a test."""
    for name in (*Settings.model_fields, "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else _nowhere)
    yield
    assert not any(_nowhere.iterdir()), "a test that leaves files asks for tmp_path"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Collect what was not tested from the reports, whichever worker ran the test."""
    reasons = (str(report.longrepr[-1]) for report in terminalreporter.stats.get("skipped", ()))
    config.stash[_missing] = {reason.partition(NOT_TESTED)[2] for reason in reasons if NOT_TESTED in reason}


def pytest_unconfigure(config: pytest.Config) -> None:
    """Say in the last lines what was not tested."""
    for line in sorted(config.stash.get(_missing, ())):
        print(f"{NOT_TESTED}{line}")  # noqa: T201
