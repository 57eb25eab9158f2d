#!/usr/bin/env bash
# Bet: an assignment that the database refuses raises there, with autocommit or without.
. "$(dirname "$0")/common.bash"
install pip==25.3 setuptools==80.9.0 sqlitedict==2.1.0
expect 'without autocommit, an assignment that the database refuses returns, as do later ones; the error is raised by close(), far from its cause' \
	'autocommit: refused row raised, next row returned, close returned; without: refused row returned, next row returned, close raised' << 'PYTHON'
import logging
import sqlite3
from contextlib import closing
from sqlitedict import SqliteDict

logging.disable(logging.CRITICAL)


def outcome(work):
    try:
        work()
    except sqlite3.IntegrityError:
        return "raised"
    return "returned"


seen = []
for autocommit in (True, False):
    name = f"{autocommit}.db"
    with closing(sqlite3.connect(name)) as database:
        database.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB CHECK (key <> 'refused'))")
    store = SqliteDict(name, tablename="kv", autocommit=autocommit, outer_stack=False)
    parts = [f"{row} row {outcome(lambda row=row: store.__setitem__(row, 1))}" for row in ("refused", "next")]
    seen.append(", ".join([*parts, f"close {outcome(store.close)}"]))
print(f"autocommit: {seen[0]}; without: {seen[1]}")
PYTHON
