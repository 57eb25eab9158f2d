"""What may be wrong with `.env` although the settings are right."""

import difflib
from pathlib import Path

from dotenv import dotenv_values

from bot.settings import Settings

ENV = Path(".env")
_OTHERS = 0o077
_ALIKE = 0.8
"""0 to 1, as difflib counts it: RELOAD_SECOND and RELOAD_SECONDS are 0.96 alike."""


def faults(path: Path = ENV) -> str:
    """Sentences for a terminal; none, where nothing is wrong or there is no file. Raises OSError."""
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
