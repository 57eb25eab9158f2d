"""Finds ended reloads in the embedded store's file: tables and triggers next to its rows, and queries.

`reloads` and `models` repeat what the rows say, so they can be made again. Triggers keep them up to date in
the same statement as the row: what is written is found, whoever writes it.
"""

FIRST, LAST = "reload:", "reload;"
"""The range that contains all addresses of reloads."""

_IS_RELOAD = "{row}.key >= 'reload:' AND {row}.key < 'reload;'"
_ID = "CAST(substr({key}, 8) AS INTEGER)"
_FIELDS = {
    **{
        name: name
        for name in ("server", "model", "asked_at", "outcome", "confirmed_at", "deadline", "ended_at")
    },
    "state": "state",
    "token": "askers[0].token",
    "test": "test.at",
    "test_token": "test.by.token",
    "test_outcome": "test.outcome",
    "test_shown": "test.shown",
}
_READ = ", ".join(f"json_extract(v, '$.{path}') AS {name}" for name, path in _FIELDS.items())
_ENTRY = f"""
SELECT id, server, model, asked_at, outcome,
    CASE WHEN state IN ('announcing', 'ended') AND outcome = 'accepted'
        THEN coalesce(confirmed_at, iif(test_outcome = 'rendered', test, NULL), deadline) END,
    CASE WHEN state IN ('announcing', 'ended') THEN max(ended_at, coalesce(test, ended_at)) END,
    state IS NOT 'ended' OR (test IS NOT NULL AND test_shown IS NOT 1),
    (token <> '' OR coalesce(test_token, '') <> '') AND (test IS NULL OR test_outcome IS NOT NULL)
FROM (SELECT id, {_READ} FROM (SELECT {{id}} AS id,
    iif(json_valid(CAST({{value}} AS TEXT)), CAST({{value}} AS TEXT), '{{{{}}}}') AS v {{source}}))
"""
"""A reload's entry, from its properties. An unreadable one counts as open, so that a start looks at it."""

TABLES = (
    """
    CREATE TABLE reloads (
        id INTEGER PRIMARY KEY, server INTEGER, model TEXT, asked_at REAL, outcome TEXT, used_at REAL,
        last_at REAL, is_open INTEGER, may_fade INTEGER)
    """,
    "CREATE INDEX reloads_of_server ON reloads (server, asked_at, model, outcome)",
    "CREATE INDEX reloads_of_model ON reloads (server, model, asked_at)",
    "CREATE INDEX reloads_ended ON reloads (last_at) WHERE last_at IS NOT NULL",
    "CREATE INDEX reloads_open ON reloads (id) WHERE is_open",
    "CREATE INDEX reloads_fading ON reloads (last_at) WHERE may_fade",
    """
    CREATE TABLE models (
        server INTEGER, model TEXT, newest INTEGER, used_by INTEGER, used_at REAL,
        PRIMARY KEY (server, model)) WITHOUT ROWID
    """,
    "CREATE INDEX models_by_use ON models (server, used_at, newest)",
)
"""The tables. `models` contains only reloads whose outcome is known and is not that the API doesn't know the
model."""
TRIGGERS = (
    f"""
    CREATE TRIGGER row_entered AFTER INSERT ON kv
    WHEN NEW.value IS NOT NULL AND {_IS_RELOAD.format(row="NEW")}
    BEGIN
        REPLACE INTO reloads {_ENTRY.format(id=_ID.format(key="NEW.key"), value="NEW.value", source="")};
    END
    """,
    f"""
    CREATE TRIGGER row_changed AFTER UPDATE ON kv
    WHEN NEW.value IS NOT NULL AND {_IS_RELOAD.format(row="NEW")}
    BEGIN
        REPLACE INTO reloads {_ENTRY.format(id=_ID.format(key="NEW.key"), value="NEW.value", source="")};
    END
    """,
    """
    CREATE TRIGGER row_gone AFTER INSERT ON kv WHEN NEW.value IS NULL
    BEGIN
        DELETE FROM kv WHERE key = NEW.key;
    END
    """,
    f"""
    CREATE TRIGGER row_deleted AFTER DELETE ON kv WHEN {_IS_RELOAD.format(row="OLD")}
    BEGIN
        DELETE FROM reloads WHERE id = {_ID.format(key="OLD.key")};
    END
    """,
    # No ON CONFLICT here: the clause of the statement that fires a trigger (REPLACE) overrules the trigger's.
    """
    CREATE TRIGGER model_seen AFTER INSERT ON reloads
    WHEN NEW.last_at IS NOT NULL AND NEW.outcome <> 'unknown_model'
    BEGIN
        INSERT INTO models SELECT NEW.server, NEW.model, 0, 0, 0
        WHERE NOT EXISTS (SELECT 1 FROM models WHERE server = NEW.server AND model = NEW.model);
        UPDATE models SET newest = max(newest, NEW.id),
            used_by = iif(NEW.used_at > used_at, NEW.id, used_by),
            used_at = max(used_at, coalesce(NEW.used_at, 0))
        WHERE server = NEW.server AND model = NEW.model AND (newest < NEW.id OR used_at < NEW.used_at);
    END
    """,
    """
    CREATE TRIGGER model_gone AFTER DELETE ON reloads
    BEGIN
        UPDATE models SET newest = coalesce((
            SELECT id FROM reloads WHERE server = OLD.server AND model = OLD.model
            AND last_at IS NOT NULL AND outcome <> 'unknown_model' ORDER BY asked_at DESC LIMIT 1), 0)
        WHERE server = OLD.server AND model = OLD.model AND newest = OLD.id;
        DELETE FROM models WHERE server = OLD.server AND model = OLD.model AND newest = 0;
    END
    """,
)
SCHEMA = (*TABLES, *TRIGGERS)

PERHAPS_OPEN = """
SELECT key FROM kv WHERE value IS NOT NULL AND substr(key, 1, 7) = 'reload:'
AND (instr(value, CAST('"state":"ended"' AS BLOB)) = 0 OR instr(value, CAST('"shown":false' AS BLOB)) > 0)
"""
"""For a file that has no index yet: search its text, since reading a million rows as JSON takes much longer.
"""
_OF_KV = {"id": _ID.format(key="key"), "value": "value"}
# Each query has one bound above and one below: SQLite uses no more of an index, and would walk through the
# rest.
ENTER_THESE = "REPLACE INTO reloads " + _ENTRY.format(
    source="FROM kv WHERE key IN (SELECT value FROM json_each(?))", **_OF_KV
)
ENTER_RANGE = "REPLACE INTO reloads " + _ENTRY.format(
    source="FROM kv WHERE key BETWEEN ? AND ? AND value IS NOT NULL", **_OF_KV
)
PAGE = "SELECT key, value FROM kv WHERE key >= 'reload:' AND key < ? ORDER BY key DESC LIMIT ?"
"""From the newest down: IDs grow with time, and will have the same length for years."""
OPEN = "SELECT key, value FROM kv WHERE key IN (SELECT 'reload:' || id FROM reloads WHERE is_open)"

# Each of the following returns one row with one value: an error between two rows ends sqlitedict's thread. It
# is JSON, or a line of JSON for each reload, so that a damaged one spoils no other.
_VALUE = "(SELECT value FROM kv WHERE key = 'reload:' || {id})"
_ROWS = "SELECT CAST(coalesce(group_concat(CAST(value AS TEXT), char(10)), '') AS BLOB) FROM ({rows})"
_IDS = "SELECT CAST(json_group_array(id) AS BLOB) FROM ({ids})"

THESE = _ROWS.format(rows="SELECT value FROM kv WHERE key IN (SELECT value FROM json_each(?))")
HISTORY = _ROWS.format(
    rows=f"SELECT {_VALUE.format(id='id')} AS value FROM reloads "
    "WHERE server = ? AND id > ? ORDER BY asked_at DESC LIMIT ?"
)
HISTORY_OF_MODEL = _ROWS.format(
    rows=f"SELECT {_VALUE.format(id='id')} AS value FROM reloads "
    "WHERE server = ? AND id > ? AND model = ? ORDER BY asked_at DESC LIMIT ?"
)
ABOUT = _ROWS.format(
    rows=f"""
    SELECT {_VALUE.format(id="id")} AS value FROM (
        SELECT * FROM (SELECT id FROM reloads WHERE server = ?1 AND id > ?2 AND model = ?3
            ORDER BY asked_at DESC LIMIT ?4)
        UNION SELECT newest FROM models WHERE server = ?1 AND model = ?3 AND newest > ?2
        UNION SELECT used_by FROM models WHERE server = ?1 AND model = ?3 AND used_by > ?2)
    """
)
RECENT = """
SELECT CAST(json_group_array(json_array(model, asked_at)) AS BLOB) FROM (
    SELECT model, asked_at, outcome FROM reloads WHERE server = ? AND id > ? ORDER BY asked_at DESC LIMIT ?)
WHERE outcome IS NOT 'unknown_model'
"""
_OTHERS = """
models WHERE server = ?1 AND newest > ?2 AND model NOT IN (SELECT value FROM json_each(?3))
AND (SELECT 1 FROM reloads r INDEXED BY reloads_of_model WHERE r.server = ?1 AND r.model = models.model
    AND r.asked_at > coalesce((SELECT asked_at FROM reloads WHERE id = used_by), -1)
    AND r.outcome = 'unknown_model' LIMIT 1) IS NULL
"""
"""Those that the API has not refused to know since they were last used."""
MODELS = f"""
WITH page AS (SELECT newest, used_by FROM {_OTHERS} ORDER BY used_at DESC, newest DESC LIMIT ?4 OFFSET ?5)
SELECT CAST((SELECT count(*) FROM {_OTHERS}) || coalesce((
    SELECT group_concat(char(10) || CAST({_VALUE.format(id="id")} AS TEXT), '')
    FROM (SELECT newest AS id FROM page UNION SELECT used_by FROM page WHERE used_by > ?2)), '') AS BLOB)
"""
"""The number of models, and a page of them: of each the newest row, and the one that last used it."""
SERVERS = """
WITH RECURSIVE known (server) AS (
    VALUES (?1)
    UNION ALL SELECT (SELECT min(server) FROM reloads WHERE server > known.server)
    FROM known WHERE server IS NOT NULL LIMIT ?2 + 1)
SELECT CAST(json_group_array(server) AS BLOB) FROM known WHERE server > ?1
"""
"""Servers, found one after the other by the index: a server may have a long history."""
DUE = _IDS.format(ids="SELECT id FROM reloads WHERE last_at < ? ORDER BY last_at LIMIT ?")
FADING = _ROWS.format(
    rows=f"SELECT {_VALUE.format(id='id')} AS value FROM reloads "
    "WHERE may_fade AND last_at >= ? AND last_at < ? ORDER BY last_at LIMIT ?"
)
NEWEST = _IDS.format(ids="SELECT id FROM reloads WHERE server = ? AND id <= ? ORDER BY asked_at DESC LIMIT ?")
HIGHEST = "SELECT CAST(json_array(coalesce(max(id), 0)) AS BLOB) FROM reloads"
CROWDED = """
WITH RECURSIVE known (server) AS (
    VALUES (?1)
    UNION ALL SELECT (SELECT min(server) FROM reloads WHERE server > known.server)
    FROM known WHERE server IS NOT NULL LIMIT ?2 + 1)
SELECT CAST(json_array(
    (SELECT max(server) FROM known WHERE server > ?1),
    (SELECT json_group_array(server) FROM known WHERE server > ?1
        AND EXISTS (SELECT 1 FROM reloads r WHERE r.server = known.server LIMIT 1 OFFSET ?3))) AS BLOB)
"""
"""The last of some servers, and those with more than a number of reloads."""
SURPLUS = _IDS.format(
    ids="""
    SELECT id FROM reloads r WHERE server = ?1 AND NOT is_open AND asked_at < min(?3, (
        SELECT asked_at FROM reloads WHERE server = ?1 ORDER BY asked_at DESC LIMIT 1 OFFSET ?2 - 1))
    AND NOT EXISTS (SELECT 1 FROM models m WHERE m.server = r.server AND m.model = r.model
        AND m.used_by = r.id AND m.used_at > ?4)
    ORDER BY asked_at LIMIT ?5
    """
)
"""The oldest reloads, except those that last used a model after a time."""
