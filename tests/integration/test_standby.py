"""A replica that is led to a standby, or refused while others may be served, shows nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg
import pytest

from bot.domain.errors import DatabaseAway, StoreTrouble
from bot.domain.reload import Reload, State
from bot.domain.rows import KeyRow
from bot.store.database import is_fixed
from bot.store.lease import LEASE_TIMEOUT, RENEW_INTERVAL
from bot.store.postgres import PostgresStore
from tests import postgres
from tests.integration.test_postgres_store import Clock, replica
from tests.integration.test_store import LIMIT, make


class Held(NamedTuple):
    """A replica that holds a reload, and its clock."""

    store: PostgresStore
    clock: Clock

    def led_to(self, url: str) -> None:
        """Lead its name elsewhere, and break its connections."""
        self.store._database._url = url
        self.store._lease._disconnect()

    async def shows_nothing(self) -> bool:
        """Return whether it waits once its lease is over, for several attempts to renew it."""
        self.clock.ahead += LEASE_TIMEOUT
        holding = asyncio.create_task(self.store.hold(1))
        done, _ = await asyncio.wait([holding], timeout=2.5 * RENEW_INTERVAL)
        holding.cancel()
        return not done


@asynccontextmanager
async def holding(url: str) -> AsyncIterator[Held]:
    clock = Clock()
    async with replica(url, clock) as store:
        await store.set_key(100, KeyRow("sealed", 7, "mod", 1.0))
        await store.ask(make(1), LIMIT)
        yield Held(store, clock)


def one_of(*servers: postgres.Server) -> str:
    """A URL with several hosts."""
    return f"postgresql://rewarm@/{servers[0].database}?host={','.join(str(s.folder) for s in servers)}"


async def test_a_name_that_leads_to_a_standby_is_silence(
    postgres_to_stop: postgres.Server, standby: postgres.Server
) -> None:
    async with holding(postgres_to_stop.url()) as held:
        held.led_to(standby.url())
        assert await held.shows_nothing()
        held.led_to(postgres_to_stop.url())
        await asyncio.wait_for(held.store.hold(1), 5)
        assert await held.store.step(1, {State.ASKED}, State.CALLING) is not None


async def test_an_address_that_refuses_while_another_is_a_standby_is_silence(
    postgres_to_stop: postgres.Server, standby: postgres.Server
) -> None:
    async with holding(one_of(postgres_to_stop, standby)) as held:
        postgres_to_stop.stop()
        assert await held.shows_nothing()


async def test_one_address_that_refuses_is_silence_where_a_standby_may_be_promoted(
    postgres_to_stop: postgres.Server, standby: postgres.Server
) -> None:
    async with holding(postgres_to_stop.url()) as held, replica(one_of(postgres_to_stop, standby)) as other:
        postgres_to_stop.stop()
        admin = await asyncpg.connect(standby.url())
        await admin.execute("SELECT pg_promote()")
        await admin.close()
        async with asyncio.timeout(15):  # the other one's URL names the new primary, too
            while not (taken := await news(other)):
                await asyncio.sleep(0.1)
        assert [reload.id for reload in taken] == [1]
        assert await held.shows_nothing()


async def news(store: PostgresStore) -> list[Reload]:
    try:
        return (await store.news()).taken
    except StoreTrouble:
        return []


async def test_what_is_read_only_for_one_alone_is_silence(postgres_to_stop: postgres.Server) -> None:
    """New sessions of a database are read-only, while old ones go on writing."""
    url = postgres_to_stop.url()
    async with holding(url) as held, replica(url) as other:
        admin = await asyncpg.connect(url)
        await admin.execute(
            f"ALTER DATABASE {postgres_to_stop.database} SET default_transaction_read_only = on"
        )
        await admin.close()
        held.led_to(url)
        assert await held.shows_nothing()
        await other.settings(100)
        await other._lease.renew()
        assert other._lease.is_good


async def test_a_start_takes_the_primary_and_says_so_where_there_is_a_standby_only(
    postgres_to_stop: postgres.Server, standby: postgres.Server
) -> None:
    async with holding(one_of(standby, postgres_to_stop)) as held:
        assert await held.store.step(1, {State.ASKED}, State.CALLING) is not None
    with pytest.raises(DatabaseAway, match="it is a standby"):
        await PostgresStore.connect(standby.url())


@pytest.mark.parametrize(
    ("url", "fixed"),
    [
        ("postgresql://rewarm@/rewarm?host=/run/postgresql", True),
        ("postgresql://rewarm:a%40b@10.0.0.5/rewarm", True),
        ("postgresql://rewarm@[fd00::5]:5433/rewarm", True),
        ("postgresql://localhost/rewarm", True),
        ("postgresql://rewarm@%2Frun%2Fpostgresql/rewarm", True),
        ("postgresql://rewarm@db/rewarm", False),
        ("postgresql://rewarm@10.0.0.5:5432,10.0.0.6:5432/rewarm", False),
        ("postgresql:///rewarm?host=/run/one,/run/other", False),
        ("postgresql:///rewarm", False),
    ],
)
def test_what_leads_everybody_to_the_same_server(url: str, fixed: bool) -> None:
    assert is_fixed(url) is fixed
