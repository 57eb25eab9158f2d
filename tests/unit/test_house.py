"""The promises about the code's shape; `make rooms` counts rooms, floors and arrows, which bind nobody."""

import ast
import re
from collections.abc import Iterator

from tests import INSTALLED, ROOT

CODE = {
    str(path.relative_to(INSTALLED)): path.read_text()
    for package in ("bot", "cogs")
    for path in sorted((INSTALLED / package).rglob("*.py"))
}
"""The text of each file of the bot, which may be installed."""


def test_no_file_is_longer_than_300_lines() -> None:
    lengths = {name: len(text.splitlines()) for name, text in CODE.items()}
    assert {name: length for name, length in lengths.items() if length > 300} == {}


def test_no_function_is_longer_than_50_lines() -> None:
    lengths = {
        f"{name}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for name, text in CODE.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > 50} == {}


def test_broad_excepts_are_four_and_each_has_its_reason() -> None:
    found = [line for text in CODE.values() for line in broad_excepts(text)]
    assert len(found) <= 4, found
    assert [line for line in found if "BLE001  # " not in line] == []


def broad_excepts(text: str) -> Iterator[str]:
    """Return the lines of excepts that take any error: by name, alone or among others, or without a name."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ExceptHandler):
            taken = ast.unparse(node.type) if node.type is not None else "Exception"
            if re.search(r"\b(Base)?Exception\b", taken):
                yield text.splitlines()[node.lineno - 1]


def test_the_page_of_modules_names_each_file() -> None:
    page = (ROOT / "docs" / "design" / "modules.md").read_text()
    assert [name for name in CODE if not name.endswith("__init__.py") and f"`{name}`" not in page] == []
