"""The capacity of the benchmark's own Discord: it must not be the bottleneck."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from tests.benchmarks import places
from tests.benchmarks.control import child
from tests.benchmarks.plan import Plan
from tests.benchmarks.report import Figure, Table

CONNECTIONS = (1, 50)
_COMPONENTS = [{"type": 17, "components": [{"type": 10, "content": "**Reloading** " + "x" * 200}]}]


async def measure(plan: Plan, say: Callable[[str], None]) -> list[Table]:
    """Send it edits as fast as it answers them."""
    say("what the benchmark's Discord carries")
    figures = []
    with TemporaryDirectory() as folder:
        async with child(Path(folder), "tests.benchmarks.discord", "1") as discord:
            where = await discord.ask("where")
            port = int(where["MODEL_API_URL"].rpartition(":")[2])
            for connections in CONNECTIONS:
                before, until = await discord.ask("cpu"), time.monotonic() + plan.writes
                done = sum(await asyncio.gather(*(_edit(port, until) for _ in range(connections))))
                cpu = await discord.ask("cpu") - before
                figures.append(Figure(f"{done / plan.writes:,.0f} ({1e6 * cpu / done:.0f} µs)"))
    said = """
    Edits per second it answers, by number of connections that each wait for their answer; in brackets its
    CPU for one.
    """
    columns = ["connections", *map(str, CONNECTIONS)]
    return [Table("The benchmark's own stand-in for Discord", said, columns, [("edits a second", figures)])]


async def _edit(port: int, until: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    id_ = places.interaction(0)
    path = f"/api/v10/webhooks/1/{places.token(id_, 1)}/messages/{places.message(id_)}"
    body = orjson.dumps({"components": _COMPONENTS, "flags": 1 << 15})
    raw = f"PATCH {path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    done = 0
    while time.monotonic() < until:
        writer.write(raw)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.rpartition(b": ")[2]))
        done += 1
    writer.close()
    return done
