"""A server's API key: its life with the real store and the real client."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from bot.domain.errors import KeyRefused, NoKey, SealBroken
from bot.domain.rows import KeyRow
from bot.keys import Checked, Keys, KeyStatus, unlock
from bot.model_api.balance import Balance
from bot.model_api.client import open_session
from bot.model_api.hosts import Hosts
from bot.store.embedded import EmbeddedStore
from bot.store.postgres import PostgresStore
from bot.vault import KEY_BYTES, Vault
from tests.stand_ins.model_api import Answer, ModelApiServer

K1, K2 = b"1" * KEY_BYTES, b"2" * KEY_BYTES
SERVER, OTHER, MODERATOR = 111, 222, 7
KEY, NEW_KEY = "canary-K3y-0123456789abcdef", "another-K3y-9876543210fedcba"
NOW = 1_800_000_000.0
WORKS = Checked("v4", works=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def store(folder: Path) -> Iterator[EmbeddedStore]:
    store = EmbeddedStore(folder)
    yield store
    store.close()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session() as session:
        yield session


@pytest.fixture
def keys(store: EmbeddedStore, session: aiohttp.ClientSession, api: ModelApiServer) -> Keys:
    return Keys(store, Vault([K1]), Hosts(session, {"v4": api.url}), now=lambda: NOW)


async def opened(keys: Keys, server: int = SERVER) -> str:
    return (await keys.open(server)).secret.get_secret_value()


async def shown(keys: Keys, server: int) -> tuple[str, float, str | None]:
    status = await keys.status(server)
    assert isinstance(status, KeyStatus)
    return status.by_name, status.at, status.tail


def invalid() -> Answer:
    return Answer({"status": "error", "message": "Invalid API key"}, 401)


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def sealed(store: EmbeddedStore, server: int = SERVER) -> bytes:
    row = await store.key(server)
    assert row is not None
    return row.sealed.encode()


async def test_a_name_with_a_nul_keeps_no_row_from_being_read(
    postgres_url: str, session: aiohttp.ClientSession, api: ModelApiServer
) -> None:
    store = await PostgresStore.connect(postgres_url)
    keys = Keys(store, Vault([K1]), Hosts(session, {"v4": api.url}), now=lambda: NOW)
    try:
        await keys.set(SERVER, SecretStr(KEY), MODERATOR, "a\0na", WORKS)
        assert (await shown(keys, SERVER))[0] == "ana"
        assert await keys.remove(SERVER)
    finally:
        store.close()


async def test_a_key_that_works_is_stored(keys: Keys, api: ModelApiServer) -> None:
    assert await keys.check(SERVER, SecretStr(KEY)) == WORKS._replace(balance=Balance(43.6, "USD"))
    await keys.set(SERVER, SecretStr(KEY), MODERATOR, "ana", WORKS)
    assert await opened(keys) == KEY
    assert await shown(keys, SERVER) == ("ana", NOW, "cdef")
    assert [call.body for call in api.balance_calls] == [{"key": KEY}]
    assert api.calls == []


async def test_an_invalid_key_is_refused(keys: Keys, api: ModelApiServer) -> None:
    api.balances = [invalid()]
    with pytest.raises(KeyRefused) as caught:
        await keys.check(SERVER, SecretStr(KEY))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [Answer(b"<html>", 502), Answer({"message": "Unauthenticated."}, 401), Answer({"status": "error"}, 404)],
)
async def test_a_key_that_cannot_be_checked_is_not_refused(
    keys: Keys, api: ModelApiServer, answer: Answer
) -> None:
    api.balances = [answer]
    assert await keys.check(SERVER, SecretStr(KEY)) == Checked("v4", works=False)


async def test_a_second_key_replaces_the_first(keys: Keys) -> None:
    await keys.set(SERVER, SecretStr(KEY), MODERATOR, "ana", WORKS)
    await keys.set(SERVER, SecretStr(NEW_KEY), MODERATOR, "ben", WORKS)
    assert await opened(keys) == NEW_KEY
    assert await shown(keys, SERVER) == ("ben", NOW, "dcba")


async def test_servers_do_not_share_keys(keys: Keys) -> None:
    await keys.set(SERVER, SecretStr(KEY), MODERATOR, "ana", WORKS)
    await keys.set(OTHER, SecretStr(NEW_KEY), MODERATOR, "ben", WORKS)
    await keys.remove(OTHER)
    assert await opened(keys) == KEY
    assert await keys.status(OTHER) is None


async def test_a_row_copied_from_another_server_is_no_key(keys: Keys, store: EmbeddedStore) -> None:
    await keys.set(SERVER, SecretStr(KEY), MODERATOR, "ana", WORKS)
    row = await store.key(SERVER)
    assert row is not None
    await store.set_key(OTHER, row)
    with pytest.raises(NoKey):
        await keys.open(OTHER)
    assert await shown(keys, OTHER) == ("ana", NOW, None)


async def test_without_a_key_there_is_none(keys: Keys) -> None:
    assert await keys.status(SERVER) is None
    assert await keys.status(SERVER) is None
    assert await keys.remove(SERVER) is False
    with pytest.raises(NoKey):
        await keys.open(SERVER)


async def test_a_removed_key_is_gone(keys: Keys) -> None:
    await keys.set(SERVER, SecretStr(KEY), MODERATOR, "ana", WORKS)
    assert await keys.remove(SERVER) is True
    assert await keys.status(SERVER) is None
    with pytest.raises(NoKey):
        await keys.open(SERVER)


def fill_disk(store: EmbeddedStore) -> None:
    store._db.conn.select_one(
        "CREATE TRIGGER full BEFORE INSERT ON kv BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
    )


@pytest.mark.usefixtures("virtual")
async def test_a_key_that_a_full_disk_keeps_is_not_used_and_goes_once_there_is_room(
    keys: Keys, store: EmbeddedStore, folder: Path
) -> None:
    await keys.set(SERVER, SecretStr(KEY), MODERATOR, "ana", WORKS)
    row = await sealed(store)
    fill_disk(store)
    assert await keys.remove(SERVER) is None
    with pytest.raises(NoKey):
        await keys.open(SERVER)
    assert await keys.status(SERVER) is None
    await asyncio.sleep(60)
    assert row in on_disk(folder)
    store._db.conn.select_one("DROP TRIGGER full")
    await asyncio.sleep(10)
    assert await store.key(SERVER) is None
    assert row not in on_disk(folder)
    assert await keys.remove(SERVER) is False


@pytest.mark.usefixtures("virtual")
async def test_a_key_set_meanwhile_is_not_removed(keys: Keys, store: EmbeddedStore) -> None:
    await keys.set(SERVER, SecretStr(KEY), MODERATOR, "ana", WORKS)
    fill_disk(store)
    assert await keys.remove(SERVER) is None
    store._db.conn.select_one("DROP TRIGGER full")
    await keys.set(SERVER, SecretStr(NEW_KEY), MODERATOR, "ben", WORKS)
    await asyncio.sleep(30)
    assert await opened(keys) == NEW_KEY


@pytest.mark.parametrize(
    ("key", "tail"), [("a" * 15, ""), ("k", ""), ("a" * 12 + "wxyz", "wxyz"), ("a" * 12 + "w`y`", "w'y'")]
)
async def test_the_status_shows_four_characters_at_most_and_none_of_a_short_key(
    keys: Keys, key: str, tail: str
) -> None:
    await keys.set(SERVER, SecretStr(key), MODERATOR, "ana", WORKS)
    assert await shown(keys, SERVER) == ("ana", NOW, tail)


async def test_the_key_is_never_on_disk_in_clear(keys: Keys, folder: Path) -> None:
    await keys.set(SERVER, SecretStr(KEY), MODERATOR, "ana", WORKS)
    disk = on_disk(folder)
    assert KEY.encode() not in disk
    assert base64.b64encode(KEY.encode()).rstrip(b"=")[:-1] not in disk


async def test_a_removed_key_leaves_no_bytes_on_disk(keys: Keys, store: EmbeddedStore, folder: Path) -> None:
    await keys.set(SERVER, SecretStr(KEY), MODERATOR, "ana", WORKS)
    row = await sealed(store)
    assert row in on_disk(folder)
    await keys.remove(SERVER)
    assert row not in on_disk(folder)
    assert row[:40] not in on_disk(folder)


async def test_a_replaced_key_leaves_no_bytes_on_disk(keys: Keys, store: EmbeddedStore, folder: Path) -> None:
    await keys.set(SERVER, SecretStr(KEY), MODERATOR, "ana", WORKS)
    old = await sealed(store)
    await keys.set(SERVER, SecretStr(NEW_KEY), MODERATOR, "ana", WORKS)
    assert await sealed(store) in on_disk(folder)
    assert old not in on_disk(folder)
    assert old[:40] not in on_disk(folder)


async def test_no_key_gets_into_the_log(keys: Keys, api: ModelApiServer, store: EmbeddedStore) -> None:
    with capture_logs() as lines:
        await keys.set(SERVER, SecretStr(KEY), MODERATOR, "ana", WORKS)
        await keys.status(SERVER)
        row = await store.key(SERVER)
        assert row is not None
        await store.set_key(OTHER, row)
        await keys.status(OTHER)
        await keys.remove(SERVER)
        api.balances = [Answer({"status": "error", "message": f"Invalid API key {KEY}"})]
        with pytest.raises(KeyRefused):
            await keys.check(SERVER, SecretStr(KEY))
    assert [line["event"] for line in lines] == ["key.set", "key.unreadable", "key.removed"]
    assert KEY not in str(lines)
    assert row.sealed not in str(lines)


# --- Encryption keys at start -------------------------------------------------------------------------


async def test_a_fresh_store_takes_any_keys_and_remembers_them(store: EmbeddedStore) -> None:
    await unlock(store, Vault([K1]))
    await unlock(store, Vault([K1]))
    with pytest.raises(SealBroken, match="KEY_ENCRYPTION_KEYS"):
        await unlock(store, Vault([K2]))


async def test_a_store_sealed_with_other_keys_is_refused_and_left_as_it_was(
    store: EmbeddedStore, keys: Keys
) -> None:
    await unlock(store, Vault([K1]))
    await keys.set(SERVER, SecretStr(KEY), MODERATOR, "ana", WORKS)
    before = [known async for known in store.all_keys()]
    with pytest.raises(SealBroken):
        await unlock(store, Vault([K2]))
    assert [known async for known in store.all_keys()] == before
    await unlock(store, Vault([K1]))
    assert await opened(keys) == KEY


async def rotated(store: EmbeddedStore, **others: Any) -> Vault:
    await unlock(store, Vault([K1]))
    for server in (SERVER, OTHER):
        sealed = Vault([K1]).seal("api key", str(server), SecretStr(KEY))
        await store.set_key(server, KeyRow(sealed, MODERATOR, "ana", NOW))
    await unlock(store, Vault([K2, K1]))
    return Vault([K2])


async def test_after_a_change_of_keys_the_old_one_can_be_dropped(
    store: EmbeddedStore, session: aiohttp.ClientSession, api: ModelApiServer
) -> None:
    vault = await rotated(store)
    await unlock(store, vault)
    keys = Keys(store, vault, Hosts(session, {"v4": api.url}), now=lambda: NOW + 1)
    assert await opened(keys, SERVER) == await opened(keys, OTHER) == KEY
    assert await shown(keys, SERVER) == ("ana", NOW, "cdef"), "who set it, and when, stays"


async def test_after_a_change_of_keys_the_old_one_opens_nothing(store: EmbeddedStore) -> None:
    await rotated(store)
    with pytest.raises(SealBroken):
        await unlock(store, Vault([K1]))


async def test_a_change_of_keys_survives_a_restart(folder: Path) -> None:
    store = EmbeddedStore(folder)
    vault = await rotated(store)
    store.close()
    store = EmbeddedStore(folder)
    try:
        await unlock(store, vault)
        assert {server async for server, _ in store.all_keys()} == {SERVER, OTHER}
    finally:
        store.close()


async def test_a_change_of_keys_that_was_cut_off_goes_on_at_the_next_start(store: EmbeddedStore) -> None:
    """The check is sealed last: until then the old key can't be dropped."""
    vault = await rotated(store)
    await store.set_value("encryption_check", Vault([K1]).seal("encryption_check", "", SecretStr("rewarm")))
    late = KeyRow(Vault([K1]).seal("api key", "333", SecretStr(KEY)), MODERATOR, "ana", NOW)
    await store.set_key(333, late)
    with pytest.raises(SealBroken):
        await unlock(store, vault)
    await unlock(store, Vault([K2, K1]))
    await unlock(store, vault)
    assert not any([vault.stale(row.sealed) async for _, row in store.all_keys()])


async def test_one_servers_damaged_key_does_not_stop_the_others(
    store: EmbeddedStore, session: aiohttp.ClientSession, api: ModelApiServer
) -> None:
    vault = await rotated(store)
    await store.set_key(333, KeyRow("damaged", MODERATOR, "ana", NOW))
    await unlock(store, vault)
    keys = Keys(store, vault, Hosts(session, {"v4": api.url}), now=lambda: NOW)
    assert await opened(keys, SERVER) == KEY
    assert await shown(keys, 333) == ("ana", NOW, None), "its moderators read that they should set it again"
