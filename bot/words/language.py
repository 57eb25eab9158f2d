"""One language: its sentences, and how commands are mentioned."""

from collections.abc import Callable
from gettext import NullTranslations
from typing import Any

Command = Callable[[str], str]
"""Turns a command's full name ("key set") into its mention."""
COMMANDS = ("reload", "models", "settings", "key set", "key status", "key remove")
_COMMANDS = {name.replace(" ", "_"): name for name in COMMANDS}


def n_(text: str) -> str:
    """Mark a text that is used elsewhere, so that it is found for translation."""
    return text


class Language:
    """Says sentences: `say("Ready at {time}", time=…)`; `{reload}`, `{key_set}` are commands to tap."""

    def __init__(self, translations: NullTranslations, command: Command) -> None:
        self._translations = translations
        self._command = command

    def __call__(self, text: str, /, **values: Any) -> str:
        """Return a sentence in this language, or in English if it is not translated."""
        return self._translations.gettext(text).format_map(_Values(values, self._command))

    def count(self, one: str, many: str, number: int, /, **values: Any) -> str:
        """Return the sentence for a number, which it contains as `{number}`."""
        text = self._translations.ngettext(one, many, number)
        return text.format_map(_Values({**values, "number": number}, self._command))


class _Values(dict[str, Any]):
    """The values in a sentence; a command is turned into its mention only if it occurs."""

    def __init__(self, values: dict[str, Any], command: Command) -> None:
        super().__init__(values)
        self._command = command

    def __missing__(self, name: str) -> str:
        return self._command(_COMMANDS[name])
