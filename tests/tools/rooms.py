"""Counts the rooms of the house (the packages under `bot/`), their floors, and the imports between them.

`make rooms` prints it. A room is an entry directly under `bot/`, and `cogs`. An arrow means that one room
imports another. A room is one floor above the highest that it imports, so the floors are the longest chain of
imports.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests import ROOT


def arrows(root: Path = ROOT) -> dict[str, set[str]]:
    """Return each room's imports; those for types only don't count."""
    found: dict[str, set[str]] = {}
    for path in sorted([*(root / "bot").rglob("*.py"), *(root / "cogs").rglob("*.py")]):
        room = _room(".".join(path.relative_to(root).with_suffix("").parts))
        if room:
            found.setdefault(room, set()).update(
                other for name in _imported(path) if (other := _room(name)) and other != room
            )
    return found


def floors(imports: dict[str, set[str]]) -> dict[str, int]:
    """The floor of each room, from 1. Raises ValueError for a circle."""
    known: dict[str, int] = {}

    def floor(room: str, above: tuple[str, ...]) -> int:
        if room in above:
            raise ValueError(f"a circle: {' -> '.join((*above, room))}")
        if room not in known:
            below = (floor(other, (*above, room)) for other in imports.get(room, ()))
            known[room] = 1 + max(below, default=0)
        return known[room]

    for room in imports:
        floor(room, ())
    return known


def _room(module: str) -> str:
    top, _, rest = module.partition(".")
    if top == "cogs":
        return "cogs"
    return rest.partition(".")[0] if top == "bot" and rest != "__init__" else ""


def _imported(path: Path) -> Iterator[str]:
    for node in _run(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "bot":
            yield from (f"bot.{name.name}" for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes except those under `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _run(node)


def report() -> str:
    """Return the house as text, from its roof down."""
    imports = arrows()
    levels = floors(imports)
    lines = []
    for floor in range(max(levels.values()), 0, -1):
        rooms = sorted(room for room, at in levels.items() if at == floor)
        lines.append(f"{floor:>3}  {', '.join(rooms)}")
    count = sum(len(others) for others in imports.values())
    lines.append(f"{len(imports)} rooms on {max(levels.values())} floors, {count} arrows between them")
    return "\n".join(lines)


if __name__ == "__main__":
    print(report())  # noqa: T201
