"""Pure: how long an answer of the model API asks us to wait, by fields, headers and words."""

import math
import re
from collections.abc import Mapping
from typing import Any

LONGEST_BELIEVED_WAIT = 30 * 86400.0
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LENGTH = re.compile(
    r"(\d{1,9}(?:\.\d{1,9})?|\ban?\b|\bone\b)\s*(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)\b",
    re.IGNORECASE,
)
_ASKED = re.compile(
    rf"\b(?:wait\w*|again|(?:re)?try\w*)\b[^\d.]{{0,30}}?((?:{_LENGTH.pattern}[\s,]{{0,3}}(?:and\s)?){{1,4}})",
    re.IGNORECASE,
)
"""Words that make a length of time a wait: it isn't one in "100 requests in 24 hours"."""


def asked_wait(headers: Mapping[str, str], answer: Mapping[str, Any], words: str, now: float) -> float | None:
    """Return the longest wait that an answer names, in seconds; None if none is believable.

    `now` in seconds since 1970, like X-RateLimit-Reset.
    """
    waits = (
        _seconds(answer.get("retry_after")),
        _seconds(headers.get("retry-after")),
        _seconds(headers.get("x-ratelimit-reset"), since=now),
        _in_words(words),
    )
    return max((seconds for seconds in waits if seconds is not None), default=None)


def estimate(value: Any) -> float:
    """Return the API's estimate in seconds; 0 if there is none."""
    return _seconds(value) or 0.0


def _in_words(words: str) -> float | None:
    asked = _ASKED.search(words)
    if asked is None:
        return None
    parts = _LENGTH.findall(asked[1])
    return _seconds(sum(_number(number) * _UNITS[unit[0].lower()] for number, unit in parts))


def _number(text: str) -> float:
    return float(text) if text[0].isdigit() else 1.0


def _seconds(value: Any, since: float = 0.0) -> float | None:
    """Return a believable wait in seconds, or None: numbers come as text, malformed, or infinite."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        seconds = float(value) - since
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and 0 < seconds <= LONGEST_BELIEVED_WAIT else None
