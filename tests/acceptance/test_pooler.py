"""A real PgBouncer between the bot and its database."""

import asyncio

import pytest
from structlog.testing import capture_logs

from bot.domain.errors import StoreTrouble
from bot.domain.reload import State
from bot.domain.rows import KeyRow
from bot.store.lease import LEASE_TIMEOUT, RENEW_INTERVAL
from tests import postgres
from tests.acceptance.test_admin import run
from tests.integration.test_postgres_store import Clock, replica
from tests.integration.test_store import LIMIT, make
from tests.wire import Wire

pytestmark = pytest.mark.usefixtures("has_pgbouncer")


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_one_that_keeps_no_session_is_refused_by_check_and_at_the_start(
    wire: Wire, postgres_to_stop: postgres.Server, mode: str
) -> None:
    """This includes the first process, which would not notice until a second one comes."""
    with postgres.pooled(postgres_to_stop, mode) as url:
        for command in (("check",), ()):
            said = await run(wire, *command, STORE_URL=url)
            assert "pool_mode=session" in said.out + said.err
            assert "canary" not in said.out + said.err
        assert said.status == 2


async def test_one_that_keeps_sessions_serves_two_replicas(postgres_to_stop: postgres.Server) -> None:
    with postgres.pooled(postgres_to_stop, "session") as url:
        async with replica(url) as one, replica(url) as other:
            await one.set_key(100, KeyRow("sealed", 7, "mod", 1.0))
            await one.ask(make(1), LIMIT)
            assert await one.step(1, {State.ASKED}, State.CALLING) is not None
            assert (await other.news()).taken == []


async def test_behind_one_a_database_that_goes_is_silence_and_the_log_says_what_was_said(
    postgres_to_stop: postgres.Server,
) -> None:
    """PgBouncer itself may refuse this replica, or be gone, while others are served."""
    clock = Clock()
    with postgres.pooled(postgres_to_stop, "session") as url, capture_logs() as logs:
        async with replica(url, clock) as store:
            await store.set_key(100, KeyRow("sealed", 7, "mod", 1.0))
            await store.ask(make(1), LIMIT)
            postgres_to_stop.stop()
            clock.ahead = LEASE_TIMEOUT
            holding = asyncio.create_task(store.hold(1))
            done, _ = await asyncio.wait([holding], timeout=2.5 * RENEW_INTERVAL)
            assert not done
            with pytest.raises(StoreTrouble):
                await store.settings(100)
            holding.cancel()
    errors = [line["error"] for line in logs if line["event"] == "lease.not_renewed"]
    assert any(error.startswith("ConnectionDoesNotExistError, ") for error in errors), errors


async def test_behind_one_that_is_gone_nothing_is_shown(postgres_to_stop: postgres.Server) -> None:
    """Its socket refuses this replica alone."""
    clock = Clock()
    with postgres.pooled(postgres_to_stop, "session") as url:
        store = replica(url, clock)
        held = await store.__aenter__()
        await held.set_key(100, KeyRow("sealed", 7, "mod", 1.0))
        await held.ask(make(1), LIMIT)
    clock.ahead = LEASE_TIMEOUT
    holding = asyncio.create_task(held.hold(1))
    done, _ = await asyncio.wait([holding], timeout=2.5 * RENEW_INTERVAL)
    assert not done
    holding.cancel()
    await store.__aexit__(None, None, None)
