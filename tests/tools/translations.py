"""Brings the translations in `bot/languages` up to date with the code: `make translations`."""

import io
import re

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from bot.languages import NAMES
from tests import INSTALLED

FOLDER = INSTALLED / "bot" / "languages"
CODES = [code for code in NAMES if code != "en"]
_CHANGING = re.compile(
    r'^"(Report-Msgid-Bugs-To|POT-Creation-Date|PO-Revision-Date|Last-Translator|Language-Team|Generated-By|'
    r"Project-Id-Version): .*\n",
    re.MULTILINE,
)
_KEYWORDS = {"say": None, "n_": None, "count": (1, 2)}


def said() -> Catalog:
    """Every sentence in the code."""
    found = Catalog()
    for folder in ("bot/words", "cogs"):
        for _, _, message, _, _ in extract_from_dir(
            str(INSTALLED / folder), [("**.py", "python")], keywords=_KEYWORDS
        ):
            found.add(message)
    return found


def read(code: str) -> Catalog:
    """Return one language's sentences, as they are in its file."""
    with (FOLDER / f"{code}.po").open("rb") as file:
        return read_po(file, locale=code)


def write(code: str, translated: Catalog) -> None:
    """Write them in the order of the English ones, without the headers that would change each time."""
    packed = io.BytesIO()
    write_po(packed, translated, width=110, no_location=True, sort_output=True, ignore_obsolete=True)
    text = _CHANGING.sub("", packed.getvalue().decode())
    (FOLDER / f"{code}.po").write_text(text, "utf-8")


def main() -> None:
    for code in CODES:
        translated = read(code)
        translated.update(said(), no_fuzzy_matching=True)
        write(code, translated)


if __name__ == "__main__":
    main()
