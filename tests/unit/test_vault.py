"""Sealing: a secret comes out as it went in, only where it belongs, and a sealed row reveals nothing."""

import base64
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bot.domain.errors import SealBroken
from bot.vault import KEY_BYTES, Vault, new_encryption_key

K1, K2, K3 = b"1" * KEY_BYTES, b"2" * KEY_BYTES, b"3" * KEY_BYTES
SECRET = "canary-K3y-0123456789"
VAULT = Vault([K1])


def seal(vault: Vault = VAULT, secret: str = SECRET) -> str:
    return vault.seal("api key", "1", SecretStr(secret))


def opened(vault: Vault, row: str) -> str:
    return vault.open("api key", "1", row).get_secret_value()


@given(secret=st.text(st.characters(codec="utf-8")), purpose=st.text(max_size=9), owner=st.text(max_size=20))
def test_any_text_comes_out_as_it_went_in(secret: str, purpose: str, owner: str) -> None:
    row = VAULT.seal(purpose, owner, SecretStr(secret))
    assert VAULT.open(purpose, owner, row).get_secret_value() == secret


@pytest.mark.parametrize("length", [62, 63, 126, 127, 65_535])
def test_lengths_around_the_padding_come_out_whole(length: int) -> None:
    assert opened(VAULT, seal(secret="x" * length)) == "x" * length


def test_the_length_of_a_usual_key_does_not_show() -> None:
    assert len({len(seal(secret="x" * length)) for length in range(1, 63)}) == 1


def test_the_same_secret_never_looks_the_same_twice() -> None:
    assert len({seal() for _ in range(50)}) == 50


def test_the_secret_does_not_stand_in_its_row() -> None:
    row = seal()
    assert SECRET not in row
    assert SECRET.encode() not in base64.b64decode(row)


@pytest.mark.parametrize(
    ("purpose", "owner"), [("api key", "2"), ("api key", ""), ("api key", "11"), ("check", "1"), ("", "1")]
)
def test_a_row_moved_elsewhere_does_not_open(purpose: str, owner: str) -> None:
    with pytest.raises(SealBroken, match="copied from elsewhere"):
        VAULT.open(purpose, owner, seal())


def test_a_row_of_an_unknown_key_says_so() -> None:
    with pytest.raises(SealBroken, match="KEY_ENCRYPTION_KEYS"):
        opened(Vault([K2]), seal())


def test_a_row_with_any_byte_changed_does_not_open() -> None:
    raw = base64.b64decode(seal())
    for place in range(len(raw)):
        damaged = bytearray(raw)
        damaged[place] ^= 0x01
        with pytest.raises(SealBroken):
            opened(VAULT, base64.b64encode(damaged).decode())


def test_a_row_cut_off_anywhere_does_not_open() -> None:
    raw = base64.b64decode(seal())
    for length in range(len(raw)):
        with pytest.raises(SealBroken):
            opened(VAULT, base64.b64encode(raw[:length]).decode())


@given(row=st.text())
def test_no_text_at_all_breaks_the_opening(row: str) -> None:
    with pytest.raises(SealBroken):
        opened(VAULT, row)


@pytest.mark.parametrize("row", ["not base64!", "AAA", "ä", "AA==AA=="])
def test_a_row_that_is_not_base64_is_damaged(row: str) -> None:
    with pytest.raises(SealBroken, match="damaged"):
        opened(VAULT, row)
    with pytest.raises(SealBroken, match="damaged"):
        VAULT.stale(row)


def test_keys_can_be_changed_without_losing_a_row() -> None:
    old = seal(Vault([K1]))
    both = Vault([K2, K1])
    assert opened(both, old) == SECRET
    assert both.stale(old)
    new = seal(both, opened(both, old))
    assert not both.stale(new)
    assert opened(Vault([K2]), new) == SECRET
    with pytest.raises(SealBroken):
        opened(Vault([K2]), old)


def test_the_newest_key_is_the_first() -> None:
    assert not Vault([K1, K2]).stale(seal(Vault([K1])))
    assert Vault([K1, K2]).stale(seal(Vault([K2])))
    assert Vault([K3]).stale(seal(Vault([K1])))


def test_a_trouble_tells_nothing_secret() -> None:
    row = seal()
    with pytest.raises(SealBroken) as caught:
        VAULT.open("api key", "2", row)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert SECRET not in told
    assert row not in told
    assert caught.value.__cause__ is None


def test_a_vault_does_not_show_its_keys() -> None:
    vault = Vault([K1, K2])
    assert not any(text in f"{vault!r} {vault} {vars(vault)}" for text in ("1111", "2222", "MTEx", "3131"))
    with pytest.raises(TypeError):
        pickle.dumps(vault)


def test_a_new_key_is_fresh_and_fits() -> None:
    keys = {new_encryption_key() for _ in range(20)}
    assert len(keys) == 20
    assert all(len(base64.urlsafe_b64decode(key)) == KEY_BYTES for key in keys)
