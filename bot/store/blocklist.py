"""Servers that the owner has blocked, in a separate file so that it can change while the bot runs."""

import os
import re
from pathlib import Path

from bot.store import file

NAME = "blocked"


class Blocklist:
    """The list in DATA_DIR, one ID per line, read again each time. All methods raise OSError.

    Everybody may read it: root may write it for a service that runs as its own user.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def all(self) -> set[int]:
        """Return the IDs of all blocked servers."""
        try:
            text = self._path.read_text("utf-8-sig", errors="replace")
            return {int(found) for found in re.findall(r"\b[0-9]{15,20}\b", text)}
        except FileNotFoundError:
            return set()

    def add(self, server: int) -> None:
        """Block a server."""
        self._write(self.all() | {server})

    def remove(self, server: int) -> None:
        """Unblock a server."""
        self._write(self.all() - {server})

    def _write(self, servers: set[int]) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # with STORE_URL nobody else does
        part = self._path.with_name(f"{NAME}.{os.getpid()}")
        part.unlink(missing_ok=True)
        with os.fdopen(file.create(part, 0o644), "w") as opened:
            opened.write("".join(f"{server}\n" for server in sorted(servers)))
            os.fchmod(opened.fileno(), 0o644)  # whatever the umask is
        part.replace(self._path)
