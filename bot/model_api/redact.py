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
"""The shortest piece that is hidden: shorter ones occur in many harmless sentences."""
_SAID_CHARACTERS = 60
_HIDDEN = "[hidden: it repeats the key]"
_BLANK = "`\u034f\u115f\u1160\u2800\u3164\uffa0"
"""Characters that are removed from a code span or a reason: letters that show nothing."""
_PILE = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]{2})[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]+"
)
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")


def harmless(text: str, key: SecretStr) -> str:
    """Return a text that can be shown inside a code span: one short line, no key, no backtick."""
    text = "".join(c if c.isprintable() and c not in _BLANK else " " for c in text)
    text = _PILE.sub(r"\1", " ".join(text.split()))
    if len(text) > _SAID_CHARACTERS:
        text = text[: _SAID_CHARACTERS - 1] + "…"
    return _HIDDEN if repeats_key(text, key.get_secret_value()) else text


def repeats_key(text: str, key: str) -> bool:
    """Return whether a short text contains a piece of the key long enough to matter, even disguised."""
    escaped = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    spelled = (text, unquote(text), html.unescape(text), escaped)
    raw, plain = key.encode(), _bare(key, key)
    hidden = [plain, plain[::-1], raw.hex()]
    for shift in range(3):  # base64 looks different for each offset of the key
        packed = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        hidden.append(_bare(packed[4 if shift else 0 : -1], key))
    return _shares_piece(spelled, [key]) or _shares_piece([_bare(one, key) for one in spelled], hidden)


def pieces_of(key: SecretStr) -> set[str]:
    """Return the lower-case pieces of a key that must not appear: for texts too numerous for a close look."""
    return _cut(key.get_secret_value().lower())


def _shares_piece(texts: Iterable[str], secrets: Iterable[str]) -> bool:
    pieces = {piece for secret in secrets if len(secret) >= _LEAST_PIECE for piece in _cut(secret)}
    return any(piece in text for piece in pieces for text in texts)


def _cut(secret: str) -> set[str]:
    """Return all its pieces that are long enough to matter; the text itself if it is shorter."""
    return {secret[at : at + _PIECE_OF_KEY] for at in range(max(1, len(secret) - _PIECE_OF_KEY + 1))}


def _bare(text: str, key: str) -> str:
    """Return only letters and digits, in one case, however they are drawn."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if c.isalnum() and (c.isascii() or not key.isascii()))
