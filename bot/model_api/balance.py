"""Pure: reads the balance from an answer of the model API."""

import math
import re
from typing import Any, NamedTuple

from pydantic import SecretStr

from bot.model_api.redact import repeats_key

LARGEST_BALANCE = 1e12
"""The largest balance that is believed."""
_CURRENCY = re.compile(r"[A-Z]{3}")


class Balance(NamedTuple):
    """The balance; `currency`: three capital letters, or empty if none is named."""

    amount: float
    currency: str


def read_balance(answer: dict[str, Any] | None, key: SecretStr) -> Balance | None:
    """Return the balance in an answer, or None.

    It is in `data`, or at the top, where one client's test has it.
    """
    told = (answer or {}).get("data")
    told = told if isinstance(told, dict) else answer or {}
    amount, currency = _number(told.get("balance")), str(told.get("currency")).upper()
    if amount is None or abs(amount) > LARGEST_BALANCE or repeats_key(str(amount), key.get_secret_value()):
        return None
    return Balance(amount, currency if _CURRENCY.fullmatch(currency) else "")


def _number(value: Any) -> float | None:
    """Return a number, or None: they come as text, malformed, or infinite."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
