"""Pure: what an answer of the model API means.

Answers are read by body first and status second, as the vendor sends errors inside HTTP 200
(OpenAPI file of its Reload Model page) and old pages give no statuses at all.
"""

import base64
import math
import re
from collections import deque
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson
from pydantic import SecretStr

from bot.reload import Outcome

_PIECE_OF_KEY = 8
_SAID_CHARACTERS = 60
_LONGEST_BELIEVED_WAIT = 86400.0
DEFAULT_WAIT = 30.0
LONGEST_NAMED_WAIT = 60.0
_YES = ("success", "processing")
_NO = ("error", "failed")

# By words: the texts on the vendor's Error Codes page and its old pages, in the order of how sure they are.
_WORDS: tuple[tuple[re.Pattern[str], Outcome], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), outcome)
    for pattern, outcome in (
        (r"^\W*model( id)? not found", Outcome.UNKNOWN_MODEL),  # an id that follows does not count
        (r"rate limit|too many requests|slow down", Outcome.SLOW_DOWN),
        (r"(invalid|wrong|expired|unknown)\b.{0,20}\bkey\b", Outcome.WRONG_KEY),
        (r"\bkey\b.{0,20}\b(invalid|wrong|expired|required|not found)", Outcome.WRONG_KEY),
        (r"(insufficient|not enough|out of|no|more)\b.{0,20}\bcredit", Outcome.NO_CREDITS),
        (r"premium|subscription|feature not available|upgrade your plan", Outcome.PLAN_TOO_SMALL),
        (r"\bmodel\b.{0,120}\b(not found|not exist|doesn.t exist|invalid)", Outcome.UNKNOWN_MODEL),
        (r"(unknown|invalid)\b.{0,20}\bmodel\b", Outcome.UNKNOWN_MODEL),
        (r"\broute\b.{0,80}\bnot be found", Outcome.REFUSED),
    )
)
_STATUS_IS_THE_REASON = {
    401: Outcome.WRONG_KEY,
    402: Outcome.NO_CREDITS,
    403: Outcome.PLAN_TOO_SMALL,
    404: Outcome.UNKNOWN_MODEL,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call. `said`: the API's words, harmless and short; `wait`: seconds it asks for."""

    outcome: Outcome
    said: str = ""
    wait: float | None = None
    named: bool = False
    """The wait was named by a 429 and is short enough to be waited out."""


def classify(status: int, headers: dict[str, str], body: bytes, key: SecretStr) -> Answer:
    """Say what an answer means; `headers` by lower-case name. Takes any bytes and never raises."""
    answer = read(body)
    said = _said(answer, key)
    if 300 <= status < 400:
        return Answer(Outcome.NO_USABLE_ANSWER, said)
    word = word_of(answer)
    if word in _YES:
        return Answer(Outcome.ACCEPTED)
    told = by_words(answer) if word in (*_NO, None) else None
    if told is Outcome.SLOW_DOWN or (status == 429 and told is None):
        return _slow_down(status, headers, answer, said)
    if told is not None:
        return Answer(told, said)
    if answer is not None and status in _STATUS_IS_THE_REASON:
        return Answer(_STATUS_IS_THE_REASON[status], said)
    if word in _NO:
        return Answer(Outcome.VENDOR_TROUBLE if status >= 500 else Outcome.REFUSED, said)
    return Answer(Outcome.NO_USABLE_ANSWER, said)


def read(body: bytes) -> dict[str, Any] | None:
    """The JSON object in a body, or None."""
    try:
        answer = orjson.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        return None
    return answer if isinstance(answer, dict) else None


def word_of(answer: dict[str, Any] | None) -> str | None:
    """The status word in lower case; None where there is none."""
    word = answer.get("status") if answer else None
    return word.strip().lower() if isinstance(word, str) else None


def _text(answer: dict[str, Any] | None) -> str:
    """All text of the fields that carry it; validation failures nest it."""
    found: list[str] = []
    rest = deque(answer.get(name) for name in ("message", "messege", "error")) if answer else deque()
    while rest:
        part = rest.popleft()
        if isinstance(part, str):
            found.append(part)
        elif isinstance(part, dict):
            rest.extend(part.values())
        elif isinstance(part, list):
            rest.extend(part)
    return " ".join(found)


def by_words(answer: dict[str, Any] | None) -> Outcome | None:
    """What the words of an answer say for sure, or None."""
    text = _text(answer)
    return next((outcome for pattern, outcome in _WORDS if pattern.search(text)), None)


def _said(answer: dict[str, Any] | None, key: SecretStr) -> str:
    """The API's words as they may be shown inside a code span: no key, no backtick, one short line."""
    text = "".join(c if c.isprintable() and c != "`" else " " for c in _text(answer))
    text = " ".join(text.split())
    plain = key.get_secret_value()
    for secret in (plain, quote(plain, safe=""), base64.b64encode(plain.encode()).decode()):
        text = _redact(text, secret)
    return text if len(text) <= _SAID_CHARACTERS else text[: _SAID_CHARACTERS - 1] + "…"


def _redact(text: str, secret: str) -> str:
    """Take out every piece of a secret that is long enough to matter, whatever its case."""
    size, low, find = min(_PIECE_OF_KEY, len(secret)), text.lower(), secret.lower()
    hidden: set[int] = set()
    for piece in {find[at : at + size] for at in range(len(find) - size + 1)}:
        start = low.find(piece) if piece else -1
        while start >= 0:
            hidden.update(range(start, start + size))
            start = low.find(piece, start + 1)
    shown = ("\0" if at in hidden else c for at, c in enumerate(text))
    return re.sub("\0+", "[key]", "".join(shown)) if len(low) == len(text) else "[key]"


def _slow_down(status: int, headers: dict[str, str], answer: dict[str, Any] | None, said: str) -> Answer:
    waits = (_seconds((answer or {}).get("retry_after")), _seconds(headers.get("retry-after")))
    wait = max((seconds for seconds in waits if seconds is not None), default=None)
    named = status == 429 and wait is not None and 1 <= wait <= LONGEST_NAMED_WAIT
    return Answer(Outcome.SLOW_DOWN, said, DEFAULT_WAIT if wait is None else wait, named)


def _seconds(value: Any) -> float | None:
    """A wait that can be believed, in seconds, or None: numbers come as text, odd, or endless."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and 0 < seconds <= _LONGEST_BELIEVED_WAIT else None
