#!/usr/bin/env bash
# Bet: without a retry of the caller's, a request is sent once, and an answer that was lost is an error.
. "$(dirname "$0")/common.bash"
install aiohttp==3.14.5
expect 'where the answer is lost on a connection that was used before, GET, PUT and DELETE are sent once more by aiohttp itself; POST and PATCH raise' \
	'GET sent 2, returned; PUT sent 2, returned; DELETE sent 2, returned; POST sent 1, raised; PATCH sent 1, raised' << 'PYTHON'
import asyncio
import aiohttp
from aiohttp import web

sent = 0


async def answer(request):
    global sent
    await request.read()
    if request.path == "/lost":
        sent += 1
        if sent == 1:
            request.transport.close()
    return web.Response(text="done")


async def main():
    global sent
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    seen = []
    for method in ("GET", "PUT", "DELETE", "POST", "PATCH"):
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
            async with session.get("/") as response:
                await response.read()
            sent = 0
            try:
                async with session.request(method, "/lost") as response:
                    await response.read()
                result = "returned"
            except aiohttp.ClientError:
                result = "raised"
            seen.append(f"{method} sent {sent}, {result}")
    await runner.cleanup()
    print("; ".join(seen))


asyncio.run(main())
PYTHON
