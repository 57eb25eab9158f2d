"""Reads the API's list of models as it arrives: megabytes, of which little is kept."""

import asyncio
import decimal
import re
from collections.abc import AsyncIterator
from typing import Any

import ijson

_WHERE_ROWS_ARE = (["start_array"], ["start_map", "start_array"])
_DEEPEST = 32
_NO_TRAPS = decimal.Context(traps=[])
"""Decimal arithmetic without errors: an exponent of 20 digits makes no number."""
_MOST_DIGITS = 400
"""Digits in a row that are read. Python refuses numbers beyond 4,300; no ID is this long, and no float."""
_TOO_MANY_DIGITS = re.compile(rb"(?<!\d)\d{%d,}" % _MOST_DIGITS)
_DIGITS = b"0123456789"
_ZEROS = bytes.maketrans(_DIGITS, b"0" * len(_DIGITS))


async def read_list(chunks: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    """Yield the items of the array in a JSON text, bare or in one wrapper, as they arrive; keep nothing else.

    Raises ValueError for malformed or incomplete JSON.
    """
    events = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events)  # use_float would reject the whole list for one long integer
    rows, digits, begun = _Rows(), _Digits(), False
    try:
        async for chunk in chunks:
            piece = digits.of(chunk if begun else chunk.removeprefix(b"\xef\xbb\xbf"))
            begun = True
            if not piece:  # the parser would take that for the end
                continue
            with decimal.localcontext(_NO_TRAPS):
                parser.send(piece)
            for row in rows.of(events):
                yield row
            del events[:]
            await asyncio.sleep(0)  # data that has already arrived is otherwise read without a pause
        parser.close()
    except ijson.JSONError:
        raise ValueError("not JSON, or not all of it") from None


class _Digits:
    """Drops the digits of a number beyond what Python reads, wherever the chunks are cut."""

    def __init__(self) -> None:
        self._last = b""
        """Digits at the end of the data so far: more may follow."""

    def of(self, chunk: bytes) -> bytes:
        """Return a chunk without them; digits at its end come with the next chunk."""
        raw = self._last + chunk
        whole = raw.rstrip(_DIGITS)
        self._last = raw[len(whole) :][:_MOST_DIGITS]
        if b"0" * _MOST_DIGITS not in whole.translate(_ZEROS):  # twenty times as fast as the pattern
            return whole
        return _TOO_MANY_DIGITS.sub(lambda run: run[0][:_MOST_DIGITS], whole)


class _Rows:
    """Combines parser events into rows: objects in an array, at the top or one level below."""

    def __init__(self) -> None:
        self._builder: Any = None
        self._inside: list[str] = []
        """What is open: an array or an object each."""

    def of(self, events: list[tuple[str, Any]]) -> list[Any]:
        """Return the rows that these events complete. Raises ValueError for excessive nesting."""
        rows = []
        for event, value in events:
            begins = event == "start_map" and self._inside in _WHERE_ROWS_ARE
            if event.startswith("start_"):
                self._inside.append(event)
                if len(self._inside) > _DEEPEST:
                    raise ValueError("nested too deeply")
            elif event.startswith("end_"):
                self._inside.pop()
            if begins:
                self._builder = ijson.ObjectBuilder()
            if self._builder is None:
                continue
            self._builder.event(event, value)
            if event == "end_map" and self._inside in _WHERE_ROWS_ARE:
                rows.append(self._builder.value)
                self._builder = None
        return rows
