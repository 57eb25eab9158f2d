"""Reads the API's list of models as it comes in: megabytes, of which little is kept."""

import asyncio
import decimal
import re
from collections.abc import AsyncIterator
from typing import Any

import ijson

_WHERE_ROWS_ARE = (["start_array"], ["start_map", "start_array"])
_DEEPEST = 32
_NO_TRAPS = decimal.Context(traps=[])
"""An exponent of 20 digits makes no number, and no error."""
_MOST_DIGITS = 400
"""In a row; beyond 4,300 Python refuses a number. No id is that long, and this is beyond any float."""
_TOO_MANY_DIGITS = re.compile(rb"(?<!\d)\d{%d,}" % _MOST_DIGITS)
_DIGITS = b"0123456789"
_ZEROS = bytes.maketrans(_DIGITS, b"0" * len(_DIGITS))


async def read_list(chunks: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    """The items of the array in a JSON text, bare or in one wrapper, as they come in; nothing else is kept.

    Raises ValueError for what is not JSON, or not all of it.
    """
    events = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events)  # use_float would refuse the whole list for one long integer
    rows, digits, begun = _Rows(), _Digits(), False
    try:
        async for chunk in chunks:
            piece = digits.of(chunk if begun else chunk.removeprefix(b"\xef\xbb\xbf"))
            begun = True
            if not piece:  # to the parser that would be the end
                continue
            with decimal.localcontext(_NO_TRAPS):
                parser.send(piece)
            for row in rows.of(events):
                yield row
            del events[:]
            await asyncio.sleep(0)  # what has arrived already is read without a pause otherwise
        parser.close()
    except ijson.JSONError:
        raise ValueError("not JSON, or not all of it") from None


class _Digits:
    """Leaves out the digits of a number that are more than Python reads, wherever the chunks are cut."""

    def __init__(self) -> None:
        self._last = b""
        """Digits at the end of what has come: more of them may follow."""

    def of(self, chunk: bytes) -> bytes:
        """A chunk without them; the digits at its end come with the next."""
        raw = self._last + chunk
        whole = raw.rstrip(_DIGITS)
        self._last = raw[len(whole) :][:_MOST_DIGITS]
        if b"0" * _MOST_DIGITS not in whole.translate(_ZEROS):  # twenty times as fast as the pattern
            return whole
        return _TOO_MANY_DIGITS.sub(lambda run: run[0][:_MOST_DIGITS], whole)


class _Rows:
    """Puts parser events together to rows: objects of an array, at the top or one below it."""

    def __init__(self) -> None:
        self._builder: Any = None
        self._inside: list[str] = []
        """What is open: an array or an object each."""

    def of(self, events: list[tuple[str, Any]]) -> list[Any]:
        """The rows that these events complete. Raises ValueError for what is nested too deeply."""
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
