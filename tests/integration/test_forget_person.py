"""`forget --person` on a real file and a real PostgreSQL: nothing names them, the rest is as it was."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from bot.admin import person
from bot.domain.errors import StoreUnusable
from bot.domain.reload import Asker, ImageTest, Outcome, Ping, Reload, State
from bot.domain.rows import Event, KeyRow, PaidCall, Watch
from bot.settings import Settings, load_settings
from bot.store.embedded import EmbeddedStore
from bot.store.postgres import PostgresStore
from bot.vault import new_encryption_key

ANA, BEN = 220000000000000001, 220000000000000002
LIMIT = 5.0
AnyStore = EmbeddedStore | PostgresStore


@pytest.fixture(params=["file", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else ""
    return load_settings(
        None,
        discord_token="made-up",
        key_encryption_keys=new_encryption_key(),
        data_dir=tmp_path,
        store_url=url,
    )


async def opened(settings: Settings) -> AnyStore:
    url = settings.store_url.get_secret_value()
    store = await PostgresStore.connect(url) if url else EmbeddedStore(settings.data_dir)
    await store.news()
    return store


async def shut(store: AnyStore) -> None:
    await store.release()
    store.close()


def asked(id_: int, *users: int, server: int = 100) -> Reload:
    askers = tuple(Asker(user, 70 + n, f"token-{id_}-{user}") for n, user in enumerate(users))
    pings = (Ping(70, users),)
    reload = Reload(id_, server, f"m-{id_}", askers, 1000.0 + id_, 120.0, message=42, pings=pings)
    return replace(reload, state=State.ENDED, outcome=Outcome.ACCEPTED, deadline=1.0, ended_at=1.0)


HERS, BOTH, TESTED, BENS = asked(1, ANA), asked(2, ANA, BEN), asked(3, BEN), asked(4, BEN)
TESTED = replace(
    TESTED,
    muted=(ANA,),
    test=ImageTest(
        Asker(ANA, 70, "token-of-the-test"), 2.0, True, called=True, outcome=Outcome.REFUSED, shown=True
    ),
)


@pytest.fixture
async def filled(settings: Settings) -> Settings:
    store = await opened(settings)
    for server, who in ((100, ANA), (101, BEN)):
        await store.set_key(server, KeyRow("sealed", who, f"name-of-{who}", 1.0))
        await store.set_watch(Watch(server, "m", who, 70), new=True)
        await store.add_event(server, Event("key_set", 1.0, who, f"name-of-{who}"))
        await store.reserve_call(server, "call", PaidCall(who, 1.0), None)
    await store.set_watch(Watch(101, "both", ANA, 70), new=True)
    await store.set_watch(Watch(101, "both", BEN, 71), new=True)
    for reload in (HERS, BOTH, TESTED, BENS):
        assert await store.ask(reload, LIMIT) == reload
    await shut(store)
    return settings


WATCHES = [Watch(101, "both", BEN, 71), Watch(101, "m", BEN, 70)]
EXPECTED = Counter({person.DELETED: 1, "reload": 2, "key": 1, "watch": 2, "paid": 1, "event": 1})


async def test_nothing_names_them_and_the_rest_is_as_it_was(filled: Settings, tmp_path: Path) -> None:
    assert await person.forget(filled, ANA, is_rehearsal=False) == EXPECTED
    store = await opened(filled)
    history = {reload.id: reload for reload in await store.history(100)}
    assert set(history) == {2, 3, 4}
    assert history[4] == BENS
    assert history[2].askers == (Asker(BEN, 70, ""), Asker(BEN, 71, f"token-2-{BEN}"))
    assert TESTED.test is not None
    assert history[3].test == replace(TESTED.test, by=Asker(0, 0, ""))
    assert await store.key(100) == KeyRow("sealed", 0, "", 1.0)
    assert await store.key(101) == KeyRow("sealed", BEN, f"name-of-{BEN}", 1.0)
    assert sorted([watch async for watch in store.all_watches()], key=lambda watch: watch.model) == WATCHES
    assert (await store.paid_calls(100), await store.paid_calls(101)) == ([], [PaidCall(BEN, 1.0)])
    assert await store.events(100) == [Event("key_set", 1.0, told=True)]
    await shut(store)
    for trace in (str(ANA), f"name-of-{ANA}", "token-of-the-test", f"token-1-{ANA}"):
        assert trace not in await written(filled)
    assert await person.forget(filled, ANA, is_rehearsal=False) == Counter()


async def written(settings: Settings) -> str:
    """All that is on disk, bytes of deleted rows included; of the database its rows."""
    if not (url := settings.store_url.get_secret_value()):
        return b"".join(path.read_bytes() for path in settings.data_dir.iterdir()).decode(errors="replace")
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT body::text FROM reloads UNION ALL SELECT value::text FROM rows")
    await connection.close()
    return "\n".join(row[0] for row in rows)


async def test_a_rehearsal_changes_nothing(filled: Settings) -> None:
    before = await written(filled)
    assert await person.forget(filled, ANA, is_rehearsal=True) == EXPECTED
    assert await written(filled) == before


async def test_what_is_open_is_left_alone_and_counted(filled: Settings) -> None:
    store = await opened(filled)
    running = Reload(9, 101, "m-9", (Asker(ANA, 70, "token-9"),), 2000.0, 120.0)
    await store.ask(running, LIMIT)
    await shut(store)
    assert await person.forget(filled, ANA, is_rehearsal=False) == EXPECTED + Counter({person.OPEN: 1})
    store = await opened(filled)
    assert await store.open() == [running]
    await shut(store)


async def test_next_to_a_bot_on_the_file_it_is_refused_and_on_a_database_it_works(filled: Settings) -> None:
    store = await opened(filled)
    if isinstance(store, EmbeddedStore):
        with pytest.raises(StoreUnusable, match="in use by another bot"):
            await person.forget(filled, ANA, is_rehearsal=False)
    else:
        assert await person.forget(filled, ANA, is_rehearsal=False) == EXPECTED
        assert await store.key(100) == KeyRow("sealed", 0, "", 1.0)
    await shut(store)
