"""The documents agree with the bot."""

import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bot.settings import Settings
from tests import INSTALLED, ROOT
from tests.tools.tables import PAGES, TABLES, named, written

ARGUMENTS = re.compile(r"^    ([a-z]\S+)(?: +\S|$)", re.MULTILINE)


def test_tables_are_those_of_the_code() -> None:
    texts = [page.read_text() for page in PAGES]
    assert sorted(name for text in texts for name in named(text)) == sorted(TABLES)
    assert [page.name for page, text in zip(PAGES, texts, strict=True) if written(text) != text] == [], (
        "make tables"
    )


def test_example_settings_are_all_there_with_their_defaults() -> None:
    found = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    expected: dict[str, str] = {}
    for name, field in Settings.model_fields.items():
        default = "" if field.is_required() or str(field.default) in ("None", "") else str(field.default)
        expected[name.upper()] = default
    assert found == expected


def commands() -> list[str]:
    said = subprocess.run(
        [sys.executable, "-m", "bot", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [name for name in ARGUMENTS.findall(said.stdout) if name != "command"]


def test_command_line_is_explained() -> None:
    found = commands()
    assert {"run", "init", "check", "backup", "forget", "servers", "new-key", "sandbox", "move-store"} == set(
        found
    )
    page = (ROOT / "docs" / "OPERATIONS.md").read_text()
    section = page.partition("## The command line")[2].partition("\n## ")[0]
    assert [name for name in found if f"`{name}" not in section] == []


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"`make ([a-z-]+)`", page.read_text()))
        assert named <= targets, page


def test_files_that_are_named_exist() -> None:
    roots = {"bot": INSTALLED, "cogs": INSTALLED}
    for page in PAGES:
        for name in re.findall(r"`((?:bot|cogs|tests|docs)/[\w./]*)`", page.read_text()):
            path = roots.get(name.partition("/")[0], ROOT) / name
            assert path.exists() or path.with_suffix(".py").exists(), f"{page.name}: {name}"


def test_what_the_code_names_exists() -> None:
    """By its whole name, in backticks."""
    for path in (*(INSTALLED / "bot").rglob("*.py"), *(INSTALLED / "cogs").rglob("*.py")):
        for name in re.findall(r"`((?:bot|cogs)(?:\.\w+)+)`", path.read_text()):
            assert pkgutil.resolve_name(name), f"{path.name}: {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    for link in links:
        if link.startswith(("http:", "https:")):
            continue
        target, _, anchor = link.partition("#")
        to = (page.parent / target) if target else page
        assert to.exists(), link
        if anchor:
            heads = re.findall(r"^#+ (.*)$", to.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads], link
