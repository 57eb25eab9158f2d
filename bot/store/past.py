"""Ended reloads in PostgreSQL: listed, checked and deleted in pages."""

import asyncpg

from bot.domain.reload import Reload
from bot.domain.steps import faded
from bot.store import statements as sql
from bot.store.base import HISTORY_MOST, page_of_models
from bot.store.rows import VALUE
from bot.store.schema import Connection, transaction
from bot.store.server_rows import WRITE_TIMEOUT, ServerRows

EXPIRE_BATCH = 500
SERVERS_BATCH = 5000
"""Servers that are read together, in 40 to 80 ms (measured)."""
CROWDED_BATCH = 200
UPGRADED = "upgraded"
"""The name of the value that says from which ID on reloads are in `models`; deleted once all of them are."""
UPGRADE_PAUSE = 0.02


class Past(ServerRows):
    """The verbs of `bot.store.base` about ended reloads."""

    fault = ""

    async def find(self, server: int, id_: int) -> Reload | None:
        found = await self._fetch(sql.FIND_OF_SERVER, server, id_)
        return sql.reload_of(found[0]) if found else None

    async def history(self, server: int, model: str | None = None, most: int = HISTORY_MOST) -> list[Reload]:
        if model is None:
            return await self._reloads(sql.HISTORY, server, most)
        return await self._reloads(sql.HISTORY_OF_MODEL, server, most, model)

    async def _reloads(self, query: str, *args: object) -> list[Reload]:
        return [reload for _, reload in sql.readable(await self._fetch(query, *args))]

    async def recent(self, server: int, most: int) -> list[tuple[str, float]]:
        return [
            (record["model"], record["asked_at"]) for record in await self._fetch(sql.RECENT, server, most)
        ]

    async def models(self, server: int, first: int, most: int) -> tuple[int, list[Reload]]:
        page = page_of_models(await self._reloads(sql.RUNNING, server), first, most)
        others = await self._reloads(sql.MODELS, server, page.running, page.most, page.first)
        [counted] = await self._fetch(sql.COUNT_MODELS, server, page.running)
        return counted["count"] + len(page.running), page.reloads + others

    async def about(self, server: int, model: str, most: int) -> list[Reload]:
        return await self._reloads(sql.ABOUT, server, most, model)

    async def servers(self) -> set[int]:
        servers: set[int] = set()
        after = 0
        while page := await self._fetch(sql.SERVERS, after, SERVERS_BATCH):
            servers |= {record["server"] for record in page}
            after = page[-1]["server"]
        return servers

    async def expire(self, ended_before: float, fade_before: float) -> int:
        async def work(connection: Connection) -> int:
            async with transaction(connection):
                gone = await connection.fetch(sql.EXPIRE, ended_before, EXPIRE_BATCH)
                left = EXPIRE_BATCH - len(gone)
                fading = await connection.fetch(sql.FADING, ended_before, fade_before, left)
                readable = list(sql.readable(fading))
                for record, reload in readable:
                    after = faded(reload)
                    await sql.update(connection, after, record["version"], record["owner"], None, news=False)
            return len(gone) + len(readable)

        return await self._write(WRITE_TIMEOUT, work)

    async def forget(self, server: int) -> int:
        async def work(connection: Connection) -> int:
            async with sql.servers_turn(connection, server):
                await connection.execute(sql.FORGET_ROWS, server)
                await connection.execute(sql.HIDE, server)
                return self._gone(await connection.fetch(sql.FORGET_FIRST, server, EXPIRE_BATCH))

        return await self._write(WRITE_TIMEOUT, work)

    async def sweep(self) -> int:
        async def work(connection: Connection) -> int:
            for record in await connection.fetch(sql.FORGOTTEN):
                server, highest = record["server"], record["highest"]
                if gone := await connection.fetch(sql.FORGET_REST, server, highest, EXPIRE_BATCH):
                    return self._gone(gone)
                await connection.execute(sql.FORGOTTEN_WHOLE, server, highest)
            return 0

        return await self._write(WRITE_TIMEOUT, work)

    async def crowded(self, most: int) -> list[int]:
        found: list[int] = []
        after = 0
        while page := await self._fetch(sql.CROWDED, after, CROWDED_BATCH, most, limit=WRITE_TIMEOUT):
            found += [record["server"] for record in page if record["is_crowded"]]
            after = page[-1]["server"]
        return found

    async def trim(self, server: int, most: int, asked_before: float, used_before: float) -> int:
        async def work(connection: Connection) -> int:
            limits = (most, asked_before, used_before, EXPIRE_BATCH)
            return self._gone(await connection.fetch(sql.SURPLUS, server, *limits))

        return await self._write(WRITE_TIMEOUT, work)

    def _gone(self, records: list[asyncpg.Record]) -> int:
        for record in records:
            self._lease.held.pop(record["id"], None)
        return len(records)

    async def inspect(self) -> float | None:
        """The verb of `bot.store.base`: it enters in `models` what an older version wrote."""

        async def work(connection: Connection) -> float | None:
            below = await sql.find_row(connection, VALUE, 0, UPGRADED)
            if below is None:
                return None
            async with transaction(connection):
                page = await connection.fetch(sql.TO_SEE, below, EXPIRE_BATCH)
                seen = [(r.server, r.model, r.id, r.outcome, r.used_at) for _, r in sql.readable(page)]
                await connection.execute(sql.SEE_MODELS, *([one[n] for one in seen] for n in range(5)))
                if page:
                    lowest = sql.packed(page[-1]["id"])
                    await connection.execute(sql.SET_ROW, VALUE.word, 0, UPGRADED, lowest)
                else:
                    await connection.execute(sql.REMOVE_ROW, VALUE.word, 0, UPGRADED)
            return UPGRADE_PAUSE if page else None

        return await self._write(WRITE_TIMEOUT, work)
