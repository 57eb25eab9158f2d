"""Pure: a row as it is written, the same in every store: JSON, never pickle (CVE-2024-35515)."""

from typing import Any

import orjson
from pydantic import TypeAdapter

from bot.domain.reload import Reload
from bot.domain.rows import KeyRow, ServerSettings, Watch
from bot.store.memory import StoredRow

_KINDS: dict[str, TypeAdapter[Any]] = {
    "reload": TypeAdapter(Reload),
    "key": TypeAdapter(KeyRow),
    "settings": TypeAdapter(ServerSettings),
    "watch": TypeAdapter(Watch),
}


def pack(value: StoredRow | None) -> bytes | None:
    """A row's value as it is written; None for a row that is gone."""
    return None if value is None else orjson.dumps(value)  # dataclasses as objects


def unpack(name: str, value: Any) -> StoredRow:
    """The row of a name ("reload:<id>" …) from its JSON. Raises pydantic.ValidationError, ValueError."""
    kind, _, rest = name.partition(":")
    if kind not in _KINDS:
        return value
    row = _KINDS[kind].validate_python(value)
    int(rest.partition(":")[0])
    if isinstance(row, Reload) and (row.id != int(rest) or not row.askers):
        raise ValueError("not a row of ours")
    return row
