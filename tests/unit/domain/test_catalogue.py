"""The public models: reading irregular rows, and search results."""

import itertools
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rapidfuzz import fuzz, process

from bot.domain.catalogue import MOST_ROWS, Catalogue, PublicModel, read_row

ROW = {"model_id": "midjourney", "model_name": "MidJourney V4", "api_calls": 12, "status": "model_ready"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, PublicModel("midjourney", "MidJourney V4", 12)),
        ({"model_name": None}, PublicModel("midjourney", "", 12)),
        ({"model_name": 7}, PublicModel("midjourney", "", 12)),
        ({"model_name": " two\n lines\u202e "}, PublicModel("midjourney", "two lines", 12)),
        ({"model_name": "x" * 500}, PublicModel("midjourney", "x" * 60, 12)),
        ({"api_calls": "12"}, PublicModel("midjourney", "MidJourney V4", 12)),
        ({"api_calls": "1.2e1"}, PublicModel("midjourney", "MidJourney V4", 12)),
        *(
            ({"api_calls": odd}, PublicModel("midjourney", "MidJourney V4", 0))
            for odd in (None, "many", -3, "nan", float("inf"), [12], {"n": 12})
        ),
        ({"status": None}, PublicModel("midjourney", "MidJourney V4", 12)),
        ({"status": "Model_Ready "}, PublicModel("midjourney", "MidJourney V4", 12)),
        (
            {"model_category": "Image", "model_subcategory": "flux"},
            PublicModel("midjourney", "MidJourney V4", 12),
        ),
        ({"api_calls": Decimal("1E+999")}, PublicModel("midjourney", "MidJourney V4", 0)),
        ({"api_calls": Decimal("12.5")}, PublicModel("midjourney", "MidJourney V4", 12)),
        ({"api_calls": 10**400}, PublicModel("midjourney", "MidJourney V4", 0)),
        ({"api_calls": 2**64}, PublicModel("midjourney", "MidJourney V4", 2**53)),
        ({"feature": "Imagen"}, PublicModel("midjourney", "MidJourney V4", 12)),
        ({"feature": None, "model_category": None}, PublicModel("midjourney", "MidJourney V4", 12)),
        ({"model_category": "stable_diffusion"}, PublicModel("midjourney", "MidJourney V4", 12)),
        ({"screenshots": {"deep": [[[]]]}}, PublicModel("midjourney", "MidJourney V4", 12)),
    ],
)
def test_a_loose_row_is_read(changes: dict[str, Any], expected: PublicModel) -> None:
    assert read_row(ROW | changes) == expected


@pytest.mark.parametrize(
    "raw",
    [
        None,
        7,
        "midjourney",
        [],
        {},
        {"model_id": None},
        {"model_id": 7},
        {"model_id": ""},
        {"model_id": "two words"},
        {"model_id": "<@123>"},
        {"model_id": "https://modelslab.com/models/x"},
        {"model_id": "x" * 101},
        *(
            ROW | {field: kind}
            for field, kind in (
                ("model_subcategory", "lora"),
                ("model_subcategory", "LoRA"),
                ("model_category", "LLM"),
                ("model_category", "Audio"),
                ("model_format", "textual embedding"),
                ("feature", "Audiogen"),
                ("feature", "Llm"),
                ("model_subcategory", "vae"),
                ("model_subcategory", "LyCORIS"),
                ("model_category", "locon"),
                ("model_subcategory", "Upscaler"),
                ("model_format", "upscale model"),
                ("status", "training"),
                ("status", "model_failed"),
            )
        ),
    ],
)
def test_what_cannot_be_reloaded_is_left_out(raw: Any) -> None:
    assert read_row(raw) is None


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,  # a row's fields are looked at, not what is nested in them
)
fields = st.sampled_from(
    ["model_id", "model_name", "api_calls", "feature", "model_subcategory", "model_category"]
)


@given(raw=json | st.dictionaries(fields, json, max_size=6))
def test_no_row_breaks_the_reading(raw: Any) -> None:
    row = read_row(raw)
    assert row is None or (row.id == raw["model_id"].strip() and len(row.name) <= 60 and row.calls >= 0)


PUBLIC = Catalogue(
    PublicModel(id_, name, calls)
    for id_, name, calls in (
        ("midjourney", "MidJourney", 100),
        ("midjourney-papercut", "Papercut", 20),
        ("realistic-vision-v13", "Realistic Vision", 80),
        ("anything-v3", "Anything V3", 90),
        ("anything-v5", "Anything V5", 95),
        ("juggernaut-xl", "Juggernaut", 50),
        ("sdxl-turbo", "SDXL Turbo", 70),
        ("Org/Model-7B", "Model", 1),
    )
)


def found(typed: str, most: int = 25) -> list[str]:
    return [row.id for row in PUBLIC.search(typed, most)]


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("mid", ["midjourney", "midjourney-papercut"]),
        ("MIDJOURNEY", ["midjourney", "midjourney-papercut"]),
        ("any", ["anything-v5", "anything-v3"]),
        ("turbo", ["sdxl-turbo"]),
        ("realistic vision", ["realistic-vision-v13"]),
        ("vision realistic", ["realistic-vision-v13"]),
        ("org/", ["Org/Model-7B"]),
        # typos
        ("anyhting", ["anything-v5", "anything-v3"]),
        ("midjorney", ["midjourney", "midjourney-papercut"]),
        ("juggrnaut", ["juggernaut-xl"]),
        ("relistic vison", ["realistic-vision-v13"]),
        ("sdxl turbp", ["sdxl-turbo"]),
        ("papercutt", ["midjourney-papercut"]),
    ],
)
def test_what_is_meant_comes_first(typed: str, first: list[str]) -> None:
    assert found(typed)[: len(first)] == first


def test_nothing_typed_offers_what_is_used_most() -> None:
    assert found("", 3) == ["midjourney", "anything-v5", "anything-v3"]


@pytest.mark.parametrize("typed", ["zzzzzz", "-", "?", "xq", "\n", "(((", "日本"])
def test_what_is_like_nothing_finds_nothing_and_breaks_nothing(typed: str) -> None:
    assert isinstance(found(typed), list)


def test_a_beginning_comes_before_what_is_used_more() -> None:
    rows = Catalogue([PublicModel("xl-model", "", 1), PublicModel("model-xl", "", 99)])
    assert [row.id for row in rows.search("xl", 2)] == ["xl-model", "model-xl"]


def test_of_duplicates_the_most_used_stays() -> None:
    rows = Catalogue([PublicModel("a", "one", 1), PublicModel("a", "two", 5), PublicModel("a", "three", 2)])
    assert list(rows.rows) == [PublicModel("a", "two", 5)]


def test_an_empty_catalogue_finds_nothing() -> None:
    assert Catalogue().search("x", 5) == Catalogue().search("", 5) == []


@pytest.mark.slow
def test_there_is_an_end_to_it() -> None:
    rows = Catalogue(PublicModel(f"m{n}", "", n) for n in range(MOST_ROWS + 5))
    assert len(rows.rows) == MOST_ROWS


ids = st.from_regex(r"[a-z0-9._-]{1,20}", fullmatch=True)


@given(
    rows=st.lists(st.builds(PublicModel, ids, st.text(max_size=20), st.integers(0, 99)), max_size=30),
    typed=st.text(max_size=30),
    most=st.integers(0, 30),
)
def test_any_search_answers_known_rows_once(rows: list[PublicModel], typed: str, most: int) -> None:
    catalogue = Catalogue(rows)
    answer = catalogue.search(typed, most)
    assert len(answer) == len(set(answer)) <= most
    assert set(answer) <= set(catalogue.rows)


@given(
    rows=st.lists(st.builds(PublicModel, ids, st.just(""), st.integers(0, 99)), min_size=1, max_size=30),
    data=st.data(),
)
def test_what_holds_the_text_is_found(rows: list[PublicModel], data: st.DataObject) -> None:
    catalogue = Catalogue(rows)
    row = data.draw(st.sampled_from(catalogue.rows))
    start = data.draw(st.integers(0, len(row.id) - 1))
    part = row.id[start:]
    assert row.id in [other.id for other in catalogue.search(part, 100)]


@pytest.mark.parametrize("row", [row for row in PUBLIC.rows if "/" not in row.id], ids=lambda row: row.id)
def test_one_letter_wrong_is_still_found(row: PublicModel) -> None:
    word = max(row.id.split("-"), key=len)
    for at in range(1, len(word)):
        wrong = word[:at] + "q" + word[at + 1 :]
        assert row.id in found(wrong), wrong


# --- Packed, it finds what a plain search finds -----------------------------------------------------------


def plainly(models: list[PublicModel], typed: str, most: int) -> list[PublicModel]:
    """Find what a search should find, in the plainest way."""
    best: dict[str, PublicModel] = {}
    for model in models:
        if model.id not in best or best[model.id].calls < model.calls:
            best[model.id] = model
    rows = sorted(best.values(), key=lambda model: -model.calls)
    rows = [row._replace(name=row.name.replace("\n", " ")) for row in rows]
    lines = [f"{row.id} {row.name}".lower() for row in rows]
    typed = " ".join(typed.lower().split())
    ways = [
        (n for n, line in enumerate(lines) if line.startswith(typed)),
        (n for n, line in enumerate(lines) if typed in line),
        by_words(lines, typed),
    ]
    found = dict.fromkeys(itertools.chain(*(ways if typed else [range(len(rows))])))
    return [rows[number] for number in itertools.islice(found, most)]


def by_words(lines: list[str], typed: str) -> Iterator[int]:
    """Return the lines with the typed words, or with the three closest to each that no line contains."""
    word = re.compile(r"[^\W_]+")
    words = [dict.fromkeys(word.findall(line)) for line in lines]
    known = list(dict.fromkeys(itertools.chain(*words)))
    alike = [one for one in known if len(one) >= 4 and not one.isdigit()][:30_000]
    guesses, typos = list[list[tuple[str, float]]](), 0
    for one in list(dict.fromkeys(word.findall(typed)))[:4]:
        if one in known:
            guesses.append([(one, 100.0)])
            continue
        typos += 1
        close = process.extract(one, alike, scorer=fuzz.ratio, score_cutoff=75, limit=3)
        if typos <= 2 and len(one) >= 4 and close:
            guesses.append([(like, score) for like, score, _ in close])
    readings = sorted(itertools.product(*guesses), key=lambda reading: -sum(score for _, score in reading))
    for reading in readings[:8] if guesses else ():
        yield from (n for n, line in enumerate(words) if all(one in line for one, _ in reading))


letters = st.text(st.sampled_from("abcABC12 -_/.éß\u0130日\n\ud800"), max_size=24)
syllables = st.sampled_from(["anime", "amine", "animes", "dream", "drean", "mix", "v4", "xl", "İstanbul"])
phrases = st.lists(syllables | st.text("abcdef", min_size=1, max_size=8), min_size=1, max_size=5).flatmap(
    lambda parts: st.sampled_from(["-", " ", "_"]).map(lambda between: between.join(parts))
)
models = st.builds(
    PublicModel,
    ids | phrases.map(lambda text: text.replace(" ", "-")),
    letters | phrases,
    st.integers(0, 9),
)


@given(rows=st.lists(models, max_size=80), typed=letters | phrases, most=st.integers(0, 90))
@example(rows=[PublicModel("x", "", 1)], typed="\ud800", most=5)
@example(rows=[PublicModel("x", "a\nb", 1), PublicModel("b", "", 0)], typed="b", most=5)
@example(rows=[PublicModel(f"word-{n}", "", n) for n in range(300)], typed="wodr", most=50)
def test_it_finds_what_a_plain_search_finds(rows: list[PublicModel], typed: str, most: int) -> None:
    assert Catalogue(rows).search(typed, most) == plainly(rows, typed, most)


@given(rows=st.lists(models, unique_by=lambda row: row.id, max_size=40))
def test_packed_rows_are_the_rows(rows: list[PublicModel]) -> None:
    assert sorted(Catalogue(rows).rows) == sorted(
        row._replace(name=row.name.replace("\n", " ")) for row in rows
    )


COMMON = ["a", "anime", "v1 six", "q", "qe", "amine mxi", "ix-"]
RARE = [text for n in range(7, 5000, 997) for text in (f"{n:x}w", f"{n:x}wo", f"-{n}", f"{n:x}ward")]


@pytest.mark.parametrize("typed", COMMON + RARE)
def test_a_long_list_is_searched_as_a_short_one(typed: str) -> None:
    """It is filed by blocks then, and its words by letters."""
    assert LONG.search(typed, 50) == plainly(LONG_ROWS, typed, 50)


PAIRS = list(itertools.product(("anime", "mix", "v1", "qat"), ("six", "enima")))
LONG_ROWS = [
    PublicModel(f"{'-'.join(PAIRS[n % 8])}-{n}", f"{PAIRS[n % 8][0]} {n % 7} {n:x}word", n)
    for n in range(5000)
]
LONG = Catalogue(LONG_ROWS)
