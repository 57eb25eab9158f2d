"""Reads the API's list of models as it comes in: megabytes, of which little is kept."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import ijson

_WHERE_ROWS_ARE = (["start_array"], ["start_map", "start_array"])
_DEEPEST = 32


async def read_list(chunks: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    """The items of the array in a JSON text, bare or in one wrapper, as they come in; nothing else is kept.

    Raises ValueError for what is not JSON, or not all of it.
    """
    events = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events)  # use_float would refuse the whole list for one long integer
    rows, begun = _Rows(), False
    try:
        async for chunk in chunks:
            parser.send(chunk if begun else chunk.removeprefix(b"\xef\xbb\xbf"))
            begun = True
            for row in rows.of(events):
                yield row
            del events[:]
            await asyncio.sleep(0)  # what has arrived already is read without a pause otherwise
        parser.close()
    except (ijson.JSONError, ArithmeticError, SystemError):
        # The last two: a number that Python cannot hold (an exponent of 20 digits, an integer of 4,301).
        raise ValueError("not JSON, or not all of it") from None


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
