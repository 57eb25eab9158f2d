"""Keeps the API's public list of models: fetched in the background, renewed daily, kept on disk."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import orjson
import structlog

from bot.domain.catalogue import Catalogue, PublicModel
from bot.domain.errors import NoKey
from bot.jobs.periodically import periodically
from bot.keys import Keys
from bot.memory import give_back
from bot.model_api.places import CallPlaces
from bot.store.base import Store

FILE = "models.json"
RENEW_AGE = 86400.0
FIRST_DELAY = 20.0
"""Seconds before the first look: a start has better things to do."""
TRY_INTERVAL = 3600.0
"""Seconds between two tries, whatever came of the first."""
NO_KEY_DELAY = 60.0
"""Seconds before the next look while no server has a key."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class CatalogueRefresh:
    """The newest good copy of the list, as a searchable `catalogue`.

    It is fetched with one server's key and is the same for all: nobody's own models are requested.
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        keys: Keys,
        places: CallPlaces,
        now: Callable[[], float],
        choose: Callable[[Sequence[int]], int],
    ) -> None:
        self._path = folder / FILE
        self._store = store
        self._keys = keys
        self._places = places
        self._now = now
        self._choose = choose
        self._fetched_at: float | None = None
        self.catalogue = Catalogue()
        self._turn = asyncio.Lock()

    async def suggest(self, typed: str, most: int) -> list[PublicModel]:
        """Search the catalogue, one search at a time, so that those of a crowd don't add up."""
        async with self._turn:
            await asyncio.sleep(0)
            return self.catalogue.search(typed, most)

    async def run(self) -> NoReturn:
        """Read the copy on disk; then renew it, forever."""
        await self._read()
        await periodically(FIRST_DELAY, TRY_INTERVAL, self._look, "models.not_listed")

    async def _look(self) -> float:
        """Renew the copy if that is due; return the seconds until the next look."""
        if self._is_fresh():
            return TRY_INTERVAL
        servers = sorted([server async for server, _ in self._store.all_keys()])
        if not servers:
            return NO_KEY_DELAY
        await self._renew(self._choose(servers))
        return TRY_INTERVAL

    def _is_fresh(self) -> bool:
        age = self._now() - self._fetched_at if self._fetched_at is not None else RENEW_AGE
        return 0 <= age < RENEW_AGE  # below 0: the clock was set back

    async def _renew(self, server: int) -> None:
        """Fetch the list with a server's key; keep the last good copy if this one is empty or cut short."""
        try:
            key = await self._keys.open(server)
            async with self._places.turn(server):
                rows = await key.api.models(key.secret)
        except (NoKey, TimeoutError):
            return
        if not rows:
            log.warning("models.not_listed", server=server)
            return
        self.catalogue = await asyncio.to_thread(Catalogue, rows)
        del rows
        await asyncio.to_thread(give_back)
        self._fetched_at = self._now()
        log.info("models.listed", count=len(self.catalogue.rows))
        try:
            await asyncio.to_thread(self._write, self.catalogue.rows, self._fetched_at)
        except OSError as error:
            log.warning("models.not_kept", error=type(error).__name__)

    def _write(self, rows: Sequence[PublicModel], fetched_at: float) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # with STORE_URL nobody else does
        new = self._path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_bytes(orjson.dumps({"fetched_at": fetched_at, "rows": [list(row) for row in rows]}))
        new.replace(self._path)  # the whole new copy, or the last one

    async def _read(self) -> None:
        try:
            self._fetched_at, self.catalogue = await asyncio.to_thread(_kept, self._path)
            await asyncio.to_thread(give_back)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError, OverflowError) as error:
            log.warning("models.not_read", error=type(error).__name__)


def _kept(path: Path) -> tuple[float, Catalogue]:
    """Return the copy on disk. Raises OSError, ValueError, TypeError, KeyError, OverflowError."""
    kept: Any = orjson.loads(path.read_bytes())
    # Everything here is dropped together in the end: objects that stay would sit in gaps and keep them from
    # being freed.
    rows = [PublicModel(str(id_), str(name), int(calls)) for id_, name, calls in kept["rows"]]
    return float(kept["fetched_at"]), Catalogue(rows)
