"""The model API's public list, read as it comes in."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.catalogue import PublicModel, read_row
from bot.model_api.model_list import read_list

ROW = PublicModel("none", "", 0)


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


LONG_NUMBERS = {
    "2^64": b"18446744073709551616",
    "below 0": b"-99999999999999999999",
    "400 digits": b"9" * 400,
    "4,301 digits": b"9" * 4301,
    "100,000 digits": b"-" + b"1" * 100_000,
    "fraction": b"1." + b"3" * 5000,
    "exponent": b"1e999",
    "long exponent": b"1e99999999999999999999",
    "very long exponent": b"1E-" + b"9" * 5000,
}


@pytest.mark.parametrize("size", [1, 7, 300, 16 * 1024])
@pytest.mark.parametrize("number", LONG_NUMBERS.values(), ids=LONG_NUMBERS)
def test_a_number_of_any_length_loses_no_row(number: bytes, size: int) -> None:
    """Left alone, the C backend of ijson ends in SystemError or decimal.InvalidOperation."""
    raw = b'[{"model_id": "a"}, {"model_id": "b", "n": %s, "api_calls":%s}, {"model_id": "c"}]'
    if size == 1:
        number = number[:5000]
    found = asyncio.run(read(raw % (number, number), size))
    assert [row["model_id"] for row in found] == ["a", "b", "c"]
    assert [(read_row(row) or ROW).id for row in found] == ["a", "b", "c"]


@given(digits=st.integers(1, 900), size=st.integers(1, 50))
def test_digits_that_matter_are_kept(digits: int, size: int) -> None:
    id_ = ("1234567890" * 90)[:digits]
    [row] = asyncio.run(read(orjson.dumps([{"model_id": id_, "n": 12.5}]), size))
    assert row["model_id"] == id_[:400]
    assert row["n"] == 12.5


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
