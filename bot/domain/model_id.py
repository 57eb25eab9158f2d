"""Pure: recognises a model ID, and reads one from text that a person typed or pasted."""

import re
from urllib.parse import parse_qs

from bot.domain.errors import BadModelId, NoModelPage

_PAGE = re.compile(
    r"(https?://)?(?P<place>([\w-]+\.)*)(stablediffusionapi|modelslab)\.com"
    r"(?P<path>/[^?#]*)?(\?(?P<query>[^#]*))?(#.*)?",
    re.IGNORECASE,
)
"""An address of the vendor; its model pages are only on the bare host and on www."""
_MODEL_ID = re.compile(r"[A-Za-z0-9._\-/]{1,100}")
_LISTS = ("section", "category")
"""Paths of lists: in `/models/section/lora`, `section` is not a provider."""


def parse_model_id(text: str) -> str:
    """Read a model ID from text that a person typed or pasted: the ID, or the model's page on a vendor host.

    The case is kept, since uploaders choose their IDs. Raises BadModelId; NoModelPage for another page there.
    """
    text = text.strip(" \t\r\n\"'`“”‘’")
    if any(c.isspace() or not c.isprintable() for c in text):  # urlsplit would drop some of these characters
        raise BadModelId
    if page := _PAGE.fullmatch(text):
        text = _model_of(page)
    if not _MODEL_ID.fullmatch(text) or text.startswith("/") or ".." in text:
        raise BadModelId
    return text


def linked_model(text: str) -> str | None:
    """Return the ID of the model whose page was pasted; None if it is not a page."""
    try:
        return parse_model_id(text) if _PAGE.fullmatch(text.strip()) else None
    except BadModelId:
        return None


def _model_of(page: re.Match[str]) -> str:
    """Return the model of a page: `/models/<id>`, `/models/<provider>/<id>`, or `?model_id=` anywhere."""
    if page["place"].lower() not in ("", "www."):
        raise NoModelPage
    match [part for part in (page["path"] or "").split("/") if part and part != "llms.txt"]:
        case [models, id_] if models.lower() == "models" and id_.lower() not in _LISTS:
            return id_.removesuffix(".md")
        case [models, provider, id_] if models.lower() == "models" and provider.lower() not in _LISTS:
            return id_.removesuffix(".md")
    named = parse_qs(page["query"] or "").get("model_id")
    if not named:
        raise NoModelPage
    first: str = named[0]
    return first
