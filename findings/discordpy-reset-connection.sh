#!/usr/bin/env bash
# Bet: a library that tries five times after a 502 does the same after a connection that was reset.
. "$(dirname "$0")/common.bash"
install discord.py==2.7.1
expect 'a call whose connection is reset is not tried again on Linux: only the errno of macOS (54) and of Windows (10054) counts, and here it is 104' \
	'answered with 502: sent 2 times, returned; reset: sent 1 time, raised ClientOSError 104' << 'PYTHON'
import asyncio
import socket
import struct
import aiohttp
import discord
from aiohttp import web
from discord.http import Route

trouble, sent = "", 0


async def answer(request):
    global sent
    await request.read()
    sent += 1
    if sent > 1:
        return web.Response(status=204)
    if trouble == "reset":
        sock = request.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response(status=502)


async def main():
    global trouble, sent
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    Route.BASE = f"http://127.0.0.1:{runner.addresses[0][1]}"
    seen = []
    async with aiohttp.ClientSession() as session:
        for trouble in ("502", "reset"):
            sent = 0
            webhook = discord.Webhook.partial(12345, "made-up", session=session)
            try:
                await webhook.send("hello")
                result = "returned"
            except OSError as error:
                result = f"raised {type(error).__name__} {error.errno}"
            seen.append(f"sent {sent} time{'s' * (sent > 1)}, {result}")
    await runner.cleanup()
    print(f"answered with 502: {seen[0]}; reset: {seen[1]}")


asyncio.run(main())
PYTHON
