"""Pure: the API's public models, made searchable; its list's rows are irregular and of all kinds."""

import itertools
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, overload

from bot.domain.errors import BadModelId
from bot.domain.model_id import parse_model_id
from bot.domain.packed_lines import PackedLines, bits
from bot.domain.word_index import WordIndex, words_of

MOST_ROWS = 100_000
_NAME_CHARACTERS = 60
_TOGETHER = 32
"""Models that are packed together: fewer take more memory, more take longer to read."""
_MOST_WORDS, _READINGS = 4, 8
_MOST_TYPOS = 2
_NO_MODEL = (
    "lora",
    "llm",
    "language",
    "audio",
    "voice",
    "speech",
    "music",
    "video",
    "embedding",
    "controlnet",
    "vae",
    "lycoris",
    "locon",
    "upscal",
)
"""Kinds that can't be reloaded or don't make pictures, by the fields that give a row's kind."""
_READY = "model_ready"


class PublicModel(NamedTuple):
    """A public model; `calls`: how often it was used, by the API's count."""

    id: str
    name: str
    calls: int


def read_row(raw: Any) -> PublicModel | None:
    """Read a row of the API's list; return None if it is no image model, not ready there, or unreadable."""
    if not isinstance(raw, dict) or not isinstance(raw.get("model_id"), str):
        return None
    try:
        id_ = parse_model_id(raw["model_id"])
    except BadModelId:
        return None
    if id_ != raw["model_id"].strip() or _is_no_choice(raw):
        return None
    name = raw.get("model_name")
    shown = "".join(c if c.isprintable() else " " for c in name) if isinstance(name, str) else ""
    return PublicModel(id_, " ".join(shown.split())[:_NAME_CHARACTERS], _count(raw.get("api_calls")))


def _is_no_choice(raw: dict[str, Any]) -> bool:
    kinds = [raw.get(field) for field in ("model_subcategory", "model_category", "model_format")]
    said = " ".join(kind.lower() for kind in kinds if isinstance(kind, str))
    feature, status = raw.get("feature"), raw.get("status")
    if isinstance(status, str) and status.strip().lower() not in ("", _READY):
        return True
    other_feature = isinstance(feature, str) and feature.strip().lower() not in ("", "imagen")
    return other_feature or any(word in said for word in _NO_MODEL)


def _count(value: Any) -> int:
    try:
        return max(0, min(int(float(value)), 2**53)) if isinstance(value, int | float | str | Decimal) else 0
    except (ValueError, OverflowError):
        return 0


class Catalogue:
    """Public models, most used first.

    A search in 100,000 takes some milliseconds, so it needs no thread.
    """

    def __init__(self, rows: Iterable[PublicModel] = ()) -> None:
        by_id: dict[str, PublicModel] = {}
        for row in rows:
            if row.id not in by_id or by_id[row.id].calls < row.calls:
                by_id[row.id] = row
        in_order = sorted(by_id.values(), key=lambda row: row.calls, reverse=True)[:MOST_ROWS]
        self.rows = Rows(in_order)
        self._folded = PackedLines(_line(row).lower() for row in in_order)
        self._words = WordIndex(_line(row).lower() for row in in_order)

    def search(self, typed: str, most: int) -> list[PublicModel]:
        """Return the best matches: they start with the text, contain it, or contain words like its own."""
        typed = " ".join(typed.lower().split())
        if not typed:
            return list(self.rows[:most])
        found: dict[int, None] = {}
        for way in (self._folded.beginning_with(typed), self._folded.holding(typed), self._with_words(typed)):
            for number in way:
                if len(found) >= most:
                    break
                found[number] = None
        return [self.rows[number] for number in found]

    def _with_words(self, typed: str) -> Iterator[int]:
        """Return the numbers of the rows that contain a text's words, or words close to them; closest first.

        The words may be in any order. Words that match nothing in any row don't count.
        """
        words = list(dict.fromkeys(words_of(typed)))[:_MOST_WORDS]
        unknown = [word for word in words if word not in self._words]
        guesses = [close for w in words if w not in unknown[_MOST_TYPOS:] and (close := self._close(w))]
        readings = sorted(itertools.product(*guesses), key=lambda words: -sum(score for _, score in words))
        with_word = {word: self._words.lines_with(word) for guess in guesses for word, _ in guess}
        for reading in readings[:_READINGS] if guesses else ():
            rows = -1
            for word, _ in reading:
                rows &= with_word[word]
            yield from bits(rows)

    def _close(self, word: str) -> list[tuple[str, float]]:
        """Return a word, or known words that are close to it, and how close."""
        return [(word, 100.0)] if word in self._words else self._words.close_to(word)


class Rows(Sequence[PublicModel]):
    """Public models in a tenth of the memory that separate objects take: packed, several together."""

    def __init__(self, rows: Sequence[PublicModel]) -> None:
        self._calls = array("q", (row.calls for row in rows))
        parts = (rows[first : first + _TOGETHER] for first in range(0, len(rows), _TOGETHER))
        texts = ("\n".join(map(_line, part)) for part in parts)
        packed = [zlib.compress(text.encode("utf-8", "surrogatepass")) for text in texts]
        self._packed = b"".join(packed)  # one piece: thousands would leave gaps in memory
        self._starts = array("I", itertools.accumulate(map(len, packed), initial=0))

    def __len__(self) -> int:
        return len(self._calls)

    @overload
    def __getitem__(self, place: int) -> PublicModel: ...
    @overload
    def __getitem__(self, place: slice) -> list[PublicModel]: ...
    def __getitem__(self, place: int | slice) -> PublicModel | list[PublicModel]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        calls = self._calls[place]  # raises IndexError, as a sequence must
        part, line = divmod(place % len(self), _TOGETHER)
        return _row(self._part(part)[line], calls)

    def __iter__(self) -> Iterator[PublicModel]:
        """Iterate over all of them, unpacking each part once."""
        lines = itertools.chain.from_iterable(map(self._part, range(len(self._starts) - 1)))
        return map(_row, lines, self._calls)

    def _part(self, number: int) -> list[bytes]:
        return zlib.decompress(self._packed[self._starts[number] : self._starts[number + 1]]).split(b"\n")


def _row(line: bytes, calls: int) -> PublicModel:
    id_, _, name = line.decode("utf-8", "surrogatepass").partition(" ")
    return PublicModel(id_, name, calls)


def _line(row: PublicModel) -> str:
    return f"{row.id} {row.name}".replace("\n", " ")
