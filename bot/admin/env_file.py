"""Finds what may be wrong with `.env` even though the settings are valid."""

import difflib
from pathlib import Path

from dotenv import dotenv_values

from bot.settings import Settings

ENV = Path(".env")
_OTHERS = 0o077
_ALIKE = 0.8
"""How alike two names must be to count as a typo, 0 to 1 by difflib; RELOAD_SECOND and RELOAD_SECONDS have
0.96."""


def faults(path: Path = ENV) -> str:
    """Return sentences for a terminal; none if nothing is wrong or there is no file. Raises OSError."""
    if not path.is_file():
        return ""
    settings = [name.upper() for name in Settings.model_fields]
    said = []
    for name in dotenv_values(path):
        meant = difflib.get_close_matches(name.upper(), settings, 1, _ALIKE)
        if meant and meant != [name.upper()]:
            said.append(f"{name} in {path} isn't a setting. Did you mean {meant[0]}?")
    if path.stat().st_mode & _OTHERS:
        said.append(f"Others on this machine can read {path}, and the token in it: chmod 600 {path}")
    return " ".join(said)
