"""Rows as they are written, the same in every store: JSON, never pickle (CVE-2024-35515)."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson
from pydantic import TypeAdapter

from bot.domain.reload import Reload
from bot.domain.rows import Event, KeyRow, PaidCall, ServerSettings, Watch

StoredRow = Reload | KeyRow | ServerSettings | Watch | PaidCall | Event | Any
"""Everything that is stored; the last type is a named value's."""
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Kind(Generic[T]):
    """A kind of row, found by a number (a server's ID, or a reload's own), by a name, or by both.

    `word` and the form of an address are stored, so they never change.
    """

    word: str
    adapter: TypeAdapter[T]
    has_number: bool = True
    has_name: bool = False

    def address(self, number: int = 0, name: str = "") -> str:
        """Return the row's address in a file, like "watch:<server>:<model>"."""
        parts = [self.word, *([str(number)] if self.has_number else []), *([name] if self.has_name else [])]
        return ":".join(parts)

    def place(self, address: str) -> tuple[int, str]:
        """Return number and name from an address. Raises ValueError."""
        rest = address.partition(":")[2]
        if not self.has_number:
            return 0, rest
        number, _, name = rest.partition(":")
        return int(number), name


RELOAD = Kind("reload", TypeAdapter(Reload))
KEY = Kind("key", TypeAdapter(KeyRow))
SETTINGS = Kind("settings", TypeAdapter(ServerSettings))
WATCH = Kind("watch", TypeAdapter(Watch), has_name=True)
PAID = Kind("paid", TypeAdapter(PaidCall), has_name=True)
EVENT = Kind("event", TypeAdapter(Event), has_name=True)
VALUE: Kind[Any] = Kind("value", TypeAdapter(Any), has_number=False, has_name=True)
FORGOTTEN = Kind("forgotten", TypeAdapter(int))
"""The highest ID of a forgotten server's reloads, while the rest of them is being deleted."""
KINDS: dict[str, Kind[Any]] = {
    kind.word: kind for kind in (RELOAD, KEY, SETTINGS, WATCH, PAID, EVENT, VALUE, FORGOTTEN)
}


def kind_of(address: str) -> Kind[Any]:
    """Return the kind of the row at an address. Raises ValueError."""
    kind = KINDS.get(address.partition(":")[0])
    if kind is None:
        raise ValueError("not a row of ours")
    return kind


def pack(value: StoredRow | None) -> bytes | None:
    """Return a row's value as it is written; None for a deleted row."""
    return None if value is None else orjson.dumps(value)  # dataclasses as objects


def unpack(kind: Kind[T], address: str, value: Any) -> T:
    """Return the row at an address from its JSON. Raises pydantic.ValidationError, ValueError."""
    row, (number, _) = kind.adapter.validate_python(value), kind.place(address)
    if isinstance(row, Reload) and (row.id != number or not row.askers):
        raise ValueError("not a row of ours")
    return row
