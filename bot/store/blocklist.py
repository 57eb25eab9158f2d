"""Servers that the owner does not want: in a file of their own, so that it can change while the bot runs."""

import os
import re
from pathlib import Path

from bot.store import file

NAME = "blocked"


class Blocklist:
    """The list in DATA_DIR, one id a line; read anew each time. All raise OSError.

    Readable by all: root may write it for a service that has a user of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def all(self) -> set[int]:
        """The ids of all blocked servers."""
        try:
            text = self._path.read_text("utf-8-sig", errors="replace")
            return {int(found) for found in re.findall(r"\b[0-9]{15,20}\b", text)}
        except FileNotFoundError:
            return set()

    def add(self, server: int) -> None:
        """Block a server."""
        self._write(self.all() | {server})

    def remove(self, server: int) -> None:
        """Let a server in again."""
        self._write(self.all() - {server})

    def _write(self, servers: set[int]) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # with STORE_URL nobody else does
        part = self._path.with_name(f"{NAME}.{os.getpid()}")
        part.unlink(missing_ok=True)
        with os.fdopen(file.create(part, 0o644), "w") as opened:
            opened.write("".join(f"{server}\n" for server in sorted(servers)))
            os.fchmod(opened.fileno(), 0o644)  # whatever the umask is
        part.replace(self._path)
