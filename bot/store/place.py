"""Where the store's file lies, and whether it is the one that is open: it may be deleted or replaced."""

import os
import struct
from contextlib import suppress
from enum import Enum
from pathlib import Path

_HEADER = struct.Struct(">16sH10xI28xI36x")
"""How an SQLite file begins: its kind, bytes of a page (1: 65,536), pages, `user_version`.

https://www.sqlite.org/fileformat2.html
"""
_KIND = b"SQLite format 3\0"


class Whereabouts(Enum):
    """What was found at the file's path."""

    WELL = "well"
    GONE = "gone"
    ANOTHER = "another"
    """Replaced, truncated, or written over."""


class Place:
    """The file at a path, as it was when this was made: before SQLite opened it. It is closed after that.

    Closing any descriptor of a file ends all POSIX locks that the process has on it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY)
        found = os.fstat(self._descriptor)
        self._is = (found.st_dev, found.st_ino)
        self._size = 0
        self._marks: set[int] = set()
        self._helpers: dict[Path, int | None] = {}

    def look(self) -> Whereabouts:
        """Compare what is there with what was. Raises OSError."""
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return Whereabouts.GONE
        if (found.st_dev, found.st_ino) != self._is or not self._is_ours(found.st_size):
            return Whereabouts.ANOTHER
        self._size = found.st_size
        return Whereabouts.WELL

    def _is_ours(self, size: int) -> bool:
        header = os.pread(self._descriptor, _HEADER.size, 0)
        if len(header) < _HEADER.size:
            return False
        kind, page, pages, mark = _HEADER.unpack(header)
        is_tidied = size == pages * (page if page > 1 else 65536)  # VACUUM makes it smaller
        return kind == _KIND and mark in self._marks and (size >= self._size or is_tidied)

    def is_open(self, mark: int) -> None:
        """Note what SQLite, which is open by now, keeps beside it, and what it has as `user_version`.

        With a reader in the way that number is not in the file yet.
        """
        header = os.pread(self._descriptor, _HEADER.size, 0)
        self._marks = {mark, _HEADER.unpack(header)[3]}
        names = [self.path.with_name(self.path.name + suffix) for suffix in ("-wal", "-shm")]
        self._helpers = {name: _number(name) for name in names}

    def remove_helpers(self) -> None:
        """Delete what SQLite keeps beside the file, if it is ours: it would be taken for another file's."""
        for name, number in self._helpers.items():
            if number is not None and number == _number(name):
                with suppress(OSError):
                    name.unlink()

    def close(self) -> None:
        """Let go of it, after SQLite has."""
        os.close(self._descriptor)


def _number(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
