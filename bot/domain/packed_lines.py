"""Pure: numbered lines as one piece of UTF-8, in which any text is found quickly."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Literal

_BLOCK = 64
"""Lines that are searched together."""
_WORTH_FILING = 4096
_BUCKETS = 8191
"""The number of buckets: a prime, so that letters spread well."""
_PAIR, _FOUR = 2, 4
_AS_NUMBERS: dict[int, Literal["H", "I"]] = {_PAIR: "H", _FOUR: "I"}
_DIGITS = b"01" + bytes(254)


class PackedLines:
    """Numbered lines; a line's number is its position.

    Rare text takes longest to find, and two or three letters longer than many, because a search can't skip
    anything. So each block of lines is filed under the pairs and fours of bytes in it.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        text, self._starts = bytearray(b"\n"), array("I", [1])
        for line in lines:
            text += _packed(line) + b"\n"
            self._starts.append(len(text))
        self._text = bytes(text)
        self._width = len(self._starts) // _BLOCK // 8 + 1
        self._blocks = self._filed() if len(self._starts) > _WORTH_FILING else None

    def beginning_with(self, text: str) -> Iterator[int]:
        """Return the numbers of the lines that start with a text."""
        return self._numbers(b"\n" + _packed(text), 1)

    def holding(self, text: str) -> Iterator[int]:
        """Return the numbers of the lines that contain a text."""
        return self._numbers(_packed(text), 0)

    def _numbers(self, packed: bytes, ahead: int) -> Iterator[int]:
        """Return the numbers of lines; `ahead`: bytes of the searched text that precede the line."""
        for begins, ends in self._where(packed):
            at = self._text.find(packed, begins, ends)
            while at >= 0:
                number = bisect_right(self._starts, at + ahead) - 1
                yield number
                at = self._text.find(packed, self._starts[number + 1] - 1, ends)

    def _where(self, packed: bytes) -> Iterable[tuple[int, int]]:
        """Yield the parts of the text that may contain this, each including the line breaks at both ends."""
        if self._blocks is None or len(packed) < _PAIR:
            return [(0, len(self._text))]
        filed = -1
        for piece in _pieces(packed, _FOUR if len(packed) >= _FOUR else _PAIR):
            filed &= int.from_bytes(self._blocks[piece * self._width : (piece + 1) * self._width], "little")
        lines = len(self._starts) - 1
        return (
            (self._starts[block * _BLOCK] - 1, self._starts[min(lines, (block + 1) * _BLOCK)])
            for block in bits(filed)
        )

    def _filed(self) -> bytes:
        """Return, for each bucket, a bitmap of its blocks, `_width` bytes wide."""
        blocks = range(0, len(self._starts) - 1, _BLOCK)
        table = bytearray(len(blocks) * _BUCKETS)
        """One row per block, with one byte for each bucket."""
        for number, first in enumerate(blocks):
            last = min(len(self._starts) - 1, first + _BLOCK)
            text, row = self._text[self._starts[first] - 1 : self._starts[last]], number * _BUCKETS
            for piece in _pieces(text, _PAIR) | _pieces(text, _FOUR):
                table[row + piece] = 1
        bitmaps = (bitmap(table[bucket::_BUCKETS]) for bucket in range(_BUCKETS))
        return b"".join(blocks.to_bytes(self._width, "little") for blocks in bitmaps)


def bits(number: int) -> Iterator[int]:
    """Yield the positions of the bits that are set, lowest first."""
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


def bitmap(chosen: bytes | bytearray) -> int:
    """Return the bitmap of bytes that are 0 or 1: bit n stands for the byte at n."""
    return int(chosen[::-1].translate(_DIGITS), 2)


def _pieces(text: bytes, length: int) -> set[int]:
    """Return the buckets of all pieces of this length in a text.

    Some pieces share one, which costs a fruitless look.
    """
    found = set[int]()
    for start in range(length):
        whole = (len(text) - start) // length * length
        found.update(memoryview(text)[start : start + whole].cast(_AS_NUMBERS[length]))
    return {piece % _BUCKETS for piece in found}


def _packed(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # typed text may be invalid Unicode
