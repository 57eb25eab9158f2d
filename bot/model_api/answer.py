"""Pure: what an answer of the model API means.

Answers are read by body first and status second, as the vendor sends errors inside HTTP 200
(OpenAPI file of its Reload Model page) and old pages give no statuses at all.
"""

import math
import re
from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from pydantic import SecretStr

from bot.domain.reload import Outcome
from bot.model_api.redact import harmless, repeats_key

LONGEST_BELIEVED_WAIT = 30 * 86400.0
DEFAULT_WAIT = 30.0
LONGEST_NAMED_WAIT = 60.0
SOONEST_FETCH, LATEST_FETCH = 3.0, 20.0
"""Seconds after which a picture is first asked for, whatever the API estimates."""
LONGEST_ADDRESS = 2048
LARGEST_BALANCE = 1e12
"""What is said to be more is not believed."""
_CURRENCY = re.compile(r"[A-Z]{3}")
_JOB = re.compile(r"[A-Za-z0-9_-]{1,64}")
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


def classify(status: int, headers: dict[str, str], body: bytes, key: SecretStr, model: str) -> Answer:
    """Say what an answer means; `headers` by lower-case name. Takes any bytes and never raises.

    Where the API repeats the `model` that was asked for, its words do not count: they are the asker's.
    """
    answer = read(body)
    said = harmless(_text(answer), key)
    if 300 <= status < 400:
        return Answer(Outcome.NO_USABLE_ANSWER, said)
    word = word_of(answer)
    if word in _YES:
        return Answer(Outcome.ACCEPTED)
    may_be_no = word in (*_NO, None)
    told = by_words(answer, model) if may_be_no else None
    if told is Outcome.SLOW_DOWN or (status == 429 and told is None and may_be_no):
        return _slow_down(status, headers, answer, said)
    if told is not None:
        return Answer(told, said)
    if answer is not None and status in _STATUS_IS_THE_REASON:
        return Answer(_STATUS_IS_THE_REASON[status], said)
    if word in _NO:
        return Answer(Outcome.VENDOR_TROUBLE if status >= 500 else Outcome.REFUSED, said)
    return Answer(Outcome.NO_USABLE_ANSWER, said)


@dataclass(frozen=True, slots=True)
class Rendering:
    """What came of asking for a picture: its address; its `job`, with the seconds to `wait`; or why not."""

    outcome: Outcome
    picture: str = ""
    job: str = ""
    wait: float = 0.0
    said: str = ""


def read_rendering(
    status: int, headers: dict[str, str], body: bytes, key: SecretStr, model: str
) -> Rendering:
    """Say what an answer about a picture means (Text to Image pages); takes any bytes and never raises."""
    refused = classify(status, headers, body, key, model)
    if refused.outcome is not Outcome.ACCEPTED:
        return Rendering(refused.outcome, said=refused.said, wait=refused.wait or 0.0)
    answer = read(body) or {}
    output = answer.get("output")
    pictures = [one for one in output if isinstance(one, str) and one] if isinstance(output, list) else []
    job, secret = str(answer.get("id")), key.get_secret_value()
    if pictures:
        safe = len(pictures[0]) <= LONGEST_ADDRESS and not repeats_key(pictures[0], secret)
        return Rendering(Outcome.RENDERED, picture=pictures[0]) if safe else Rendering(Outcome.NO_PICTURE)
    if word_of(answer) != "processing":
        return Rendering(Outcome.NO_PICTURE)
    if not _JOB.fullmatch(job) or repeats_key(job, secret):
        return Rendering(Outcome.NO_USABLE_ANSWER)
    eta = _seconds(answer.get("eta")) or 0.0
    return Rendering(Outcome.RENDERING, job=job, wait=min(max(eta, SOONEST_FETCH), LATEST_FETCH))


class Balance(NamedTuple):
    """What is left to spend; `currency`: three capital letters, or empty where none is named."""

    amount: float
    currency: str


def read_balance(answer: dict[str, Any] | None, key: SecretStr) -> Balance | None:
    """The balance in an answer, or None: it stands in `data`, or at the top as one client's test has it."""
    told = (answer or {}).get("data")
    told = told if isinstance(told, dict) else answer or {}
    amount, currency = _number(told.get("balance")), str(told.get("currency")).upper()
    if amount is None or abs(amount) > LARGEST_BALANCE or repeats_key(str(amount), key.get_secret_value()):
        return None
    return Balance(amount, currency if _CURRENCY.fullmatch(currency) else "")


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


def by_words(answer: dict[str, Any] | None, model: str = "") -> Outcome | None:
    """What the words of an answer say for sure, or None; those of the `model`'s id do not count."""
    text = _text(answer)
    if model:
        text = re.sub(rf"(?<![\w.-]){re.escape(model)}(?![\w-])", "…", text, flags=re.IGNORECASE)
    return next((outcome for pattern, outcome in _WORDS if pattern.search(text)), None)


def _slow_down(status: int, headers: dict[str, str], answer: dict[str, Any] | None, said: str) -> Answer:
    waits = (_seconds((answer or {}).get("retry_after")), _seconds(headers.get("retry-after")))
    wait = max((seconds for seconds in waits if seconds is not None), default=None)
    named = status == 429 and wait is not None and 1 <= wait <= LONGEST_NAMED_WAIT
    return Answer(Outcome.SLOW_DOWN, said, DEFAULT_WAIT if wait is None else wait, named)


def _seconds(value: Any) -> float | None:
    """A wait that can be believed, in seconds, or None."""
    seconds = _number(value)
    return seconds if seconds is not None and 0 < seconds <= LONGEST_BELIEVED_WAIT else None


def _number(value: Any) -> float | None:
    """A number, or None: they come as text, odd, or endless."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
