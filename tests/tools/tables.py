"""The README's tables of commands and settings, made from the code: `make tables` writes them."""

import importlib
import pkgutil
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from discord import app_commands
from discord.ext.commands import Cog

import cogs
from bot.settings import Settings
from tests import ROOT

if TYPE_CHECKING:
    from bot.app import Rewarm

README = ROOT / "README.md"


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
                who = "Manage Server" if permissions is not None and permissions.manage_guild else "everybody"
                rows.append((f"`/{text}`", who, command.description))
    rows.sort(key=lambda row: (row[1] != "everybody", row[0] != "`/reload model_id`"))
    return _table(("command", "who", "what it does"), rows)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def written(text: str) -> str:
    """The README with both tables as the code has them."""
    for name, table in (("commands", commands()), ("settings", settings())):
        marks = rf"(<!-- {name}: by `make tables` -->\n).*?(\n<!-- end -->)"
        found = re.search(marks, text, re.DOTALL)
        if found is None:
            raise ValueError(f"README.md has no place for the table of {name}")
        text = text[: found.start()] + found[1] + table + found[2] + text[found.end() :]
    return text


if __name__ == "__main__":
    README.write_text(written(README.read_text("utf-8")), "utf-8")
