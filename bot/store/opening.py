"""Opens the store that the settings name."""

from pathlib import Path

import structlog
from pydantic import SecretStr

from bot.domain.errors import StoreAway
from bot.metrics import Metrics
from bot.store import file
from bot.store.base import ENCRYPTION_CHECK, Store
from bot.store.embedded import EmbeddedStore
from bot.store.progress import while_it_moves

OPEN_TIMEOUT = 30.0
"""Without any progress: to upgrade a million reloads takes a while, and a disk that hangs never answers."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def open_store(url: SecretStr, folder: Path, metrics: Metrics) -> Store:
    """Open the database of a URL, or where that is empty the file in a folder. Raises StoreUnusable."""
    if url.get_secret_value():
        from bot.store.postgres import PostgresStore  # noqa: PLC0415  # a file needs none of its libraries

        store, left = await PostgresStore.connect(url.get_secret_value(), metrics), folder / file.NAME
        if left.exists() and await store.value(ENCRYPTION_CHECK) is None:
            log.warning("store.begun_anew", not_moved=str(left), by="move-store")
        return store
    try:
        return await while_it_moves(lambda moves: EmbeddedStore(folder, metrics, moves), OPEN_TIMEOUT)
    except TimeoutError:
        raise StoreAway(f"{folder} doesn't answer: check its disk") from None
