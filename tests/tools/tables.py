"""The README's tables of commands and settings, made from the code: `make tables` writes them."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from discord import app_commands

from bot.settings import Settings
from cogs.help import HelpCog
from cogs.key import KeyCog
from cogs.models import ModelsCog
from cogs.reload import ReloadCog
from cogs.settings import SettingsCog
from tests import ROOT

if TYPE_CHECKING:
    from bot.app import Rewarm

README = ROOT / "README.md"
COGS = (ReloadCog, ModelsCog, HelpCog, KeyCog, SettingsCog)


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
    for cog in COGS:
        for command in cog(cast("Rewarm", None)).walk_app_commands():
            if isinstance(command, app_commands.Command):
                text = " ".join([command.qualified_name, *(option.name for option in command.parameters)])
                permissions = (command.root_parent or command).default_permissions
                who = "Manage Server" if permissions is not None and permissions.manage_guild else "everybody"
                rows.append((f"`/{text}`", who, command.description))
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
