#!/usr/bin/env bash
# Bet: a loop of virtual time waits for sockets that are open, and jumps only where nothing can come.
. "$(dirname "$0")/common.bash"
install looptime==0.9 aiohttp==3.14.5
expect 'looptime jumps to the time limit of a call while the answer is on its way from another process; a server in the same loop is waited for' \
	'an answer after 0.3 s, limit 30 s; from the same loop: 200; from another process: TimeoutError' << 'PYTHON'
import asyncio
import subprocess
import sys
import aiohttp
import looptime
from aiohttp import web

SERVER = """
import http.server, time
class Slow(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.3)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Slow)
print(server.server_port, flush=True)
server.serve_forever()
"""


async def answer(request):
    await asyncio.sleep(0.3)
    return web.Response()


async def ask(port):
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session:
            async with session.get(f"http://127.0.0.1:{port}/") as response:
                return response.status
    except TimeoutError:
        return "TimeoutError"


async def main(port):
    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    same, other = await ask(runner.addresses[0][1]), await ask(port)
    await runner.cleanup()
    print(f"an answer after 0.3 s, limit 30 s; from the same loop: {same}; from another process: {other}")


server = subprocess.Popen((sys.executable, "-c", SERVER), stdout=subprocess.PIPE)
try:
    looptime.patch_event_loop(asyncio.new_event_loop()).run_until_complete(main(int(server.stdout.readline())))
finally:
    server.kill()
PYTHON
