"""Why the API gave no usable answer, in words for the operator, with what to do about it."""

from typing import NamedTuple

import aiohttp
from pydantic import SecretStr

from bot.domain.reload import Outcome
from bot.model_api.answer import classify


class Trouble(NamedTuple):
    """`what` follows the host's name; `cure` is a sentence."""

    what: str
    cure: str


UNCLEAR = Trouble(
    "gave no usable answer",
    "Are MODEL_API_URL and MODEL_API_VERSION right, and is there a newer version of the bot?",
)
_LATE = Trouble("didn't answer in time", "Can this machine reach it?")
_UNTRUSTED = Trouble("has a certificate that isn't trusted", "Is a proxy in the way, or the clock wrong?")
_AWAY = Trouble("can't be reached", "Is MODEL_API_URL right, and this machine online?")
_PAGE = Trouble("didn't answer; a web page did", "Is MODEL_API_URL right, or a proxy or firewall in the way?")


def of_error(error: Exception) -> Trouble:
    """Explain why there is no answer at all."""
    match error:
        case TimeoutError():
            return _LATE
        case aiohttp.ClientConnectorCertificateError():
            return _UNTRUSTED
        case OSError():
            return _AWAY
    return UNCLEAR


def of_answer(status: int, headers: dict[str, str], body: bytes, key: SecretStr) -> Trouble:
    """Explain an answer that says nothing about the key."""
    answer = classify(status, headers, body, key, "")
    if answer.outcome is Outcome.SLOW_DOWN:
        return Trouble("wants us to slow down", f"Wait {answer.wait:.0f} s.")
    if status >= 500:
        return Trouble(f"is having problems (status {status})", "Try again later.")
    return _PAGE if body.lstrip().startswith(b"<") else UNCLEAR
