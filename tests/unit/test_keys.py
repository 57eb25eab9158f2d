"""Which texts can be a key."""

import pytest

from bot.domain.errors import BadKey
from bot.keys import LONGEST_KEY, parse_key

KEY = "canary-K3y-0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("abc", "abc"),
        ("  abc\n", "abc"),
        ("\u00a0abc\u3000", "abc"),
        ("x", "x"),
        ("x" * LONGEST_KEY, "x" * LONGEST_KEY),
        (" " * 200 + "x" * LONGEST_KEY, "x" * LONGEST_KEY),
        ("schlüssel-`1`!", "schlüssel-`1`!"),
    ],
)
def test_a_pasted_key_is_trimmed(text: str, key: str) -> None:
    assert parse_key(text).get_secret_value() == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "\n",
        "two words",
        "two\tparts",
        "two\nlines",
        "two\u00a0parts",
        "two\u2003parts",
        "nul\x00",
        "\x1b[31m",
        "a\x7fb",
        "zero\u200bwidth",
        "\u202eright to left",
        "x" * (LONGEST_KEY + 1),
    ],
)
def test_what_cannot_be_a_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(BadKey) as caught:
        parse_key(text)
    assert str(caught.value) == ""


def test_a_parsed_key_does_not_show() -> None:
    assert KEY not in repr(parse_key(KEY))
