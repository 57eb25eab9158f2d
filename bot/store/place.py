"""Where the store's file lies, and whether it is the one that is open: it may be deleted or replaced."""

import os
from contextlib import suppress
from enum import Enum
from pathlib import Path

_HEADER = 100
_MAGIC, _MARK = slice(0, 16), slice(60, 64)
"""The first bytes of an SQLite file, and its `user_version`: https://www.sqlite.org/fileformat2.html."""


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
        self._marks = self._read_marks()
        self._helpers: dict[Path, int | None] = {}

    def look(self) -> Whereabouts:
        """Compare what is there with what was. Raises OSError."""
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return Whereabouts.GONE
        is_same = (found.st_dev, found.st_ino) == self._is and found.st_size >= self._size
        if not is_same or self._read_marks() != self._marks:
            return Whereabouts.ANOTHER
        self._size = found.st_size
        return Whereabouts.WELL

    def note_helpers(self) -> None:
        """Remember which files SQLite, which is open by now, keeps beside it."""
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

    def _read_marks(self) -> tuple[bytes, bytes]:
        header = os.pread(self._descriptor, _HEADER, 0)
        return header[_MAGIC], header[_MARK]


def _number(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
