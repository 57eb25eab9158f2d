"""The API's public list: fetched politely, read as it comes in, kept on disk; broken, it harms nobody."""

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from pydantic import SecretStr

from bot.jobs.catalogue_refresh import (
    FILE,
    FIRST_DELAY,
    NO_KEY_DELAY,
    RENEW_AGE,
    TRY_INTERVAL,
    CatalogueRefresh,
)
from bot.keys import Checked, Keys
from bot.model_api.body import LIST_BYTES
from bot.model_api.client import open_session
from bot.model_api.hosts import Hosts
from bot.store.embedded import EmbeddedStore
from bot.vault import Vault
from tests.stand_ins.model_api import Answer, ModelApiServer
from tests.world import CANARY

pytestmark = pytest.mark.usefixtures("virtual")
A, B = 100, 101


def now() -> float:
    return 1_800_000_000.0 + asyncio.get_running_loop().time()


class Place:
    """A catalogue refresh with a store, two servers' keys, and a model API."""

    def __init__(self, folder: Path, api: ModelApiServer, session: aiohttp.ClientSession) -> None:
        self.folder = folder
        self.api = api
        self.store = EmbeddedStore(folder)
        self.hosts = Hosts(session, {"v4": api.url})
        self.keys = Keys(self.store, Vault([bytes(32)]), self.hosts, now)
        self.turns = 0
        self.task: asyncio.Task[Any] | None = None
        self.catalogue_refresh = self.new()

    def new(self) -> CatalogueRefresh:
        def in_turn(servers: Sequence[int]) -> int:
            self.turns += 1
            return servers[self.turns % len(servers)]

        return CatalogueRefresh(self.folder, self.store, self.keys, self.hosts.places, now, in_turn)

    async def set_keys(self) -> None:
        for server in (A, B):
            key = SecretStr(f"{CANARY}-{server}")
            await self.keys.set(server, key, 1, "mod", Checked("v4", works=True))

    async def run(self, seconds: float) -> None:
        """Let it run for this many seconds."""
        if self.task is None:
            self.task = asyncio.create_task(self.catalogue_refresh.run())
        await asyncio.sleep(seconds)

    async def restart(self) -> None:
        await self.stop()
        self.catalogue_refresh = self.new()

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        self.task = None

    def ids(self) -> list[str]:
        return [row.id for row in self.catalogue_refresh.catalogue.rows]


@pytest.fixture
async def place(tmp_path: Path, api: ModelApiServer) -> AsyncIterator[Place]:
    async with open_session() as session:
        place = Place(tmp_path, api, session)
        yield place
        await place.stop()
        place.store.close()


async def test_the_list_is_fetched_once_a_day_with_a_servers_key(place: Place) -> None:
    await place.set_keys()
    await place.run(FIRST_DELAY + 5)
    assert place.ids() == ["midjourney", "realistic-vision"]
    await place.run(RENEW_AGE - 2 * TRY_INTERVAL)
    [call] = place.api.list_calls
    assert call.path == "/api/v4/dreambooth/model_list"
    assert call.body["key"].startswith(CANARY)
    await place.run(3 * TRY_INTERVAL)
    first, second = place.api.list_calls
    assert first.body != second.body, "not always the same server's"


async def test_nothing_is_asked_without_a_key(place: Place) -> None:
    await place.run(10 * TRY_INTERVAL)
    assert place.api.list_calls == []
    await place.set_keys()
    await place.run(NO_KEY_DELAY + 5)
    assert len(place.api.list_calls) == 1


async def test_a_restart_reads_it_from_disk_and_asks_nobody(place: Place) -> None:
    await place.set_keys()
    await place.run(FIRST_DELAY + 5)
    assert (place.folder / FILE).stat().st_mode & 0o077 == 0
    await place.restart()
    await place.run(1)
    assert place.ids() == ["midjourney", "realistic-vision"]
    await place.run(TRY_INTERVAL)
    assert len(place.api.list_calls) == 1


BROKEN: dict[str, Answer] = {
    "an error object": Answer({"status": "error", "message": "Invalid API key"}),
    "an empty list": Answer([]),
    "no models in it": Answer([{"model_id": None}, 7, None]),
    "a page": Answer(b"<html>", 502),
    "nothing": Answer(b""),
    "cut off": Answer(b'[{"model_id": "half"}, {"model_i'),
    "a 500 with a list": Answer([{"model_id": "half"}], 500),
    "a redirect": Answer([], 302, {"Location": "/elsewhere"}),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_what_is_no_whole_list_leaves_the_last_good_one_and_is_tried_politely(
    place: Place, case: str
) -> None:
    await place.set_keys()
    await place.run(FIRST_DELAY + 5)
    place.api.lists = [BROKEN[case]]
    await place.run(RENEW_AGE + 5 * TRY_INTERVAL)
    assert place.ids() == ["midjourney", "realistic-vision"]
    assert 4 <= len(place.api.list_calls) - 1 <= 6, "once an hour"
    await place.restart()
    await place.run(1)
    assert place.ids() == ["midjourney", "realistic-vision"]


@pytest.mark.parametrize(
    "wrapped", [{"status": "success", "data": [{"model_id": "a"}]}, {"models": [{"model_id": "a"}]}]
)
async def test_a_wrapper_is_looked_into(place: Place, wrapped: Any) -> None:
    place.api.lists = [Answer(wrapped)]
    await place.set_keys()
    await place.run(FIRST_DELAY + 5)
    assert place.ids() == ["a"]


async def test_a_packed_list_is_unpacked(place: Place) -> None:
    packed = gzip.compress(orjson.dumps([{"model_id": f"m-{n}", "api_calls": n} for n in range(5000)]))
    place.api.lists = [Answer(packed, headers={"Content-Encoding": "gzip"})]
    await place.set_keys()
    await place.run(FIRST_DELAY + 5)
    assert len(place.ids()) == 5000
    assert place.ids()[0] == "m-4999"


async def test_while_a_long_list_is_read_others_get_their_turn(place: Place) -> None:
    """All of it arrives at once: without a pause of ours it would be read in one go."""
    rows = [{"model_id": f"m-{n}", "description": "x" * 300} for n in range(10_000)]
    packed = gzip.compress(orjson.dumps(rows))
    place.api.lists = [Answer(packed, headers={"Content-Encoding": "gzip"})]
    await place.set_keys()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    rows_read = await place.hosts.current.models(SecretStr(CANARY))
    counting.cancel()
    assert rows_read is not None
    assert len(rows_read) == 10_000
    assert turns > len(orjson.dumps(rows)) / (16 * 1024)


async def test_a_bomb_is_bounded(place: Place) -> None:
    bomb = gzip.compress(b"[" + b" " * (LIST_BYTES + 1024) + b"]")
    place.api.lists = [Answer(bomb, headers={"Content-Encoding": "gzip"})]
    await place.set_keys()
    tracemalloc.start()
    await place.run(FIRST_DELAY + 10)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 16 * 2**20
    assert place.ids() == []


async def test_a_list_that_hangs_is_given_up(place: Place) -> None:
    async def hang(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(1000)
        return web.Response()

    place.api.lists = [Answer(handler=hang), Answer([{"model_id": "later"}])]
    await place.set_keys()
    await place.run(FIRST_DELAY + 200 + TRY_INTERVAL)
    assert place.ids() == ["later"]


@pytest.mark.parametrize(
    "junk", [b"", b"{", b"[]", b'{"fetched_at": "x", "rows": []}', b'{"rows": [[1]]}', b"\xff"]
)
async def test_a_damaged_copy_is_fetched_again(place: Place, junk: bytes) -> None:
    (place.folder / FILE).write_bytes(junk)
    await place.set_keys()
    await place.run(FIRST_DELAY + 5)
    assert place.ids() == ["midjourney", "realistic-vision"]


async def test_a_copy_from_the_future_is_renewed(place: Place) -> None:
    """The clock was set back."""
    kept = {"fetched_at": now() + 10 * RENEW_AGE, "rows": [["old", "", 1]]}
    (place.folder / FILE).write_bytes(orjson.dumps(kept))
    await place.set_keys()
    await place.run(FIRST_DELAY + 5)
    assert place.ids() == ["midjourney", "realistic-vision"]


async def test_a_disk_that_takes_nothing_costs_the_copy_only(place: Place) -> None:
    (place.folder / FILE).mkdir()
    await place.set_keys()
    await place.run(FIRST_DELAY + 5)
    assert place.ids() == ["midjourney", "realistic-vision"]


async def test_the_key_is_in_no_file_and_no_log(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.api.lists = [Answer({"error": f"no, {CANARY}"}), Answer([{"model_id": CANARY}])]
    await place.set_keys()
    await place.run(FIRST_DELAY + TRY_INTERVAL + 5)
    assert CANARY not in "".join(capfd.readouterr())


async def test_a_row_that_repeats_the_key_is_left_out(place: Place) -> None:
    await place.set_keys()
    echoes = [{"model_id": f"{CANARY}-{server}"} for server in (A, B)]
    named = [{"model_id": "a", "model_name": f"see {CANARY.upper()}"}, {"model_id": "fine"}]
    place.api.lists = [Answer([*echoes, *named])]
    await place.run(FIRST_DELAY + 5)
    assert place.ids() == ["fine"]
    assert CANARY.encode().lower() not in (place.folder / FILE).read_bytes().lower()
