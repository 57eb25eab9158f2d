#!/usr/bin/env bash
# Bet: a call whose bucket is used up returns immediately, and the next call waits.
. "$(dirname "$0")/common.bash"
install discord.py==2.7.1
expect 'a webhook call that was answered with X-RateLimit-Remaining: 0 returns only after X-RateLimit-Reset-After: the finished call waits, not the next one' \
	'with 1 left: returned at once; with 0 left, 1.5 s: returned after 1.5 s' << 'PYTHON'
import asyncio
import time
import aiohttp
import discord
from aiohttp import web
from discord.http import Route

left = "1"


async def answer(request):
    await request.read()
    headers = {"X-RateLimit-Bucket": "b", "X-RateLimit-Limit": "5", "X-RateLimit-Remaining": left, "X-RateLimit-Reset-After": "1.5"}
    return web.Response(status=204, headers=headers)


async def main():
    global left
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    Route.BASE = f"http://127.0.0.1:{runner.addresses[0][1]}"
    seen = []
    async with aiohttp.ClientSession() as session:
        for left in ("1", "0"):
            webhook = discord.Webhook.partial(12345, "made-up", session=session)
            began = time.monotonic()
            await webhook.send("hello")
            took = time.monotonic() - began
            seen.append("at once" if took < 0.5 else "after 1.5 s" if 1.4 < took < 2.5 else f"after {took:.1f} s")
    await runner.cleanup()
    print(f"with 1 left: returned {seen[0]}; with 0 left, 1.5 s: returned {seen[1]}")


asyncio.run(main())
PYTHON
