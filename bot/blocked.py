"""Servers that the owner does not want: in a file of their own, so that it can change while the bot runs."""

import os
from pathlib import Path

NAME = "blocked"


class Blocked:
    """The list in DATA_DIR, one id a line; read anew each time. All raise OSError."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def all(self) -> set[int]:
        """The ids of all blocked servers."""
        try:
            return {int(line) for line in self._path.read_text().split() if line.isdigit()}
        except FileNotFoundError:
            return set()

    def add(self, server: int) -> None:
        """Block a server."""
        self._write(self.all() | {server})

    def remove(self, server: int) -> None:
        """Let a server in again."""
        self._write(self.all() - {server})

    def _write(self, servers: set[int]) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self._path.with_name(f"{NAME}.part")
        with os.fdopen(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
            file.writelines(f"{server}\n" for server in sorted(servers))
        part.replace(self._path)
