"""Stores with a long history: a million ended reloads in under a minute, as a file or in PostgreSQL."""

import itertools
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import asyncpg
import orjson

from bot.domain.reload import Asker, Outcome, Reload, State
from bot.domain.rows import KeyRow
from bot.store import file, index
from bot.store import statements as sql
from bot.store.rows import KEY, RELOAD, pack
from tests.benchmarks import places

DAYS = 90.0
MODELS = 50
"""Models per server."""
BATCH = 50_000
_ACCEPTED = str(Outcome.ACCEPTED)
_MODELS_OF_ALL = """
INSERT INTO models SELECT server, model, max(id), max(id), max(used_at) FROM reloads GROUP BY server, model
"""
_PEOPLE = 40
_DAY = 86400.0
WAIT = 120.3
_ID, _SERVER, _USER = (7_000_000_000_000_000_000 + n for n in range(3))
_ASKED, _CALLED, _DEADLINE, _ENDED = (7_000_000_001.5 + n for n in range(4))
_MODEL = "model-of-the-template"
_CHANNEL, _MESSAGE, _TOKEN = 10**18, 10**18, "x" * 200


class Line(NamedTuple):
    """The differences between ended reloads."""

    id: int
    server: int
    model: str
    at: float
    fresh: bool
    """Whether it still has what is removed after a day."""


def lines(servers: Mapping[int, int], now: float, models: int = MODELS) -> Iterator[Line]:
    """Yield reloads for each server, in order of time, evenly over the 90 days before `now`."""
    total = sum(servers.values())
    each = [itertools.repeat(server, count) for server, count in servers.items()]
    in_turn = itertools.chain.from_iterable(
        (server for server in some if server is not None) for some in itertools.zip_longest(*each)
    )
    for number, server in enumerate(in_turn):
        at = now - 300.0 - DAYS * _DAY * (total - number) / total
        model = f"model-{number * 7919 % models}"
        yield Line(places.interaction(number, at), server, model, at, now - at < _DAY)


def _template(*, fresh: bool) -> bytes:
    """A row with placeholders: to pack a million dataclasses would take a minute alone."""
    asker = Asker(_USER, _CHANNEL, _TOKEN) if fresh else Asker(_USER, 0, "")
    reload = Reload(
        id=_ID,
        server=_SERVER,
        model=_MODEL,
        askers=(asker,),
        asked_at=_ASKED,
        seconds=120.0,
        state=State.ENDED,
        message=_MESSAGE if fresh else None,
        called_at=_CALLED,
        deadline=_DEADLINE,
        outcome=Outcome.ACCEPTED,
        ended_at=_ENDED,
        locale="en-US",
    )
    packed = (pack(reload) or b"").replace(b"%", b"%%")
    for placeholder in _ORDER:
        assert packed.count(placeholder) == 1
        packed = packed.replace(placeholder, b"%b")
    return packed


_ORDER = tuple(
    str(placeholder).encode()
    for placeholder in (_ID, _SERVER, _MODEL, _USER, _ASKED, _CALLED, _DEADLINE, _ENDED)
)
_FRESH, _FADED = _template(fresh=True), _template(fresh=False)


def body(line: Line) -> bytes:
    """The row of a line as it is stored."""
    id_, server, user = b"%d" % line.id, b"%d" % line.server, b"%d" % places.member(line.id % _PEOPLE)
    asked, ended = b"%.3f" % line.at, b"%.3f" % (line.at + WAIT)
    template = _FRESH if line.fresh else _FADED
    return template % (id_, server, line.model.encode(), user, asked, asked, ended, ended)


def fill_file(folder: Path, servers: Mapping[int, int], now: float, *, upgraded: bool = True) -> None:
    """Make a store's file in a folder, with a key for each server; or as format 1 had it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / file.NAME)) as db:
        for pragma in ("synchronous=OFF", "journal_mode=OFF", "cache_size=-100000"):
            db.execute(f"PRAGMA {pragma}")
        db.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB)")
        db.executemany("INSERT INTO kv VALUES (?, ?)", _rows(servers, now))
        if upgraded:
            tables = [statement for statement in index.TABLES if "CREATE TABLE" in statement]
            for statement in tables:
                db.execute(statement)
            entries = (
                (*line[:4], _ACCEPTED, line.at + WAIT, line.at + WAIT, 0, line.fresh)
                for line in lines(servers, now)
            )
            db.executemany("INSERT INTO reloads VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", entries)
            db.execute(_MODELS_OF_ALL)
            for statement in index.SCHEMA:
                if statement not in tables:  # to sort once costs a fraction of entering one by one
                    db.execute(statement)
        number = file.FORMAT if upgraded else 1
        db.execute("INSERT INTO kv VALUES (?, ?)", (file.FORMAT_ADDRESS, orjson.dumps(number)))
        db.commit()


def _rows(servers: Mapping[int, int], now: float) -> Iterator[tuple[str, bytes | None]]:
    for server in servers:
        yield KEY.address(server), pack(KeyRow("sealed", 1, "mod", 0.0))
    for line in lines(servers, now):
        yield RELOAD.address(line.id), body(line)


async def fill_database(url: str, servers: Mapping[int, int], now: float) -> None:
    """The same in a database whose tables are up to date."""
    columns = [name.strip() for name in sql.COLUMNS.split(",")]
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("ALTER TABLE reloads DISABLE TRIGGER USER")
        made = lines(servers, now)
        while batch := [_record(line) for line in itertools.islice(made, BATCH)]:
            await connection.copy_records_to_table("reloads", records=batch, columns=columns)
        await connection.execute(_MODELS_OF_ALL)
        await connection.execute("ALTER TABLE reloads ENABLE TRIGGER USER")
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


def _record(line: Line) -> tuple[object, ...]:
    last = line.at + WAIT
    flags = (False, False, line.fresh)
    is_of = (line.id, line.server, line.model, State.ENDED, *flags, line.at)
    return (*is_of, last, last, Outcome.ACCEPTED, last, body(line).decode())
