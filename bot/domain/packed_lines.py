"""Pure: numbered lines as one piece of UTF-8, in which any text is found quickly."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator

_BLOCK = 64
"""Lines that are searched together."""
_WORTH_FILING = 4096
_OFTEN = b"\nabcdefghijklmnopqrstuvwxyz0123456789 -._/"
_KINDS = 48
"""The number of kinds of letters that pieces of the text are made of."""
_LETTERS = bytes(
    _OFTEN.index(letter) if letter in _OFTEN else len(_OFTEN) + letter % (_KINDS - len(_OFTEN))
    for letter in range(256)
)
"""Each byte's kind: one of its own if it is frequent in names, and a shared one otherwise."""
_BUCKETS = {2: _KINDS**2, 3: 6007, 4: 6007}
"""The number of buckets for the pieces of each length. If pieces share one, that costs a fruitless look.

A prime spreads well; 8191, next to a power of two, would only shift letters and add them.
"""
_DIGITS = b"01" + bytes(254)


class PackedLines:
    """Numbered lines; a line's number is its position.

    Rare text takes longest to find, and two or three letters longer than many, because a search can't skip
    anything. So each block of lines is filed under the pairs, threes and fours of bytes in it.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        text, self._starts = bytearray(b"\n"), array("I", [1])
        for line in lines:
            text += _packed(line) + b"\n"
            self._starts.append(len(text))
        self._text = bytes(text)
        self._width = len(self._starts) // _BLOCK // 8 + 1
        self._files = [*map(self._filed, _BUCKETS)] if len(self._starts) > _WORTH_FILING else []

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
        """Return the parts of the text that may contain this, each including the line breaks at both ends."""
        if not self._files or len(packed) < 2:
            return [(0, len(self._text))]
        filed = -1
        for length, file in zip(_BUCKETS, self._files, strict=True):
            for piece in _pieces(packed, length):
                filed &= int.from_bytes(file[piece * self._width : (piece + 1) * self._width], "little")
        lines = len(self._starts) - 1
        return (
            (self._starts[block * _BLOCK] - 1, self._starts[min(lines, (block + 1) * _BLOCK)])
            for block in bits(filed)
        )

    def _filed(self, length: int) -> bytes:
        """Return, for each bucket of pieces of this length, a bitmap of its blocks, `_width` bytes wide."""
        blocks, buckets = range(0, len(self._starts) - 1, _BLOCK), _BUCKETS[length]
        table = bytearray(len(blocks) * buckets)
        """One row per block, with one byte for each bucket."""
        for number, first in enumerate(blocks):
            last = min(len(self._starts) - 1, first + _BLOCK)
            for piece in _pieces(self._text[self._starts[first] - 1 : self._starts[last]], length):
                table[number * buckets + piece] = 1
        bitmaps = (bitmap(table[bucket::buckets]) for bucket in range(buckets))
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
    """Return the buckets of all pieces of this length in a text."""
    letters = text.translate(_LETTERS)
    numbers: Iterable[int] = letters
    for ahead in range(1, length):
        numbers = [number * _KINDS + letter for number, letter in zip(numbers, letters[ahead:], strict=False)]
    return {number % _BUCKETS[length] for number in set(numbers)}


def _packed(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # typed text may be invalid Unicode
