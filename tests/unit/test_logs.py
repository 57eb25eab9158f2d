"""Log lines are masked as they are written, whatever they consist of."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, Literal, TextIO

import orjson
import pytest
import structlog
import yarl

from bot import logs

SECRET = "s3cr3t-0123456789"
TOKEN = "aW50ZXJhY3Rpb24"


@contextmanager
def logging_to(stream: TextIO, form: Literal["console", "json"]) -> Iterator[None]:
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers, root.level
    logs.set_up("DEBUG", form, [SECRET, " ", ""])
    [ours] = root.handlers
    assert isinstance(ours, logging.StreamHandler)
    ours.setStream(stream)
    try:
        yield
    finally:
        structlog.configure(**before)
        logging.captureWarnings(capture=False)
        root.handlers = handlers
        root.setLevel(level)


@pytest.fixture(params=["console", "json"])
def form(request: pytest.FixtureRequest) -> Any:
    return request.param


FIELDS = {
    "text": f"is {SECRET}",
    "a list": [SECRET],
    "an object": {"key": {"inner": SECRET}},
    "bytes": SECRET.encode(),
    "a path": Path(f"/run/{SECRET}"),
    "an error": ValueError(SECRET),
    "an address": yarl.URL(f"http://127.0.0.1/?key={SECRET}"),
}


@pytest.mark.parametrize("kind", FIELDS)
def test_no_field_shows_a_secret(kind: str, form: Any) -> None:
    with logging_to(out := StringIO(), form):
        structlog.get_logger("test").warning("something.happened", field=FIELDS[kind])
    said = out.getvalue()
    assert "something.happened" in said
    assert "[secret]" in said
    assert SECRET not in said


def test_no_traceback_library_or_warning_shows_a_secret(form: Any) -> None:
    with logging_to(out := StringIO(), form), warnings.catch_warnings(action="always"):
        try:
            int(SECRET)  # its message has the text
        except ValueError:
            structlog.get_logger("test").exception("it.broke")
            logging.getLogger("library").exception("it broke with %s", SECRET)
        logging.captureWarnings(capture=True)
        warnings.warn(f"deprecated: {SECRET}", stacklevel=1)
    said = out.getvalue()
    assert said.count("[secret]") >= 3
    assert SECRET not in said


@pytest.mark.parametrize("path", ["/webhooks/1/{}/messages/2", "/interactions/1/{}/callback"])
def test_no_token_in_a_path_is_shown(path: str, form: Any) -> None:
    with logging_to(out := StringIO(), form):
        logging.getLogger("library").error("POST /api/v10%s failed", path.format(TOKEN))
    said = out.getvalue()
    assert "[token]" in said
    assert TOKEN not in said


def test_a_line_of_json_is_json() -> None:
    with logging_to(out := StringIO(), "json"):
        structlog.get_logger("test").error('POST "https://127.0.0.1/webhooks/1/token" failed', at="it's\n\\")
    assert orjson.loads(out.getvalue())["at"] == "it's\n\\"


def test_discord_says_nothing_at_debug(form: Any) -> None:
    """There it writes whole events, with tokens and what people type into a form."""
    with logging_to(out := StringIO(), form):
        for name in ("discord.gateway", "discord.http", "aiohttp.client"):
            logging.getLogger(name).debug("an event with %s", SECRET)
    assert out.getvalue() == ""
