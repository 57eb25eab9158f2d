"""Checks whether the store's file is still the one that is open: it may be deleted or replaced."""

import os
import struct
from contextlib import suppress
from enum import Enum
from pathlib import Path

_HEADER = struct.Struct(">16sH10xI28xI36x")
"""The start of an SQLite file: its type, bytes per page (1: 65,536), pages, `user_version`.
https://www.sqlite.org/fileformat2.html"""
_KIND = b"SQLite format 3\0"
_INDEX = struct.Struct("=14xHI")
"""The start of the index of its write-ahead log (-shm): bytes per page, and pages in the log.
https://www.sqlite.org/walformat.html"""
_LOG_HEADER, _PAGE_HEADER = 32, 24
"""Bytes before the log's first page, and before each page."""


class Whereabouts(Enum):
    """The result of looking at the file's path."""

    WELL = "well"
    GONE = "gone"
    ANOTHER = "another"
    """The file was replaced, truncated, or overwritten."""
    CUT = "cut"
    """The write-ahead log is shorter than what SQLite has written to it."""
    APART = "apart"
    """SQLite's helper files are not next to the file, where a restart looks for what was last written."""


class Place:
    """The file at a path, as it was when this was made: before SQLite opened it.

    It must be closed after SQLite: closing any descriptor of a file ends all POSIX locks that the process has
    on it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY)
        found = os.fstat(self._descriptor)
        self._is = (found.st_dev, found.st_ino)
        self._size = 0
        self._marks: set[int] = set()
        self._real = os.path.realpath(path)
        """SQLite puts its helper files next to this, even if the path is a link."""
        self._log = Path(f"{self._real}-wal")
        self._index: int | None = None
        self._helpers: dict[Path, int] = {}

    def look(self) -> Whereabouts:
        """Compare the file that is there with the one that was. Raises OSError."""
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return Whereabouts.GONE
        if (found.st_dev, found.st_ino) != self._is or not self._is_ours(found.st_size):
            return Whereabouts.ANOTHER
        self._size = found.st_size
        if any(_number(name) != number for name, number in self._helpers.items()):
            return Whereabouts.ANOTHER if self._has_other_log() else Whereabouts.APART
        if not self._is_log_whole():
            return Whereabouts.CUT
        return Whereabouts.WELL if os.path.realpath(self.path) == self._real else Whereabouts.APART

    def _has_other_log(self) -> bool:
        """Return whether somebody has put a write-ahead log there: a part of a backup, perhaps."""
        return _number(self._log) not in (None, self._helpers.get(self._log)) and self._log.stat().st_size > 0

    def _is_log_whole(self) -> bool:
        if self._index is None:
            return True
        page, pages = _INDEX.unpack(os.pread(self._index, _INDEX.size, 0))
        page = page if page > 1 else 65536
        return not pages or self._log.stat().st_size >= _LOG_HEADER + pages * (_PAGE_HEADER + page)

    def _is_ours(self, size: int) -> bool:
        header = os.pread(self._descriptor, _HEADER.size, 0)
        if len(header) < _HEADER.size:
            return False
        kind, page, pages, mark = _HEADER.unpack(header)
        is_tidied = size == pages * (page if page > 1 else 65536)  # VACUUM makes it smaller
        return kind == _KIND and mark in self._marks and (size >= self._size or is_tidied)

    def is_open(self, mark: int) -> None:
        """Record SQLite's helper files, now that it has opened the file, and its `user_version`.

        While a reader is in the way, that number is not in the file yet.
        """
        header = os.pread(self._descriptor, _HEADER.size, 0)
        self._marks = {mark, _HEADER.unpack(header)[3]}
        index = Path(f"{self._real}-shm")
        names = (self._log, index)
        self._helpers = {name: number for name in names if (number := _number(name)) is not None}
        with suppress(FileNotFoundError):
            self._index = os.open(index, os.O_RDONLY)

    def remove_helpers(self) -> None:
        """Delete SQLite's helper files if they are ours: they would be taken for another file's."""
        for name, number in self._helpers.items():
            if number == _number(name):
                with suppress(OSError):
                    name.unlink()

    def close(self) -> None:
        """Close the files, after SQLite has."""
        os.close(self._descriptor)
        if self._index is not None:
            os.close(self._index)


def _number(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
