"""The tables in PostgreSQL, as numbered migrations: one that was released is never changed, only followed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from bot.domain.errors import DatabaseUnusable

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # cannot be subscripted at run time

MIGRATIONS = (
    """
    CREATE TABLE replicas (
        id uuid PRIMARY KEY,
        since timestamptz NOT NULL DEFAULT now(),
        lease_until timestamptz NOT NULL
    );
    CREATE TABLE reloads (
        id bigint PRIMARY KEY,
        server bigint NOT NULL,
        model text NOT NULL,
        state text NOT NULL,
        is_open boolean NOT NULL,
        is_joinable boolean NOT NULL,
        may_fade boolean NOT NULL,
        asked_at double precision NOT NULL,
        due double precision NOT NULL,
        last_at double precision,
        body json NOT NULL,
        version bigint NOT NULL DEFAULT 0,
        owner uuid,
        has_news boolean NOT NULL DEFAULT false
    );
    COMMENT ON COLUMN reloads.body IS 'the reload, whole; the columns before it repeat what is searched for';
    COMMENT ON COLUMN reloads.owner IS 'the replica''s life that looks after it while it is open';
    COMMENT ON COLUMN reloads.has_news IS 'another replica has changed who asked';
    CREATE UNIQUE INDEX reloads_joinable ON reloads (server, model) WHERE is_joinable;
    CREATE INDEX reloads_of_server ON reloads (server, asked_at);
    CREATE INDEX reloads_open ON reloads (owner) WHERE is_open;
    CREATE INDEX reloads_ended ON reloads (last_at) WHERE last_at IS NOT NULL;
    CREATE INDEX reloads_news ON reloads (owner) WHERE has_news;
    CREATE TABLE rows (
        kind text NOT NULL,
        server bigint NOT NULL,
        name text NOT NULL,
        value json NOT NULL,
        PRIMARY KEY (kind, server, name)
    );
    COMMENT ON TABLE rows IS 'keys (sealed), settings and watches of servers; named values of server 0';
    CREATE INDEX rows_of_server ON rows (server);
    """,
    "CREATE INDEX reloads_fading ON reloads (last_at) WHERE may_fade",
    """
    COMMENT ON TABLE rows IS
    'keys (sealed, for a version of the model API), settings, watches, calls that cost, events of servers; '
    'named values of server 0'
    """,
    """
    CREATE INDEX reloads_of_model ON reloads (server, model, asked_at);
    CREATE TABLE models (
        server bigint NOT NULL,
        model text NOT NULL,
        newest bigint NOT NULL,
        used_by bigint NOT NULL,
        used_at double precision NOT NULL,
        PRIMARY KEY (server, model)
    );
    COMMENT ON TABLE models IS
        'repeats of reloads with a known outcome what a list of models needs: the newest, and the last use';
    CREATE INDEX models_by_use ON models (server, used_at DESC, newest DESC);
    ALTER TABLE reloads ADD COLUMN outcome text, ADD COLUMN used_at double precision;
    CREATE FUNCTION see_model(of bigint, name text, id bigint, outcome text, at double precision)
    RETURNS integer LANGUAGE plpgsql AS $$
    BEGIN
        IF coalesce(outcome, 'unknown_model') <> 'unknown_model' THEN
            INSERT INTO models AS known
            VALUES (of, name, id, CASE WHEN at IS NULL THEN 0 ELSE id END, coalesce(at, 0))
            ON CONFLICT (server, model) DO UPDATE SET
                newest = greatest(known.newest, excluded.newest),
                used_by = CASE WHEN excluded.used_at > known.used_at
                    THEN excluded.used_by ELSE known.used_by END,
                used_at = greatest(known.used_at, excluded.used_at)
            WHERE known.newest < excluded.newest OR known.used_at < excluded.used_at;
        END IF;
        RETURN 1;
    END $$;
    CREATE FUNCTION model_seen() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM see_model(NEW.server, NEW.model, NEW.id, NEW.outcome, NEW.used_at);
        RETURN NULL;
    END $$;
    CREATE FUNCTION model_gone() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE models SET newest = coalesce((
            SELECT id FROM reloads r WHERE r.server = OLD.server AND r.model = OLD.model
            AND last_at IS NOT NULL AND outcome <> 'unknown_model' ORDER BY asked_at DESC LIMIT 1), 0)
        WHERE server = OLD.server AND model = OLD.model AND newest = OLD.id;
        DELETE FROM models WHERE server = OLD.server AND model = OLD.model AND newest = 0;
        RETURN NULL;
    END $$;
    CREATE TRIGGER model_seen AFTER INSERT OR UPDATE ON reloads
        FOR EACH ROW WHEN (NEW.last_at IS NOT NULL) EXECUTE FUNCTION model_seen();
    CREATE TRIGGER model_gone AFTER DELETE ON reloads FOR EACH ROW EXECUTE FUNCTION model_gone();
    INSERT INTO rows SELECT 'value', 0, 'upgraded', '9223372036854775807' WHERE EXISTS (SELECT FROM reloads);
    """,
)
_LOCK = 0x7265_7761_726D
"""The advisory lock's number: any would do if all replicas use the same."""


@asynccontextmanager
async def transaction(connection: Connection) -> AsyncIterator[None]:
    """A transaction; if it is cut short, so is its connection.

    asyncpg's own would wait for the answer to its ROLLBACK, forever if the other side has gone silent.
    """
    inner = connection.transaction()
    await inner.start()

    async def finish(kind: type[BaseException] | None, _: object, __: object) -> None:
        if kind is None:
            await inner.commit()
        elif issubclass(kind, asyncio.CancelledError):
            connection.terminate()
        else:
            await inner.rollback()

    async with AsyncExitStack() as stack:
        stack.push_async_exit(finish)
        yield


async def migrate(connection: Connection) -> None:
    """Bring the tables up to date, one replica at a time.

    Raises DatabaseUnusable if a newer version has been here; asyncpg's errors.
    """
    async with transaction(connection):
        await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (number int PRIMARY KEY, at timestamptz DEFAULT now())"
        )
        done = await connection.fetchval("SELECT coalesce(max(number), 0) FROM migrations")
        if done > len(MIGRATIONS):
            raise DatabaseUnusable("the database was set up by a newer version: upgrade the bot")
        for number, statements in enumerate(MIGRATIONS[done:], done + 1):
            await connection.execute(statements)
            await connection.execute("INSERT INTO migrations (number) VALUES ($1)", number)
