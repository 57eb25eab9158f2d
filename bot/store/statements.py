"""The PostgreSQL store's statements, and how its records become our rows."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg
import orjson
import structlog

from bot.domain.errors import StoreTrouble
from bot.domain.reload import JOINABLE, Reload, State
from bot.domain.steps import Facts
from bot.store.memory import Memory
from bot.store.rows import RELOAD, Kind, StoredRow, unpack
from bot.store.schema import Connection, transaction

T = TypeVar("T")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

COLUMNS = """
id, server, model, state, is_open, is_joinable, may_fade, asked_at, due, last_at, outcome, used_at, body
"""
INSERT = f"""
INSERT INTO reloads ({COLUMNS}, owner)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
"""
FIND = "SELECT id, body, version, owner FROM reloads WHERE id = $1"
UPDATE = """
UPDATE reloads SET
    state = $4, is_open = $5, is_joinable = $6, may_fade = $7, due = $8, last_at = $9, outcome = $10,
    used_at = $11, body = $12, owner = $13, has_news = $5 AND (has_news OR $14), version = version + 1
WHERE id = $1 AND version = $2 AND owner IS NOT DISTINCT FROM $3
RETURNING version
"""
REMOVE = "DELETE FROM reloads WHERE id = $1 AND version = $2 AND owner IS NOT DISTINCT FROM $3 RETURNING 0"
EXPIRE_LEASES = """
UPDATE replicas SET lease_until = '-infinity' WHERE id IN (
    SELECT id FROM replicas WHERE lease_until < now() AND lease_until > '-infinity' FOR UPDATE SKIP LOCKED)
AND EXISTS (SELECT FROM replicas WHERE id = $1 AND lease_until > now()
            AND (since < now() - make_interval(secs => $2) OR since > now()))
"""
"""Leases that have run out expire for good before their reloads are claimed: a renewal may be in progress. A
replica whose own lease is younger than the seconds given claims nothing, so that after an outage the previous
owners come first. If a lease began in the future, the clock was set back."""
_UNOWNED = """
is_open AND NOT EXISTS (SELECT FROM replicas p WHERE p.id = r.owner AND p.lease_until > '-infinity')
AND EXISTS (SELECT FROM replicas WHERE id = $1 AND lease_until > now())
"""
UNOWNED = f"SELECT id FROM reloads r WHERE {_UNOWNED} AND id <> ALL($2) ORDER BY due LIMIT $3"
LOCK = f"SELECT id FROM reloads r WHERE {_UNOWNED} AND id = ANY($2) FOR UPDATE SKIP LOCKED"
CLAIM = f"""
UPDATE reloads r SET owner = $1, has_news = false WHERE {_UNOWNED} AND id = ANY($2)
RETURNING id, body, version
"""
"""The owner is checked twice, as the first query sees leases as they were when it began: the row may belong
to a newer one by now."""
NEWS = """
UPDATE reloads r SET has_news = false
FROM (SELECT id FROM reloads WHERE owner = $1 AND has_news ORDER BY id FOR UPDATE SKIP LOCKED) mine
WHERE r.id = mine.id RETURNING r.id, r.body, r.version
"""
TRY_AGAIN = """
UPDATE reloads SET has_news = true
WHERE is_open AND state = 'announcing' AND owner <> $1 AND NOT has_news AND (server = ANY($2) OR EXISTS (
    SELECT FROM json_array_elements(body->'askers') asker WHERE asker->>'channel' = ANY($3::text[])))
"""
MINE = "SELECT id FROM reloads WHERE owner = $1 AND is_open"
LEAVE = "UPDATE reloads SET owner = NULL WHERE owner = $1 AND id = ANY($2) AND is_open"
SERVERS_TURN = "SELECT pg_advisory_xact_lock($1)"
ABOUT_TO_ASK = """
SELECT id, body, version, owner FROM reloads WHERE server = $1 AND (is_joinable OR asked_at > $2)
ORDER BY id FOR UPDATE
"""
_HIDDEN = """
coalesce((
    SELECT (value #>> '{}')::bigint FROM rows WHERE kind = 'forgotten' AND server = $1 AND name = ''), -1)
"""
FIND_OF_SERVER = f"SELECT id, body FROM reloads WHERE server = $1 AND id = $2 AND id > {_HIDDEN}"
HISTORY = f"""
SELECT id, body FROM reloads WHERE server = $1 AND id > {_HIDDEN} ORDER BY asked_at DESC LIMIT $2
"""
HISTORY_OF_MODEL = f"""
SELECT id, body FROM reloads WHERE server = $1 AND id > {_HIDDEN} AND model = $3
ORDER BY asked_at DESC LIMIT $2
"""
RECENT = f"""
SELECT model, asked_at FROM (
    SELECT model, asked_at, is_joinable FROM reloads WHERE server = $1 AND id > {_HIDDEN}
    ORDER BY asked_at DESC LIMIT $2) newest
WHERE is_joinable OR EXISTS (SELECT FROM models m WHERE m.server = $1 AND m.model = newest.model)
"""
OPEN = "SELECT id, body FROM reloads WHERE is_open"
RUNNING = "SELECT id, body FROM reloads WHERE server = $1 AND is_joinable"
_OTHERS = f"""
models WHERE server = $1 AND newest > {_HIDDEN} AND model <> ALL ($2)
AND (SELECT 1 FROM reloads r WHERE r.server = $1 AND r.model = models.model
    AND r.asked_at > coalesce((SELECT asked_at FROM reloads WHERE id = used_by), -1)
    AND r.outcome = 'unknown_model' LIMIT 1) IS NULL
"""
"""Those that the API has not refused to know since they were last used."""
COUNT_MODELS = f"SELECT count(*) FROM {_OTHERS}"
MODELS = f"""
WITH page AS (SELECT newest, used_by FROM {_OTHERS} ORDER BY used_at DESC, newest DESC LIMIT $3 OFFSET $4)
SELECT id, body FROM reloads WHERE server = $1 AND id > {_HIDDEN}
AND id = ANY (ARRAY(SELECT newest FROM page UNION SELECT used_by FROM page))
"""
"""The newest reloads of a page of models, and those that last used them."""
ABOUT = f"""
SELECT id, body FROM reloads WHERE server = $1 AND id > {_HIDDEN} AND id = ANY (ARRAY(
    SELECT newest FROM models WHERE server = $1 AND model = $3
    UNION SELECT used_by FROM models WHERE server = $1 AND model = $3
    UNION SELECT id FROM (SELECT id FROM reloads WHERE server = $1 AND model = $3
        ORDER BY asked_at DESC LIMIT $2) newest))
ORDER BY asked_at DESC
"""
ROW = "SELECT value FROM rows WHERE kind = $1 AND server = $2 AND name = $3"
KEYS = "SELECT server, name, value FROM rows WHERE kind = 'key'"
ROWS = """
SELECT server, name, value FROM rows WHERE kind = $1 AND (server, name) > ($2, $3)
ORDER BY server, name LIMIT $4
"""
REPLACE_KEY = """
UPDATE rows SET value = $4 WHERE kind = 'key' AND server = $1 AND value->>'sealed' = $2
AND coalesce(value->>'version', '') = $3
RETURNING true
"""
SET_ROW = """
INSERT INTO rows VALUES ($1, $2, $3, $4)
ON CONFLICT (kind, server, name) DO UPDATE SET value = excluded.value
"""
REMOVE_KEY = """
DELETE FROM rows WHERE kind = 'key' AND server = $1 AND (value->>'at')::double precision <= $2 RETURNING true
"""
REMOVE_ROW = "DELETE FROM rows WHERE kind = $1 AND server = $2 AND name = $3 RETURNING true"
EXPIRE_KIND = """
DELETE FROM rows WHERE kind = $1 AND (server, name) IN (
    SELECT server, name FROM rows
    WHERE kind = $1 AND abs((value->>'at')::double precision - $2) >= $3 LIMIT $4)
RETURNING server
"""
ROWS_OF_SERVER = "SELECT server, name, value FROM rows WHERE kind = $1 AND server = $2"
SERVERS = """
WITH RECURSIVE known (server) AS (
    VALUES ($1::bigint)
    UNION ALL
    SELECT least((SELECT min(r.server) FROM rows r WHERE r.server > known.server),
                 (SELECT min(r.server) FROM reloads r WHERE r.server > known.server))
    FROM known WHERE server IS NOT NULL)
SELECT server FROM known WHERE server > $1 LIMIT $2
"""
"""Servers, found one after the other by the index: a server may have a long history (8 us each, measured)."""
CROWDED = f"""
SELECT server, EXISTS (SELECT FROM reloads r WHERE r.server = known.server OFFSET $3) AS is_crowded
FROM ({SERVERS}) known
"""
SURPLUS = """
DELETE FROM reloads WHERE id = ANY (ARRAY(
    SELECT id FROM reloads r WHERE server = $1 AND NOT is_open AND asked_at < least($3, (
        SELECT asked_at FROM reloads WHERE server = $1 ORDER BY asked_at DESC LIMIT 1 OFFSET $2 - 1))
    AND NOT EXISTS (SELECT FROM models m WHERE m.server = r.server AND m.model = r.model
        AND m.used_by = r.id AND m.used_at > $4)
    ORDER BY asked_at LIMIT $5 FOR UPDATE))
RETURNING id
"""
EXPIRE = """
DELETE FROM reloads WHERE id = ANY (ARRAY(
    SELECT id FROM reloads WHERE last_at < $1 AND state IN ('ended', 'announcing')
    ORDER BY last_at LIMIT $2 FOR UPDATE SKIP LOCKED))
RETURNING id
"""
FADING = """
SELECT id, body, version, owner FROM reloads
WHERE last_at >= $1 AND last_at < $2 AND state IN ('ended', 'announcing') AND may_fade
ORDER BY last_at LIMIT $3 FOR UPDATE SKIP LOCKED
"""
FORGET_ROWS = "DELETE FROM rows WHERE server = $1 AND kind <> 'forgotten'"
HIDE = """
INSERT INTO rows SELECT 'forgotten', $1, '', to_json(id) FROM (
    SELECT id FROM reloads ORDER BY id DESC LIMIT 1) newest
ON CONFLICT (kind, server, name) DO UPDATE SET value = excluded.value
"""
"""IDs grow with time: later requests get IDs above all existing ones."""
FORGET_FIRST = """
DELETE FROM reloads WHERE id = ANY (ARRAY(
    SELECT id FROM reloads WHERE server = $1 AND is_open
    UNION SELECT id FROM (SELECT id FROM reloads WHERE server = $1 ORDER BY asked_at DESC LIMIT $2) newest))
RETURNING id
"""
FORGOTTEN = "SELECT server, (value #>> '{}')::bigint AS highest FROM rows WHERE kind = 'forgotten' LIMIT 100"
FORGET_REST = """
DELETE FROM reloads WHERE id = ANY (ARRAY(
    SELECT id FROM reloads WHERE server = $1 AND id <= $2 ORDER BY asked_at DESC LIMIT $3 FOR UPDATE))
RETURNING id
"""
FORGOTTEN_WHOLE = """
DELETE FROM rows WHERE kind = 'forgotten' AND server = $1 AND (value #>> '{}')::bigint = $2
"""
"""Not if it was forgotten again in the meantime: that mark hides newer reloads."""
TO_SEE = """
SELECT id, body FROM reloads WHERE id < $1 AND last_at IS NOT NULL ORDER BY id DESC LIMIT $2 FOR SHARE
"""
"""Rows are locked, so that none is deleted between reading and writing."""
SEE_MODELS = """
SELECT sum(see_model(server, model, id, outcome, used_at)) FROM unnest(
    $1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::double precision[])
AS these (server, model, id, outcome, used_at)
"""


@asynccontextmanager
async def servers_turn(connection: Connection, server: int) -> AsyncIterator[None]:
    """Open a transaction in which nobody else changes what several rows of a server say together."""
    async with transaction(connection):
        await connection.execute(SERVERS_TURN, server)
        yield


async def update(
    connection: Connection, after: Reload, version: int, was_owner: Any, owner: Any, *, news: bool
) -> int | None:
    """Write a row that has this version and owner; return its new version, or None if none has."""
    id_, _, _, state, is_open, is_joinable, may_fade, _, *rest = columns(after)
    what = (state, is_open, is_joinable, may_fade, *rest)
    now: int | None = await connection.fetchval(UPDATE, id_, version, was_owner, *what, owner, news)
    return now


async def find_row(connection: Connection, kind: Kind[T], server: int, name: str = "") -> T | None:
    """Return a key, settings, a watch or a value, or None."""
    value = await connection.fetchval(ROW, kind.word, server, name)
    return None if value is None else _read(kind, kind.address(server, name), value)


def columns(reload: Reload) -> tuple[Any, ...]:
    """Return the values of COLUMNS."""
    return (
        *(reload.id, reload.server, reload.model, reload.state, reload.is_open),
        reload.state in JOINABLE,
        reload.has_tokens and not reload.is_testing,
        *(reload.asked_at, reload.turn_at, reload.last_at, reload.outcome, reload.used_at),
        packed(reload),
    )


def packed(row: StoredRow) -> str:
    """Return a row as the database keeps it."""
    return orjson.dumps(row).decode()


def row_of(kind: Kind[T], record: asyncpg.Record) -> T:
    """Return a key, settings or a watch from the record of its server, name and value."""
    return _read(kind, kind.address(record["server"], record["name"]), record["value"])


def reload_of(record: asyncpg.Record) -> Reload:
    """Return a reload from the record of its ID and body."""
    return _read(RELOAD, RELOAD.address(record["id"]), record["body"])


def readable(records: Iterable[asyncpg.Record]) -> Iterator[tuple[asyncpg.Record, Reload]]:
    """Return those that this version can read: a newer one may have written the others, which stop nobody."""
    for record in records:
        try:
            yield record, reload_of(record)
        except StoreTrouble:
            log.error("store.row_unreadable", reload=record["id"])  # noqa: TRY400  # no news in a traceback


def _read(kind: Kind[T], address: str, value: str) -> T:
    """Return a row. Raises StoreTrouble: a newer version may have written it."""
    try:
        return unpack(kind, address, orjson.loads(value))
    except ValueError:
        raise StoreTrouble(f"{kind.word}: a record that this version cannot read") from None


def memory_of(reloads: Iterable[Reload]) -> Memory:
    """Return a part of the store in memory, for a pure verb."""
    memory = Memory()
    for reload in reloads:
        memory.remember(RELOAD.address(reload.id), reload)
    return memory


def is_done(row: Reload, to: State, facts: Facts) -> bool:
    """Return whether a step has been taken already."""
    return row.state is to and all(getattr(row, name) == value for name, value in facts.items())
