"""The model API's words, made harmless: short, and without the key, however it is disguised."""

import base64
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bot.model_api.answer import classify
from tests.unit.model_api.test_answer import CANARY, error, read

keys = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=8, max_size=64)


@given(key=keys, parts=st.lists(st.text(max_size=40), min_size=1, max_size=4), data=st.data())
def test_what_the_api_said_is_one_short_harmless_line_without_the_key(
    key: str, parts: list[str], data: st.DataObject
) -> None:
    shown_as = data.draw(st.sampled_from([key, key.upper(), key.lower(), key.swapcase()]))
    said = read_with(key, shown_as.join(["", *parts, ""]))
    assert key.lower() not in said.lower()
    assert len(said) <= 60
    assert said.isprintable()
    assert "`" not in said
    assert said == said.strip()


HIDDEN = "[hidden: it repeats the key]"


def spaced(size: int, between: str) -> str:
    return between.join(CANARY[at : at + size] for at in range(0, len(CANARY), size))


def every_seventh(spell: Callable[[str], str]) -> str:
    return "".join(spell(c) if at % 7 == 6 else c for at, c in enumerate(CANARY))


DISGUISES = {
    "spaces": spaced(7, " "),
    "dashes": spaced(4, "-"),
    "zero-width spaces": spaced(7, "\u200b"),
    "soft hyphens": spaced(7, "\u00ad"),
    "lines": spaced(4, "\n"),
    "an invisible joiner": spaced(7, "\u034f"),
    "variation selectors": spaced(7, "\ufe0f"),
    "fillers": spaced(7, "\u3164"),
    "full width": "".join(chr(ord(c) + 0xFEE0) for c in CANARY),
    "reversed": CANARY[::-1],
    "percent": "".join(f"%{ord(c):02x}" for c in CANARY),
    "percent here and there": every_seventh(lambda c: f"%{ord(c):02X}"),
    "escaped": "".join(f"\\u{ord(c):04x}" for c in CANARY),
    "entities": every_seventh(lambda c: f"&#{ord(c)};"),
    "base64": base64.b64encode(CANARY.encode()).decode(),
    "base64 of user and key": base64.b64encode(b"a:" + CANARY.encode()).decode(),
    "base64 of a field": base64.b64encode(b"key=" + CANARY.encode()).decode(),
    "hex": CANARY.encode().hex(),
    "a piece of it": f"No: {CANARY[3:14]}***",
}


@pytest.mark.parametrize("how", DISGUISES)
def test_a_key_is_not_shown_in_disguise_either(how: str) -> None:
    assert read(200, error(f"Bad: {DISGUISES[how]}")).said == HIDDEN


@pytest.mark.parametrize(
    "text", ["Invalid request, try again later please", "The sky is falling", "Ошибка запроса", "无效的请求"]
)
def test_what_has_nothing_of_the_key_is_shown(text: str) -> None:
    assert read(200, error(text)).said == text


@pytest.mark.parametrize("key", ["-_-_-_-_-_-_", "!@#$%^&*()!@#", "🔑" * 10, "ключ-от-модели"])
def test_a_key_of_any_letters_or_none_is_not_shown(key: str) -> None:
    assert read_with(key, f"Bad: {key}") == HIDDEN


@pytest.mark.parametrize("key", ["a", "ab1", "x" * 3])
def test_a_key_too_short_to_matter_hides_nothing(key: str) -> None:
    assert read_with(key, "A taxi ab1 xxxx") == "A taxi ab1 xxxx"


def read_with(key: str, text: str) -> str:
    return classify(200, {}, orjson.dumps(error(text)), SecretStr(key), "sdxl").said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"The key {CANARY} is bad", HIDDEN),
        (f"The key {CANARY.upper()} is bad", HIDDEN),
        ({"key": [CANARY, "is bad"]}, HIDDEN),
        ("\u0130stek ge\u00e7ersiz", "\u0130stek ge\u00e7ersiz"),
        ("\u3164\u2800\u3164", ""),
        ("e" + "\u0338" * 50, "e" + "\u0338" * 2),
        ("two\nlines\tand `code`", "two lines and code"),
        ("x" * 80, "x" * 59 + "…"),
        ("a\u202eb\u200bc\x00d", "a b c d"),
        (7, ""),
    ],
)
def test_the_apis_words_are_made_harmless(text: Any, said: str) -> None:
    assert read(200, error(text)).said == said


def test_not_even_a_piece_of_the_key_is_shown() -> None:
    """The text is cut, and space is squeezed out of it: neither may come before the key is looked for."""
    said = read(200, error(" " * 480 + CANARY)).said
    assert CANARY[:12] not in said


@pytest.mark.parametrize("shape", ["{}", "{:.14}***", "{:.10} {:.10}", "%22{}%22"])
def test_not_even_a_cut_key_is_shown(shape: str) -> None:
    key = "sk-live-0123456789abcdef"
    text = shape.format(key, key[10:])
    body = orjson.dumps({"status": "error", "message": f"No: {text}"})
    said = classify(400, {}, body, SecretStr(key), "sdxl").said
    assert not any(key[at : at + 8] in said for at in range(len(key) - 7))
