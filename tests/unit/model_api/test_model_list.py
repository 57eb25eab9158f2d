"""The model API's public list, read as it comes in."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.model_api.model_list import read_list


async def read(raw: bytes, size: int) -> list[Any]:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(raw), size):
            yield raw[start : start + size]

    return [row async for row in read_list(chunks())]


rows = st.lists(
    st.dictionaries(
        st.sampled_from(["model_id", "api_calls", "screenshots", "item"]),
        st.none()
        | st.integers(-9, 9)
        | st.text(max_size=9)
        | st.lists(st.dictionaries(st.just("item"), st.none(), max_size=1), max_size=2),
        max_size=4,
    ),
    max_size=6,
)


@given(rows=rows, size=st.integers(1, 50), wrapped=st.booleans())
def test_rows_come_out_as_they_went_in_wherever_they_are_cut(
    rows: list[Any], size: int, wrapped: bool
) -> None:
    raw = orjson.dumps({"status": "ok", "data": rows} if wrapped else rows)
    assert asyncio.run(read(raw, size)) == rows


@pytest.mark.parametrize(
    "number", [b"18446744073709551616", b"-99999999999999999999", b"9" * 400, b"1e999", b"1.5"]
)
def test_a_number_beyond_64_bits_loses_no_row(number: bytes) -> None:
    found = asyncio.run(
        read(b'[{"model_id": "a"}, {"model_id": "b", "n": %s}, {"model_id": "c"}]' % number, 7)
    )
    assert [row["model_id"] for row in found] == ["a", "b", "c"]


@pytest.mark.parametrize("number", [b"9" * 5000, b"1e99999999999999999999"], ids=["5,000 digits", "exponent"])
def test_a_number_that_python_cannot_hold_is_refused_and_breaks_nothing(number: bytes) -> None:
    """The C backend of ijson then ends in SystemError or decimal.InvalidOperation."""
    with pytest.raises(ValueError, match="not JSON"):
        asyncio.run(read(b'[{"model_id": "a", "n": %s}]' % number, 1000))


@given(raw=st.binary(max_size=200), size=st.integers(1, 50))
def test_no_bytes_break_the_reading(raw: bytes, size: int) -> None:
    try:
        asyncio.run(read(raw, size))
    except ValueError:
        return


@pytest.mark.parametrize("deep", [b"[" * 60_000, b'{"a":' * 60_000, b'[{"a":' + b"[" * 60_000])
def test_what_is_nested_too_deeply_is_refused_before_it_costs_memory(deep: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(ValueError, match="nested too deeply"):
        asyncio.run(read(deep, 16 * 1024))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 32 * 2**20
