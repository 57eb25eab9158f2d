#!/usr/bin/env bash
# Bet: once `commit()` returns, the data is on the disk, as with SQLite's own defaults.
. "$(dirname "$0")/common.bash"
install pip==25.3 setuptools==80.9.0 sqlitedict==2.1.0
expect 'sqlitedict turns SQLite'"'"'s syncs off as it opens a file, in each journal mode: commit(blocking=True) returns before anything is on the disk' \
	'sqlite3: synchronous 2; sqlitedict, DELETE: synchronous 0; sqlitedict, WAL: synchronous 0' << 'PYTHON'
import sqlite3
from contextlib import closing
from sqlitedict import SqliteDict

with closing(sqlite3.connect("plain.db")) as database:
    seen = [f"sqlite3: synchronous {database.execute('PRAGMA synchronous').fetchone()[0]}"]
for mode in ("DELETE", "WAL"):
    store = SqliteDict(f"{mode}.db", autocommit=True, journal_mode=mode)
    seen.append(f"sqlitedict, {mode}: synchronous {store.conn.select_one('PRAGMA synchronous')[0]}")
    store.close()
print("; ".join(seen))
PYTHON
