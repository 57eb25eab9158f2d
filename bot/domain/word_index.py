"""Pure: which lines of a long text contain a word, and which words are close to one, in little memory."""

import itertools
import math
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from rapidfuzz import fuzz, process

from bot.domain.packed_lines import bitmap

_WORD = re.compile(r"[^\W_]+")
_SHORTEST_TYPO = 4
"""Letters of the shortest word that may have a typo: too many shorter words look alike."""
_CLOSE = 75
"""How alike two words must be to count as the same with a typo, of 100."""
_GUESSES = 3
_MOST_LIKE = 30_000
"""How many words a typo is compared with; those of the first lines come first."""
_FEW = 500
"""Up to this many words it is faster to compare them than to look at their letters."""
_FREQUENT = 64
"""A word that at least one line in this many contains is kept as a bitmap, which is smaller than the lines'
numbers."""


def words_of(text: str) -> list[str]:
    """Return the words of a text, in order."""
    return _WORD.findall(text)


class WordIndex:
    """The words of numbered lines.

    A set of lines is a bitmap: bit n stands for line n.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        known: dict[str, int] = {}
        """Each word's number, in the order of first occurrence."""
        met, ends = array("I"), array("I", [0])
        for line in lines:
            met.extend(known.setdefault(word, len(known)) for word in dict.fromkeys(words_of(line)))
            ends.append(len(met))
        self._text, self._starts, ranks = _sorted(known)
        self._lines, self._lines_from, self._frequent = _postings(met, ends, ranks)
        self._alike = _Alike(known)

    def lines_with(self, word: str) -> int:
        """Return the lines that contain a word; 0 if none."""
        rank = self._rank(word)
        if rank is None:
            return 0
        if rank in self._frequent:
            return self._frequent[rank]
        return _of_lines(self._lines[self._lines_from[rank] : self._lines_from[rank + 1]])

    def __contains__(self, word: str) -> bool:
        """Return whether any line contains this word."""
        return self._rank(word) is not None

    def close_to(self, word: str) -> list[tuple[str, float]]:
        """Return known words close to an unknown one, closest first, and how close, of 100."""
        return self._alike.close_to(word)

    def _rank(self, word: str) -> int | None:
        rank = bisect_left(range(len(self._starts) - 1), word, key=self._word)
        found = rank < len(self._starts) - 1 and self._word(rank) == word
        return rank if found else None

    def _word(self, rank: int) -> str:
        return self._text[self._starts[rank] : self._starts[rank + 1]].decode()


class _Alike:
    """The words that a typo is compared with, by length."""

    def __init__(self, known: Iterable[str]) -> None:
        fit = (word for word in known if len(word) >= _SHORTEST_TYPO and not word.isdigit())
        by_length: dict[int, list[tuple[int, str]]] = {}
        for numbered in enumerate(itertools.islice(fit, _MOST_LIKE)):
            by_length.setdefault(len(numbered[1]), []).append(numbered)
        self._by_length = {length: _SameLength(length, words) for length, words in by_length.items()}

    def close_to(self, word: str) -> list[tuple[str, float]]:
        if len(word) < _SHORTEST_TYPO:
            return []
        found: list[tuple[float, int, str]] = []
        for length, known in self._by_length.items():
            in_common = math.ceil(_CLOSE * (len(word) + length) / 200)
            if in_common > min(len(word), length):
                continue
            found += known.close_to(word, missing=len(word) - in_common)
        return [(like, -score) for score, _, like in sorted(found)[:_GUESSES]]


class _SameLength:
    """Words of one length, by their letters, which alone rule out most words before any comparison."""

    def __init__(self, length: int, words: list[tuple[int, str]]) -> None:
        self._length = length
        self._text = "".join(word for _, word in words)
        self._numbers = array("I", (number for number, _ in words))
        letters: dict[tuple[str, int], bytearray] = {}
        for place, (_, word) in enumerate(words if len(words) > _FEW else ()):
            for letter in _letters(word):
                letters.setdefault(letter, bytearray(len(words)))[place] = 1
        self._with_letter = {letter: bitmap(chosen) for letter, chosen in letters.items()}

    def close_to(self, word: str, missing: int) -> list[tuple[float, int, str]]:
        """Return the closest words, each as negated likeness, number and word.

        They lack at most `missing` of the word's letters.
        """
        places = self._with_letters(word, missing)
        words = [self._text[place * self._length : (place + 1) * self._length] for place in places]
        close = process.extract(word, words, scorer=fuzz.ratio, score_cutoff=_CLOSE, limit=_GUESSES)
        return [(-score, self._numbers[places[at]], like) for like, score, at in close]

    def _with_letters(self, word: str, missing: int) -> Sequence[int]:
        """Return the positions of the words that have all but this many of a word's letters."""
        count = len(self._numbers)
        if not self._with_letter:
            return range(count)
        # At n: the words that lack at most n of the letters looked at so far.
        lacking = [(1 << count) - 1] * (missing + 1)
        for letter in _letters(word):
            have = self._with_letter.get(letter, 0)
            for most in range(missing, 0, -1):
                lacking[most] = lacking[most] & have | lacking[most - 1]
            lacking[0] &= have
        chosen = f"{lacking[-1]:0{count}b}".encode().translate(_VALUES)[::-1]
        return [*itertools.compress(range(count), chosen)]


def _letters(word: str) -> list[tuple[str, int]]:
    """Return the letters of a word, each with its number among equal ones."""
    return [(letter, word.count(letter, 0, place)) for place, letter in enumerate(word)]


_VALUES = bytes(49) + b"\1" + bytes(206)


def _sorted(known: dict[str, int]) -> tuple[bytes, "array[int]", "array[int]"]:
    """Return all words in order as one text, where each starts in it, and each one's rank by its number."""
    by_letter: dict[str, list[str]] = {}
    for word in known:
        by_letter.setdefault(word[0], []).append(word)
    # Sort in parts: in one go, no other thread would have a turn for a tenth of a second.
    in_order = [word for letter in sorted(by_letter) for word in sorted(by_letter[letter])]
    ranks = array("I", bytes(4 * len(known)))
    for rank, word in enumerate(in_order):
        ranks[known[word]] = rank
    packed = [word.encode() for word in in_order]
    return b"".join(packed), array("I", itertools.accumulate(map(len, packed), initial=0)), ranks


def _postings(
    met: "array[int]", ends: "array[int]", ranks: "array[int]"
) -> tuple["array[int]", "array[int]", dict[int, int]]:
    """Return the lines of each word by its rank, one after another; each one's start; the bitmaps."""
    counts = array("I", bytes(4 * len(ranks)))
    for number in met:
        counts[ranks[number]] += 1
    often = max(1, len(ends) // _FREQUENT)
    bits = {rank: bytearray(len(ends) // 8 + 1) for rank, count in enumerate(counts) if count > often}
    rare = (0 if count > often else count for count in counts)
    starts = array("I", itertools.accumulate(rare, initial=0))
    lines, free = array("I", bytes(4 * starts[-1])), array("I", starts)
    for line in range(len(ends) - 1):
        for number in met[ends[line] : ends[line + 1]]:
            rank = ranks[number]
            if rank in bits:
                bits[rank][line >> 3] |= 1 << (line & 7)
            else:
                lines[free[rank]] = line
                free[rank] += 1
    return lines, starts, {rank: int.from_bytes(bitmap, "little") for rank, bitmap in bits.items()}


def _of_lines(lines: "array[int]") -> int:
    bits = bytearray((lines[-1] >> 3) + 1)
    for line in lines:
        bits[line >> 3] |= 1 << (line & 7)
    return int.from_bytes(bits, "little")
