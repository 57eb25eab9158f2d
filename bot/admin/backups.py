"""`backup --keep N FOLDER`: makes a dated copy of the store and, once it is good, removes the oldest ones."""

import os
import re
import secrets
from datetime import date
from pathlib import Path
from typing import NamedTuple

from bot.admin import store


class Made(NamedTuple):
    """A new backup: where it is, its bytes, and how many older ones were removed for it."""

    path: Path
    size: int
    removed: int


def back_up(data: Path, into: Path, keep: int, today: date) -> Made:
    """Copy the store of `data` into a folder, and keep `keep` copies of this store there, one a day.

    Raises StoreUnusable, and OSError for the folder; until the new copy is there, nothing is removed.
    """
    prefix = f"rewarm-{store.store_id(data):08x}-"
    target = into / f"{prefix}{today}.db"
    part = into / f"{target.name}.{secrets.token_hex(4)}.part"
    size = store.backup(data, part)
    try:
        part.replace(target)
    except OSError:
        part.unlink()
        raise
    _sync(into)
    return Made(target, size, _remove_old(into, prefix, keep, target.name))


def _remove_old(into: Path, prefix: str, keep: int, newest: str) -> int:
    """Remove all but the newest copies. The new copy stays even if the clock has gone back."""
    dated = re.compile(rf"{prefix}\d{{4}}-\d\d-\d\d\.db(?P<part>\.[0-9a-f]{{8}}\.part(-journal)?)?")
    found = [match for path in into.iterdir() if (match := dated.fullmatch(path.name)) and _is_plain(path)]
    older = sorted(match[0] for match in found if not match["part"] and match[0] != newest)
    old = older[: max(0, len(older) - (keep - 1))]
    for name in old:
        (into / name).unlink()
    for match in found:  # a backup that was killed on another day
        if match["part"] and not match[0].startswith(newest):
            (into / match[0]).unlink()
    return len(old)


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _sync(folder: Path) -> None:
    """Sync the folder, and so the copy's name; SQLite has already synced its content."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
