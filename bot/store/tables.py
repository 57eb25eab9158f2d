"""Pure: rows in memory, and their changes since the last write."""

from typing import TYPE_CHECKING, Any

from bot.domain.reload import Reload
from bot.store.rows import (
    EVENT,
    FORGOTTEN,
    KEY,
    PAID,
    RELOAD,
    SETTINGS,
    VALUE,
    WATCH,
    Kind,
    StoredRow,
    kind_of,
)

if TYPE_CHECKING:
    from bot.domain.rows import Event, KeyRow, PaidCall, ServerSettings, Watch


class Tables:
    """Rows by address ("reload:<id>", "key:<server>", "value:<name>" …).

    `changed` is what the disk doesn't have yet; `undo` takes it back.
    """

    def __init__(self) -> None:
        self.reloads: dict[int, Reload] = {}
        self.of_server: dict[int, dict[int, Reload]] = {}
        self.keys: dict[int, KeyRow] = {}
        self.settings: dict[int, ServerSettings] = {}
        self.watches: dict[tuple[int, str], Watch] = {}
        self.paid_calls: dict[int, dict[str, PaidCall]] = {}
        """By server and name; a server without any has no entry."""
        self.events: dict[int, dict[str, Event]] = {}
        """Events in the same form."""
        self.values: dict[str, Any] = {}
        self.forgotten: dict[int, int] = {}
        """Servers whose reloads up to this ID are hidden, until all of them are deleted."""
        self.changed: dict[str, Any] = {}
        """Changed rows by address; None: deleted."""
        self._before: dict[str, Any] = {}
        self._touched: set[int] = set()
        """Reloads that were changed, or read for a verb."""

    def begin(self) -> None:
        """Begin: everything changed so far is on disk."""
        self.changed, self._before = {}, {}

    def undo(self) -> None:
        """Take back what has changed since `begin`."""
        for address, value in self._before.items():
            self.remember(address, value)

    def _table(self, address: str) -> tuple[dict[Any, Any], Any]:
        """Return the table for an address."""
        kind = kind_of(address)
        number, name = kind.place(address)
        if kind in (PAID, EVENT):  # a server has few; they are read with each answer of the API
            of_servers: dict[int, Any] = self.paid_calls if kind is PAID else self.events
            return of_servers.setdefault(number, {}), name
        tables: dict[Kind[Any], tuple[dict[Any, Any], Any]] = {
            RELOAD: (self.reloads, number),
            KEY: (self.keys, number),
            SETTINGS: (self.settings, number),
            WATCH: (self.watches, (number, name)),
            VALUE: (self.values, name),
            FORGOTTEN: (self.forgotten, number),
        }
        return tables[kind]

    def known(self, address: str) -> StoredRow | None:
        """Return the row at an address, or None."""
        table, place = self._table(address)
        return table.get(place)

    def remember(self, address: str, value: StoredRow | None) -> None:
        """Hold a row as the disk has it; None: it has none."""
        table, place = self._table(address)
        if value is not None:  # in one go: the other thread reads in the meantime
            table[place] = value
        elif isinstance(gone := table.pop(place, None), Reload):
            of_server = self.of_server[gone.server]
            del of_server[gone.id]
            if not of_server:
                del self.of_server[gone.server]
        elif (kind := kind_of(address)) in (PAID, EVENT) and not table:
            del (self.paid_calls if kind is PAID else self.events)[kind.place(address)[0]]
        if isinstance(value, Reload):
            self.of_server.setdefault(value.server, {})[value.id] = value

    def change(self, address: str, value: StoredRow | None) -> None:
        """Change memory, and record it for the disk; None deletes. It is undone if the disk fails."""
        self._before.setdefault(address, self.known(address))
        self.changed[address] = value
        self.remember(address, value)
        if isinstance(value, Reload):
            self._touched.add(value.id)
