"""Pure: interprets the model API's answers.

The body counts before the status, as the vendor sends errors inside HTTP 200 (OpenAPI file of its Reload
Model page) and its old pages give no statuses at all.
"""

import json
import re
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import SecretStr

from bot.domain.reload import Outcome
from bot.model_api.redact import harmless, repeats_key
from bot.model_api.wait import asked_wait, estimate

DEFAULT_WAIT = 30.0
LONGEST_NAMED_WAIT = 60.0
SOONEST_FETCH, LATEST_FETCH = 3.0, 20.0
"""The earliest and the latest number of seconds before a picture is first requested, whatever the API
estimates."""
LONGEST_ADDRESS = 2048
_JOB = re.compile(r"[A-Za-z0-9_-]{1,64}")
_YES = ("success", "processing")
_RENDERING = ("processing", "queued", "pending")
_NO = ("error", "failed")
_READ_CHARACTERS = 2000
"""Characters of a text that are read: with 64 KiB of near matches, the patterns would block the event loop
for 0.6 s."""
_LONGEST_INTEGER = 20
"""Digits of the longest integer that is read; Python refuses thousands of them."""

# Outcomes by wording, most certain first: from the vendor's Error Codes page, its old pages, and answers that
# users of the API have met.
_WORDS: tuple[tuple[re.Pattern[str], Outcome], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), outcome)
    for pattern, outcome in (
        (r"^\W*model( id)? not found", Outcome.UNKNOWN_MODEL),  # an id that follows does not count
        (r"rate limit|too many requests|slow down|\bqueue\b.{0,20}\bfull", Outcome.SLOW_DOWN),
        (r"\b(subscription|plan)\b.{0,20}\b(expired|ended|inactive|not active)", Outcome.NO_CREDITS),
        (r"\b(expired|inactive|no active)\b.{0,20}\bsubscription", Outcome.NO_CREDITS),
        (r"(invalid|wrong|expired|unknown)\b.{0,20}\bkey\b", Outcome.WRONG_KEY),
        (r"\bkey\b.{0,20}\b(invalid|wrong|expired|required|not found)", Outcome.WRONG_KEY),
        (
            r"\b(insufficient|enough|out of|no|more|low)\b.{0,20}\b(credit|balance|fund|wallet)",
            Outcome.NO_CREDITS,
        ),
        (
            r"\b(wallet|balance|funds?|credits?)\b.{0,30}\b(low|insufficient|empty|exhausted)",
            Outcome.NO_CREDITS,
        ),
        (r"\b(recharge|top.?up)\b", Outcome.NO_CREDITS),
        (
            r"\b(monthly|daily|plan|usage|subscription|quota|credits?)\b.{0,40}\b(exceed|reached|used up)",
            Outcome.NO_CREDITS,
        ),
        (
            r"\b(exceed\w*|reached|used up)\b.{0,30}\b(monthly|daily|plan|usage|quota|credits?)",
            Outcome.NO_CREDITS,
        ),
        (r"\blimit\b.{0,20}\b(exceeded|reached)\b.{0,40}\bupgrade", Outcome.NO_CREDITS),
        (r"premium|subscription|feature not available|upgrade your plan", Outcome.PLAN_TOO_SMALL),
        (r"^\W*(the )?(requested )?(api )?(route|endpoint|url)\b.{0,80}\bnot\b", Outcome.ADDRESS_GONE),
        (r"\bmodel\b.{0,120}\b(not (be )?found|not exist|doesn.t exist|invalid)", Outcome.UNKNOWN_MODEL),
        (r"(unknown|invalid|no such)\b.{0,20}\bmodel\b", Outcome.UNKNOWN_MODEL),
        (r"\b(route|endpoint)\b.{0,80}\bnot (be )?found", Outcome.ADDRESS_GONE),
    )
)
_STATUS_IS_THE_REASON = {
    401: Outcome.WRONG_KEY,
    402: Outcome.NO_CREDITS,
    403: Outcome.PLAN_TOO_SMALL,
    404: Outcome.ADDRESS_GONE,
    410: Outcome.ADDRESS_GONE,
}
_NOT_DONE = (408, 425, 499)
"""Refusals from in front of the API, which may have received the request anyway."""
_OF_A_MODEL = re.compile(r"\bmodels?\b|…", re.IGNORECASE)
"""Words about a model; the … stands for the ID that was requested."""

# The wording that the only public client of the reload endpoint takes for a yes, and no more.
_FRIENDLY = re.compile(
    r"\W*(the |your |this )?model\b( \S+)? is( now| being)* (re)?load(ing|ed)\b.*",
    re.IGNORECASE | re.DOTALL,
)
_DOUBT = re.compile(
    r"\b(not|no|never|cannot|unable|without|until|unless|errors?|fail\w*|invalid|wrong|denied|refused|rejected|"
    r"disabled|unavailable|unsupported|expired)\b|n['’]t\b",
    re.IGNORECASE,
)
_NO_REQUEST = re.compile(r"\brequest( id)?( was)? not found", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of a call. `said`: the API's words, harmless and short; `wait`: the seconds it asks for."""

    outcome: Outcome
    said: str = ""
    wait: float | None = None
    named: bool = False
    """Whether a 429 named the wait, and it is short enough to be waited out."""
    in_words: bool = False
    """Whether the API's words give the outcome, rather than only a status."""


def classify(
    status: int,
    headers: dict[str, str],
    body: bytes,
    key: SecretStr,
    model: str,
    now: float = 0.0,
    yes: Collection[str] = _YES,
) -> Answer:
    """Interpret an answer; `headers` by lower-case name. Takes any bytes and never raises.

    If the API repeats the `model` that was requested, its words don't count: they are the asker's. `now`:
    seconds since 1970; `yes`: the status words that accept.
    """
    answer = read(body)
    word = word_of(answer)
    if word in yes and not 300 <= status < 400:
        return Answer(Outcome.ACCEPTED)
    text = _text(answer)
    said, words = harmless(text, key), _without(model, text)
    if 300 <= status < 400:
        return Answer(Outcome.NO_USABLE_ANSWER, said)
    may_be_no = word in (*_NO, None)
    told = _meaning(words) if may_be_no else None
    if told is Outcome.SLOW_DOWN or (status == 429 and told is None and may_be_no):
        tips = _without(model, _text(answer, ("tip", "tips", "tip_1")))
        wait = asked_wait(headers, answer or {}, f"{words} {tips}", now)
        named = status == 429 and wait is not None and 1 <= wait <= LONGEST_NAMED_WAIT
        return Answer(Outcome.SLOW_DOWN, said, DEFAULT_WAIT if wait is None else wait, named)
    if told is not None:
        return Answer(told, said, in_words=True)
    if 200 <= status < 300 and word not in _NO and _is_friendly(answer, words):
        return Answer(Outcome.ACCEPTED)
    return Answer(_by_status(status, answer, words), said)


def _by_status(status: int, answer: dict[str, Any] | None, words: str) -> Outcome:
    """Interpret an answer whose words don't help."""
    if answer is None:
        return Outcome.NO_USABLE_ANSWER
    word = word_of(answer)
    if status in _STATUS_IS_THE_REASON:
        of_model = status == 404 and _OF_A_MODEL.search(words)
        return Outcome.UNKNOWN_MODEL if of_model else _STATUS_IS_THE_REASON[status]
    if word in _NO:
        return Outcome.VENDOR_TROUBLE if status >= 500 else Outcome.REFUSED
    refused = word is None and words and 400 <= status < 500 and status not in _NOT_DONE
    return Outcome.REFUSED if refused else Outcome.NO_USABLE_ANSWER


def _is_friendly(answer: dict[str, Any] | None, words: str) -> bool:
    """Return whether an answer without a known status word says that the model is reloading."""
    answer = answer or {}
    status = answer.get("status")
    plain = isinstance(status, str) or status in (None, True, 200)
    fails = answer.get("error") or answer.get("errors") or answer.get("success", True) is not True
    friendly = _FRIENDLY.fullmatch(words) and not _DOUBT.search(f"{status} {words}")
    return bool(plain and not fails and friendly)


@dataclass(frozen=True, slots=True)
class Rendering:
    """The outcome of requesting a picture: its address; or its `job`, with seconds to `wait`; or an error."""

    outcome: Outcome
    picture: str = ""
    """Its address and, after a space, a second address of the same picture, if there is one."""
    job: str = ""
    wait: float = 0.0
    said: str = ""


def read_rendering(
    status: int, headers: dict[str, str], body: bytes, key: SecretStr, model: str, now: float = 0.0
) -> Rendering:
    """Interpret an answer about a picture (Text to Image pages); takes any bytes and never raises."""
    refused = classify(status, headers, body, key, model, now, (*_YES, *_RENDERING))
    answer = read(body) or {}
    if refused.outcome is not Outcome.ACCEPTED:
        is_lost = word_of(answer) in _NO and _NO_REQUEST.search(_text(answer))
        if is_lost:
            return Rendering(Outcome.NO_PICTURE)
        return Rendering(refused.outcome, said=refused.said, wait=refused.wait or 0.0)
    id_, secret = answer.get("id"), key.get_secret_value()
    if picture := _first(answer.get("output")):
        addresses = [one for one in (picture, _first(answer.get("proxy_links"))) if _is_safe(one, secret)]
        where = " ".join(one.replace(" ", "%20") for one in addresses)
        return Rendering(Outcome.RENDERED, picture=where) if where else Rendering(Outcome.NO_PICTURE)
    if word_of(answer) not in _RENDERING:
        return Rendering(Outcome.NO_PICTURE if word_of(answer) in _YES else Outcome.NO_USABLE_ANSWER)
    job = str(id_) if isinstance(id_, int | str) else ""
    if not _JOB.fullmatch(job) or repeats_key(job, secret):
        return Rendering(Outcome.NO_USABLE_ANSWER)
    wait = min(max(estimate(answer.get("eta")), SOONEST_FETCH), LATEST_FETCH)
    return Rendering(Outcome.RENDERING, job=job, wait=wait)


def _first(links: Any) -> str:
    """Return the first address in a list of them; empty if there is none."""
    return next((one for one in links if isinstance(one, str) and one), "") if isinstance(links, list) else ""


def _is_safe(address: str, secret: str) -> bool:
    """Return whether an address can be kept: it will be stored, and used in a request."""
    return 0 < len(address) <= LONGEST_ADDRESS and address.isprintable() and not repeats_key(address, secret)


def read(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a body, or None.

    One unreadable number or letter spoils nothing else.
    """
    raw = body.removeprefix(b"\xef\xbb\xbf")
    try:
        answer = orjson.loads(raw)
    except orjson.JSONDecodeError:
        try:
            answer = json.loads(raw.decode("utf-8", "replace"), parse_int=_integer)
        except (ValueError, RecursionError):
            return None
    return answer if isinstance(answer, dict) else None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < _LONGEST_INTEGER else float(digits)


def word_of(answer: dict[str, Any] | None) -> str | None:
    """Return the status word in lower case; None if there is none."""
    word = answer.get("status") if answer else None
    return word.strip().lower() if isinstance(word, str) else None


def _text(
    answer: dict[str, Any] | None, fields: Collection[str] = ("message", "messege", "error", "errors")
) -> str:
    """Return the text of the fields that carry it, up to a limit; validation failures nest it."""
    found: list[str] = []
    rest = deque(answer.get(name) for name in fields) if answer else deque()
    while rest:
        part = rest.popleft()
        if isinstance(part, str):
            found.append(part)
        elif isinstance(part, dict):
            rest.extend(part.values())
        elif isinstance(part, list):
            rest.extend(part)
    return " ".join(found)[:_READ_CHARACTERS]


def _without(model: str, text: str) -> str:
    """Return a text with … in place of the model's ID."""
    if not model:
        return text
    return re.sub(rf"(?<![\w.-]){re.escape(model)}(?![\w-])", "…", text, flags=re.IGNORECASE)


def _meaning(words: str) -> Outcome | None:
    return next((outcome for pattern, outcome in _WORDS if pattern.search(words)), None)


def refuses_key(answer: dict[str, Any]) -> bool:
    """Return whether an answer says for sure that the key is wrong."""
    return _meaning(_text(answer)) is Outcome.WRONG_KEY
