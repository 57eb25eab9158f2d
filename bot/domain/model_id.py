"""Pure: what a model id is, and how it is read from what a person typed or pasted."""

import re
from urllib.parse import urlsplit

from bot.domain.errors import BadModelId

_VENDOR_HOSTS = ("stablediffusionapi.com", "modelslab.com")
_MODEL_ID = re.compile(r"[A-Za-z0-9._\-/]{1,100}")


def parse_model_id(text: str) -> str:
    """Read a model id from what a person typed or pasted: the id, or the model's page on a vendor host.

    The case is kept: ids are the uploader's choice. Raises BadModelId.
    """
    text = text.strip(" \t\r\n\"'`“”‘’")
    if any(c.isspace() or not c.isprintable() for c in text):  # urlsplit would drop some of them
        raise BadModelId
    page = urlsplit(text if "://" in text else f"//{text}") if _could_be_page(text) else None
    if page is not None:
        text = page.path.rstrip("/").rpartition("/")[2]
    if not _MODEL_ID.fullmatch(text) or text.startswith("/") or ".." in text:
        raise BadModelId
    return text


def linked_model(text: str) -> str | None:
    """The id of the model whose page was pasted; None where it is no page."""
    try:
        id_ = parse_model_id(text)
    except BadModelId:
        return None
    return id_ if id_ != text.strip() and _could_be_page(text.strip()) else None


def _could_be_page(text: str) -> bool:
    host = text.partition("://")[2] if text.lower().startswith(("http://", "https://")) else text
    host = host.partition("/")[0].lower().removeprefix("www.")
    return host in _VENDOR_HOSTS
