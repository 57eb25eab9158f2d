"""A server's API key: set, look at, open, remove. In clear it exists only inside these calls."""

import asyncio
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog
from pydantic import SecretStr

from bot.backoff import retry_pause
from bot.domain.errors import BadKey, KeyRefused, NoKey, SealBroken, StoreTrouble
from bot.domain.rows import KeyRow
from bot.logs import log_failure
from bot.model_api.answer import Balance
from bot.model_api.client import KeyCheck, ModelApi
from bot.store.base import ENCRYPTION_CHECK, Store
from bot.vault import Vault

LONGEST_KEY = 256
_KEY_TAIL = 4
PURPOSE = "api key"
log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """What may be shown of a stored key; `tail` is None where the key does not open."""

    by_name: str
    at: float
    tail: str | None


def parse_key(text: str) -> SecretStr:
    """Read a key as a person pasted it. Raises BadKey."""
    key = text.strip()
    if not 0 < len(key) <= LONGEST_KEY or not key.isprintable() or any(c.isspace() for c in key):
        raise BadKey
    return SecretStr(key)


def key_tail(key: str) -> str:
    """At most the last 4 characters of a key, and none of a short one."""
    tail = key[-_KEY_TAIL:] if len(key) >= 4 * _KEY_TAIL else ""
    return tail.replace("`", "'")


async def unlock(store: Store, vault: Vault) -> None:
    """Make sure, before anything else, that the encryption keys are those of this store.

    Rows of an older key are sealed anew. Raises SealBroken when the store was sealed with other keys.
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
        except SealBroken as error:  # one server's damaged row: that server is told to set its key again
            log.error("key.unreadable", server=server, why=str(error))  # noqa: TRY400
    if check is None or vault.stale(str(check)):  # last: an older key may go once this is done
        await store.set_value(ENCRYPTION_CHECK, vault.seal(ENCRYPTION_CHECK, "", SecretStr("rewarm")))
    if resealed:
        log.info("keys.resealed", count=resealed)


class Keys:
    """The API keys of all servers, sealed in the store."""

    def __init__(self, store: Store, vault: Vault, api: ModelApi, now: Callable[[], float]) -> None:
        self._store = store
        self._vault = vault
        self._api = api
        self._now = now
        self._removed: dict[int, float] = {}
        """Servers whose key was removed, and when, where the store has not taken that yet."""
        self._removing: dict[int, asyncio.Task[None]] = {}

    async def stop(self) -> None:
        """What the store has not taken by now, it will not."""
        for task in self._removing.values():
            task.cancel()
        await asyncio.gather(*self._removing.values(), return_exceptions=True)

    async def check(self, key: SecretStr) -> bool:
        """Ask the API about a key: True if it works, False if that could not be found out.

        Raises KeyRefused when the API says that the key is invalid.
        """
        check = await self._api.check_key(key)
        if check is KeyCheck.INVALID:
            raise KeyRefused
        return check is KeyCheck.VALID

    async def set(self, server: int, key: SecretStr, by: int, by_name: str) -> None:
        """Seal and store a key. Raises StoreTrouble."""
        sealed = self._vault.seal(PURPOSE, str(server), key)
        await self._store.set_key(server, KeyRow(sealed, by, by_name, self._now()))
        self._removed.pop(server, None)
        log.info("key.set", server=server, by=by)

    async def status(self, server: int) -> KeyStatus | None:
        """What may be shown of the server's key, or None."""
        row = await self._store.key(server)
        if row is None or self._is_removed(server, row):
            return None
        try:
            tail: str | None = key_tail((await self.open(server)).get_secret_value())
        except NoKey:
            tail = None
        return KeyStatus(row.by_name, row.at, tail)

    async def balance(self, server: int) -> Balance | None:
        """What is left to spend with the server's key, as the API says now; None: nobody can tell.

        Nothing of it is kept.
        """
        try:
            return await self._api.balance(await self.open(server))
        except (NoKey, StoreTrouble):
            return None

    async def open(self, server: int) -> SecretStr:
        """The server's key. Raises NoKey when there is none that opens."""
        row = await self._store.key(server)
        if row is None or self._is_removed(server, row):
            raise NoKey
        try:
            return self._vault.open(PURPOSE, str(server), row.sealed)
        except SealBroken as error:
            log.error("key.unreadable", server=server, why=str(error))  # noqa: TRY400  # no traceback: no news in it
            raise NoKey from None

    def _is_removed(self, server: int, row: KeyRow) -> bool:
        return row.at <= self._removed.get(server, -math.inf)

    async def remove(self, server: int) -> bool | None:
        """Delete the server's key for good; False if there was none.

        None: storage failed. The key is used no more here, and its deletion is tried again until it works.
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
        """Try until it works, or until another key is stored."""
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
