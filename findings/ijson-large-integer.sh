#!/usr/bin/env bash
# Bet: a streaming parser that is asked for floats turns a large integer into one, or at worst leaves out that row.
. "$(dirname "$0")/common.bash"
install ijson==3.6.0
expect 'with use_float=True the C backend gives up the whole list for one integer of 2^63 or more; the Python backend reads it' \
	'yajl2_c: IncompleteJSONError after 1 of 3 rows; python: 3 of 3 rows' << 'PYTHON'
import io
import ijson

LIST = b'[{"id": 1}, {"id": 9223372036854775808}, {"id": 3}]'
seen = []
for name in ("yajl2_c", "python"):
    rows, why = [], ""
    try:
        for row in ijson.get_backend(name).items(io.BytesIO(LIST), "item", use_float=True):
            rows.append(row)
    except Exception as error:
        why = f"{type(error).__name__} after "
    seen.append(f"{name}: {why}{len(rows)} of 3 rows")
print("; ".join(seen))
PYTHON
