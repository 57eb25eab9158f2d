"""Makes the API's words harmless before anybody sees them: short, plain, and without the key."""

import base64
import html
import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote

from pydantic import SecretStr

_PIECE_OF_KEY = 8
_LEAST_PIECE = 4
"""What is shorter stands in many a harmless sentence."""
_SAID_CHARACTERS = 60
_HIDDEN = "[hidden: it repeats the key]"
_BLANK = "`\u034f\u115f\u1160\u2800\u3164\uffa0"
"""What has no place in a code span, or in a reason: letters that show nothing."""
_PILE = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]{2})[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]+"
)
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")


def harmless(text: str, key: SecretStr) -> str:
    """A text as it may be shown inside a code span: no key, no backtick, one short line."""
    text = "".join(c if c.isprintable() and c not in _BLANK else " " for c in text)
    text = _PILE.sub(r"\1", " ".join(text.split()))
    if len(text) > _SAID_CHARACTERS:
        text = text[: _SAID_CHARACTERS - 1] + "…"
    return _HIDDEN if repeats_key(text, key.get_secret_value()) else text


def repeats_key(text: str, key: str) -> bool:
    """Whether a short text holds a piece of the key that is long enough to matter, in a common disguise."""
    escaped = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    spelled = (text, unquote(text), html.unescape(text), escaped)
    raw, plain = key.encode(), _bare(key, key)
    hidden = [plain, plain[::-1], raw.hex()]
    for shift in range(3):  # base64 looks another way after each number of bytes before the key
        packed = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        hidden.append(_bare(packed[4 if shift else 0 : -1], key))
    return _shares_piece(spelled, [key]) or _shares_piece([_bare(one, key) for one in spelled], hidden)


def pieces_of(key: SecretStr) -> set[str]:
    """What of a key must stand nowhere, in lower case: for texts that are too many to look at closely."""
    return _cut(key.get_secret_value().lower())


def _shares_piece(texts: Iterable[str], secrets: Iterable[str]) -> bool:
    pieces = {piece for secret in secrets if len(secret) >= _LEAST_PIECE for piece in _cut(secret)}
    return any(piece in text for piece in pieces for text in texts)


def _cut(secret: str) -> set[str]:
    """All its pieces that are long enough to matter; itself, where it is shorter."""
    return {secret[at : at + _PIECE_OF_KEY] for at in range(max(1, len(secret) - _PIECE_OF_KEY + 1))}


def _bare(text: str, key: str) -> str:
    """Letters and digits only, however they are drawn and whatever their case."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if c.isalnum() and (c.isascii() or not key.isascii()))
