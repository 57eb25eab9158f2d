"""Pure: the API's public models, made searchable; the rows of its list are loose, and of all kinds."""

import bisect
import itertools
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from rapidfuzz import fuzz, process

from bot.domain.errors import BadModelId
from bot.domain.model_id import parse_model_id

MOST_ROWS = 100_000
_NAME_CHARACTERS = 60
_SHORTEST_TYPO = 4
"""Of words that are shorter, too many look alike."""
_CLOSE = 75
"""Of 100: so alike are two words that are taken for the same with a typo."""
_GUESSES = 3
_MOST_WORDS, _READINGS = 4, 8
_MOST_LIKE = 30_000
"""Words, those of much used models first, that a typo is compared with; of those typed, two at most."""
_WORD = re.compile(r"[^\W_]+")
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
"""Kinds that cannot be reloaded, or make no picture; by the fields that say a row's kind."""
_READY = "model_ready"


class PublicModel(NamedTuple):
    """A public model; `calls`: how often it was used, as the API counts."""

    id: str
    name: str
    calls: int


def read_row(raw: Any) -> PublicModel | None:
    """Read a row of the API's list; None: not an image model, not ready there, or not readable."""
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
    """Public models, most used first. A search over 50,000 takes some milliseconds: no need of a thread."""

    def __init__(self, rows: Iterable[PublicModel] = ()) -> None:
        by_id: dict[str, PublicModel] = {}
        for row in rows:
            if row.id not in by_id or by_id[row.id].calls < row.calls:
                by_id[row.id] = row
        self.rows = sorted(by_id.values(), key=lambda row: row.calls, reverse=True)[:MOST_ROWS]
        lines = [_folded(row) for row in self.rows]
        self._text = "\n" + "\n".join(lines) + "\n"
        self._starts = [0, *itertools.accumulate(len(line) + 1 for line in lines)]
        self._with_word: dict[str, list[int]] = {}
        for number, line in enumerate(lines):
            for word in set(_WORD.findall(line)):
                self._with_word.setdefault(word, []).append(number)
        words = (word for word in self._with_word if len(word) >= _SHORTEST_TYPO and not word.isdigit())
        self._words = list(itertools.islice(words, _MOST_LIKE))

    def search(self, typed: str, most: int) -> list[PublicModel]:
        """The best matches: beginning with what was typed, holding it, holding its words but for typos."""
        typed = " ".join(typed.lower().split())
        if not typed:
            return self.rows[:most]
        found: dict[int, None] = {}
        for way in (self._holding("\n" + typed), self._holding(typed), self._with_words(typed)):
            for number in way:
                if len(found) >= most:
                    break
                found[number] = None
        return [self.rows[number] for number in found]

    def _holding(self, text: str) -> Iterator[int]:
        """Numbers of the rows that hold a text, most used first."""
        at = self._text.find(text)
        while at >= 0:
            number = bisect.bisect_right(self._starts, at, hi=len(self.rows)) - 1
            yield number
            at = self._text.find(text, self._starts[number + 1])

    def _with_words(self, typed: str) -> Iterator[int]:
        """Numbers of the rows that hold a text's words in any order, or words close to them; closest first.

        Words that no row has, nor anything like them, do not count.
        """
        words = _WORD.findall(typed)[:_MOST_WORDS]
        unknown = [word for word in words if word not in self._with_word]
        guesses = [close for w in words if w not in unknown[2:] and (close := self._close(w))]
        readings = sorted(itertools.product(*guesses), key=lambda words: -sum(score for _, score in words))
        for reading in readings[:_READINGS] if guesses else ():
            first, *others = (self._with_word[word] for word, _ in reading)
            yield from sorted(set(first).intersection(*others))

    def _close(self, word: str) -> list[tuple[str, float]]:
        """A word, or those that are close to it, and how close."""
        if word in self._with_word:
            return [(word, 100.0)]
        if len(word) < _SHORTEST_TYPO:
            return []
        close = process.extract(word, self._words, scorer=fuzz.ratio, score_cutoff=_CLOSE, limit=_GUESSES)
        return [(like, score) for like, score, _ in close]


def _folded(row: PublicModel) -> str:
    return f"{row.id} {row.name}".lower()
