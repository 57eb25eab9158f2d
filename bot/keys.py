"""A server's API key: set, check, open, remove. In clear text it exists only inside these calls."""

import asyncio
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple
from urllib.parse import urlsplit

import structlog
from pydantic import SecretStr

from bot.backoff import retry_pause
from bot.domain.errors import BadKey, KeyRefused, NoKey, SealBroken, StoreTrouble
from bot.domain.person import storable
from bot.domain.rows import KeyRow
from bot.logs import log_failure
from bot.model_api.balance import Balance
from bot.model_api.client import KeyAnswer, KeyCheck, ModelApi
from bot.model_api.hosts import Hosts
from bot.store.base import ENCRYPTION_CHECK, Store
from bot.vault import Vault

BALANCE_TIMEOUT = 5.0
"""Seconds for asking the balance: somebody waits for the answer that includes it."""
LONGEST_KEY = 256
_KEY_TAIL = 4
PURPOSE = "api key"
log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """The public part of a stored key; `tail` is None if the key doesn't open."""

    by_name: str
    at: float
    tail: str | None
    host: str
    """The host that it is sent to."""
    checked: bool


class Checked(NamedTuple):
    """The version of the API that a key is for, whether the API says that it works, and the balance."""

    version: str
    works: bool
    balance: Balance | None = None


@dataclass(frozen=True, slots=True)
class ServerKey:
    """A server's key in clear text, the API that it is for, and its row as it was read."""

    secret: SecretStr
    api: ModelApi
    row: KeyRow


def parse_key(text: str) -> SecretStr:
    """Read a key as a person pasted it. Raises BadKey."""
    key = text.strip()
    if not 0 < len(key) <= LONGEST_KEY or not key.isprintable() or any(c.isspace() for c in key):
        raise BadKey
    return SecretStr(key)


def key_tail(key: str) -> str:
    """Return at most the last 4 characters of a key, and none of a short one."""
    tail = key[-_KEY_TAIL:] if len(key) >= 4 * _KEY_TAIL else ""
    return tail.replace("`", "'")


async def unlock(store: Store, vault: Vault) -> None:
    """Make sure, before anything else, that the encryption keys are this store's.

    Rows sealed with an older key are sealed again. Raises SealBroken if the store was sealed with other keys.
    """
    check = await store.value(ENCRYPTION_CHECK)
    if check is not None:
        vault.open(ENCRYPTION_CHECK, "", str(check))
    resealed = 0
    async for server, row in store.all_keys():
        try:
            if vault.stale(row.sealed):
                resealed += 1
                sealed = vault.seal(PURPOSE, str(server), vault.open(PURPOSE, str(server), row.sealed))
                await store.replace_key(server, row, replace(row, sealed=sealed))
        except SealBroken as error:  # one server's damaged row: that server has to set its key again
            log.error("key.unreadable", server=server, why=str(error))  # noqa: TRY400
    if check is None or vault.stale(str(check)):  # last: after this the older key may be removed
        await store.set_value(ENCRYPTION_CHECK, vault.seal(ENCRYPTION_CHECK, "", SecretStr("rewarm")))
    if resealed:
        log.info("keys.resealed", count=resealed)


class Keys:
    """The API keys of all servers, sealed in the store."""

    def __init__(self, store: Store, vault: Vault, hosts: Hosts, now: Callable[[], float]) -> None:
        self._store = store
        self._vault = vault
        self._hosts = hosts
        self._now = now
        self._removed: dict[int, float] = {}
        """Servers whose key was removed, and when, until the store has recorded that."""
        self._removing: dict[int, asyncio.Task[None]] = {}

    async def stop(self) -> None:
        """Stop: removals that the store has not recorded by now are lost."""
        for task in self._removing.values():
            task.cancel()
        await asyncio.gather(*self._removing.values(), return_exceptions=True)

    async def check(self, server: int, key: SecretStr) -> Checked:
        """Ask the current host about a key, and the other host only if the first explicitly refused the key.

        Raises KeyRefused if the first has, and no other host says that the key works.
        """
        current = self._hosts.current
        said = await self._ask(server, current, key)
        if said.check is not KeyCheck.INVALID:
            return Checked(current.version, said.check is KeyCheck.VALID, said.balance)
        for other in self._hosts.others(current):
            said = await self._ask(server, other, key)
            if said.check is KeyCheck.VALID:
                return Checked(other.version, works=True, balance=said.balance)
        raise KeyRefused

    async def _ask(self, server: int, api: ModelApi, key: SecretStr) -> KeyAnswer:
        try:
            async with self._hosts.places.turn(server):
                return await api.check_key(key)
        except TimeoutError:
            return KeyAnswer(KeyCheck.COULD_NOT_CHECK)

    async def set(self, server: int, key: SecretStr, by: int, by_name: str, checked: Checked) -> None:
        """Seal and store a key that was checked. Raises StoreTrouble."""
        sealed = self._vault.seal(PURPOSE, str(server), key)
        row = KeyRow(sealed, by, storable(by_name), self._now(), checked.version, checked.works)
        await self._store.set_key(server, row)
        self._removed.pop(server, None)
        log.info("key.set", server=server, by=by, version=checked.version, checked=checked.works)

    async def status(self, server: int) -> KeyStatus | None:
        """Return what may be shown about the server's key, or None."""
        row = await self._row(server)
        if row is None:
            return None
        secret = self._open(server, row)
        tail = None if secret is None else key_tail(secret.get_secret_value())
        host = urlsplit(self._hosts.of(row.version).host).netloc
        return KeyStatus(row.by_name, row.at, tail, host, row.checked)

    async def balance(self, server: int) -> Balance | None:
        """Ask the API for the balance of the server's key; None if nobody can tell. Nothing of it is kept."""
        try:
            key = await self.open(server)
            async with asyncio.timeout(BALANCE_TIMEOUT):
                return (await self._ask(server, key.api, key.secret)).balance
        except (NoKey, StoreTrouble, TimeoutError):
            return None

    async def open(self, server: int) -> ServerKey:
        """Return the server's key. Raises NoKey if there is none that opens, and StoreTrouble."""
        row = await self._row(server)
        if row is None or (secret := self._open(server, row)) is None:
            raise NoKey
        return ServerKey(secret, self._hosts.of(row.version), row)

    async def _row(self, server: int) -> KeyRow | None:
        """Return the stored row, unless its key was removed but can't be deleted yet. Raises StoreTrouble."""
        row = await self._store.key(server)
        return row if row is not None and row.at > self._removed.get(server, -math.inf) else None

    def _open(self, server: int, row: KeyRow) -> SecretStr | None:
        """Return the key of a row; None if it doesn't open."""
        try:
            return self._vault.open(PURPOSE, str(server), row.sealed)
        except SealBroken as error:
            log.error("key.unreadable", server=server, why=str(error))  # noqa: TRY400  # no traceback: no news in it
            return None

    async def move(self, server: int, key: ServerKey) -> ServerKey | None:
        """Remember that a key is for the other host, which has yet to accept it.

        None: there is no other host, or another key is stored by now. Raises StoreTrouble.
        """
        for other in self._hosts.others(key.api):
            row = replace(key.row, version=other.version, checked=False)
            if not await self._store.replace_key(server, key.row, row):
                now = await self._store.key(server)
                if now is None or replace(now, checked=False) != row:
                    continue
                row = now  # another reload was first, and may know already that the key works there
            log.info("key.moved", server=server, version=other.version)
            return ServerKey(key.secret, other, row)
        return None

    async def move_back(self, server: int, key: ServerKey, moved: ServerKey) -> None:
        """Undo a move, unless the other host has accepted the key in the meantime. Raises StoreTrouble."""
        if not moved.row.checked:
            await self._store.replace_key(server, moved.row, key.row)

    async def confirm(self, server: int, key: ServerKey) -> None:
        """Remember where the API has accepted a key, unless another key is stored by now.

        Raises StoreTrouble.
        """
        row, taken = await self._store.key(server), replace(key.row, checked=True)
        if row is not None and row.sealed == taken.sealed and row != taken:
            await self._store.replace_key(server, row, taken)

    async def remove(self, server: int) -> bool | None:
        """Delete the server's key for good; return False if there was none.

        None: storage failed. The key is no longer used here, and its deletion is retried until it works.
        """
        at = self._removed[server] = self._now()
        try:
            existed = await self._store.remove_key(server, at)
        except StoreTrouble as error:
            log.error("key.not_removed", server=server, error=str(error))  # noqa: TRY400  # no news in a traceback
            if server not in self._removing:
                task = asyncio.create_task(self._remove_later(server), name=f"remove-key-{server}")
                self._removing[server] = task
                task.add_done_callback(log_failure)
            return None
        self._removed.pop(server, None)
        log.info("key.removed", server=server, existed=existed)
        return existed

    async def _remove_later(self, server: int) -> None:
        """Retry until the key is deleted, or until another key is stored."""
        try:
            for attempt in itertools.count():
                await asyncio.sleep(retry_pause(attempt))
                if (at := self._removed.get(server)) is None:
                    return
                try:
                    existed = await self._store.remove_key(server, at)
                except StoreTrouble as error:
                    log.warning("key.not_removed", server=server, error=str(error))
                    continue
                self._removed.pop(server, None)
                log.info("key.removed", server=server, existed=existed, late=True)
                return
        finally:
            del self._removing[server]
