"""One language: what is said in it, and how commands are mentioned."""

from collections.abc import Callable
from gettext import NullTranslations
from typing import Any

Command = Callable[[str], str]
"""From a command's full name ("key set") to its mention."""
COMMANDS = ("reload", "models", "settings", "key set", "key status", "key remove")
_COMMANDS = {name.replace(" ", "_"): name for name in COMMANDS}


def n_(text: str) -> str:
    """Mark a text that is said elsewhere, so that it is found for translation."""
    return text


class Language:
    """Says sentences: `say("Ready at {time}", time=…)`; `{reload}`, `{key_set}` are commands to tap."""

    def __init__(self, translations: NullTranslations, command: Command) -> None:
        self._translations = translations
        self._command = command

    def __call__(self, text: str, /, **values: Any) -> str:
        """A sentence in this language; in English where it is not translated."""
        return self._translations.gettext(text).format_map(_Values(values, self._command))

    def count(self, one: str, many: str, number: int, /, **values: Any) -> str:
        """The same for a number, which the sentence has as `{number}`."""
        text = self._translations.ngettext(one, many, number)
        return text.format_map(_Values({**values, "number": number}, self._command))


class _Values(dict[str, Any]):
    """What stands in a sentence; a command is made into its mention only where there is one."""

    def __init__(self, values: dict[str, Any], command: Command) -> None:
        super().__init__(values)
        self._command = command

    def __missing__(self, name: str) -> str:
        return self._command(_COMMANDS[name])
