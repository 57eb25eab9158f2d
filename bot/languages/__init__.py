"""Chooses everybody's language: gettext translations, read once at the start."""

import io
from gettext import GNUTranslations, NullTranslations
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from bot.words.language import Command, Language

NAMES = {
    "en": "English",
    "de": "Deutsch",
    "es": "Español",
    "fr": "Français",
    "ja": "日本語",
    "pt_BR": "Português (Brasil)",
}
"""Each language's own name, by the name of its file here."""
LOCALES = {
    "de": "de",
    "es-ES": "es",
    "es-419": "es",
    "fr": "fr",
    "ja": "ja",
    "pt-BR": "pt_BR",
}
"""Our codes by Discord's; every other locale gets English (Discord's page on locales)."""


class Languages:
    """All languages of this process."""

    def __init__(self, command: Command) -> None:
        self._by_code = {code: Language(translations(code), command) for code in NAMES}

    def of(self, locale: object) -> Language:
        """The language for one of Discord's locales, or for one of our own codes; English for any other."""
        code = str(locale)
        return self._by_code.get(LOCALES.get(code, code), self._by_code["en"])


def translations(code: str) -> NullTranslations:
    """Return the sentences of a language; uncertain ("fuzzy") ones stay English."""
    if code == "en":
        return NullTranslations()
    packed = io.BytesIO()
    with (Path(__file__).parent / f"{code}.po").open("rb") as file:
        write_mo(packed, read_po(file, locale=code))
    packed.seek(0)
    return GNUTranslations(packed)
