"""Pure: numbered lines as one piece of UTF-8, in which any text is found quickly."""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

_BLOCK = 64
"""Lines that are searched together."""
_WORTH_FILING = 4096
_OFTEN = b"\nabcdefghijklmnopqrstuvwxyz0123456789 -._/"
_OTHERS = 48 - len(_OFTEN)
_LETTERS = bytes(
    _OFTEN.index(letter) if letter in _OFTEN else len(_OFTEN) + letter % _OTHERS for letter in range(256)
)
"""Each byte's number below 48: one of its own if it is frequent in names, and a shared one otherwise."""
_HASHED = 6007
"""The number of buckets for longer pieces. A prime spreads well; 8191, next to a power of two, would only
shift letters and add them."""
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
        self._files = [*map(self._filed, _PIECES)] if len(self._starts) > _WORTH_FILING else []

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
        for pieces, file in zip(_PIECES, self._files, strict=True):
            for piece in pieces(packed):
                filed &= int.from_bytes(file[piece * self._width : (piece + 1) * self._width], "little")
        lines = len(self._starts) - 1
        return (
            (self._starts[block * _BLOCK] - 1, self._starts[min(lines, (block + 1) * _BLOCK)])
            for block in bits(filed)
        )

    def _filed(self, pieces: Callable[[bytes], set[int]]) -> bytes:
        """Return, for each bucket of pieces, a bitmap of its blocks, `_width` bytes wide."""
        blocks, buckets = range(0, len(self._starts) - 1, _BLOCK), _PIECES[pieces]
        table = bytearray(len(blocks) * buckets)
        """One row per block, with one byte for each bucket."""
        for number, first in enumerate(blocks):
            last = min(len(self._starts) - 1, first + _BLOCK)
            for piece in pieces(self._text[self._starts[first] - 1 : self._starts[last]]):
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


def _pairs(text: bytes) -> set[int]:
    letters = text.translate(_LETTERS)
    return {a * 48 + b for a, b in set(pairwise(letters))}


def _threes(text: bytes) -> set[int]:
    letters = text.translate(_LETTERS)
    threes = set(zip(letters, letters[1:], letters[2:], strict=False))
    return {((a * 48 + b) * 48 + c) % _HASHED for a, b, c in threes}


def _fours(text: bytes) -> set[int]:
    letters = text.translate(_LETTERS)
    fours = set(zip(letters, letters[1:], letters[2:], letters[3:], strict=False))
    return {(((a * 48 + b) * 48 + c) * 48 + d) % _HASHED for a, b, c, d in fours}


_PIECES: dict[Callable[[bytes], set[int]], int] = {_pairs: 48**2, _threes: _HASHED, _fours: _HASHED}
"""The number of buckets for the pieces of each length. If pieces share one, that costs a fruitless look."""


def _packed(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # typed text may be invalid Unicode
