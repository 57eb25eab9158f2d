"""The tables of the documents that are made from the code: `make tables` writes them."""

import ast
import importlib
import pkgutil
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from discord import app_commands
from discord.ext.commands import Cog

import cogs
from bot.settings import Settings
from tests import INSTALLED, ROOT
from tests.unit.test_numbers import NUMBERS

if TYPE_CHECKING:
    from bot.app import Rewarm

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def cogs_with_commands() -> list[type[Cog]]:
    """The cogs in `cogs/` that have slash commands."""
    modules = [importlib.import_module(f"cogs.{found.name}") for found in pkgutil.iter_modules(cogs.__path__)]
    classes = [it for module in modules for it in vars(module).values() if isinstance(it, type)]
    return [it for it in classes if issubclass(it, Cog) and it.__cog_app_commands__]


def settings() -> str:
    """Each setting with its default and meaning."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "empty" if str(field.default) in ("None", "") else f"`{field.default}`"
        rows.append(
            (f"`{name.upper()}`", "required" if field.is_required() else default, field.description or "")
        )
    return _table(("name", "default", "meaning"), rows)


def commands() -> str:
    """Each slash command, who sees it by default, and what it says of itself."""
    rows = []
    for cog in cogs_with_commands():
        for command in cog(cast("Rewarm", None)).walk_app_commands():
            if isinstance(command, app_commands.Command):
                text = " ".join([command.qualified_name, *(option.name for option in command.parameters)])
                permissions = (command.root_parent or command).default_permissions
                who = "Manage Server" if permissions is not None and permissions.manage_guild else "everyone"
                rows.append((f"`/{text}`", who, command.description))
    rows.sort(key=lambda row: (row[1] != "everyone", row[0] != "`/reload model_id`"))
    return _table(("command", "who", "what it does"), rows)


def packages() -> str:
    """What is directly under `bot/`, and `cogs`, from top to bottom as the first contract has it."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers: list[str] = contracts[0]["layers"]
    files = [_file(name) for layer in layers for name in layer.split(" | ")]
    rows = [
        (_shown(file), _purpose(file) or "What people can do: commands, buttons, forms") for file in files
    ]
    return _table(("package", "what it is for"), rows)


def modules() -> str:
    """Each file that says what it is for."""
    files = [file for package in ("bot", "cogs") for file in sorted((INSTALLED / package).rglob("*.py"))]
    rows = [(_shown(file), purpose) for file in files if (purpose := _purpose(file))]
    return _table(("file", "what it is for"), rows)


def numbers() -> str:
    """Each number that was agreed on, with its constant."""
    rows = [(name, f"{agreed:,} {unit}".strip(), f"`{at}`") for name, (at, agreed, unit) in NUMBERS.items()]
    return _table(("what", "number", "constant"), rows)


def _file(module: str) -> Path:
    path = INSTALLED.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _shown(file: Path) -> str:
    """A package by its folder."""
    name = file.relative_to(INSTALLED).as_posix()
    return f"`{name.removesuffix('__init__.py')}`"


def _purpose(file: Path) -> str:
    """The first line of its docstring."""
    return (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "").partition("\n")[0]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


TABLES: dict[str, Callable[[], str]] = {
    made.__name__: made for made in (commands, settings, packages, modules, numbers)
}
PLACES = re.compile(r"(?<=<!-- )(\w+)(: by `make tables` -->\n).*?(<!-- end -->)", re.DOTALL)


def named(text: str) -> Iterator[str]:
    """The tables that a page has a place for."""
    return (found[1] for found in PLACES.finditer(text))


def written(text: str) -> str:
    """A page with its tables as the code has them. Raises KeyError for a table that there is not."""
    return PLACES.sub(lambda found: f"{found[1]}{found[2]}{TABLES[found[1]]()}\n{found[3]}", text)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(written(page.read_text("utf-8")), "utf-8")
