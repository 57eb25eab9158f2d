#!/usr/bin/env bash
# Bet: a form that was shown is known to the library, whether or not Discord's answer to showing it arrived.
. "$(dirname "$0")/common.bash"
install discord.py==2.7.1
expect 'send_modal keeps the form only after the answer has arrived: where that is lost, somebody fills in a form on their screen, and nothing is called' \
	'the answer arrived: on_submit was called; the answer was lost: nothing was called' << 'PYTHON'
import asyncio
import socket
import struct
import aiohttp
import discord
from aiohttp import web
from discord.http import Route

PERSON = {"username": "ana", "discriminator": "0", "avatar": None, "global_name": None}
lost = False


async def answer(request):
    """Discord takes the answer and shows the form; what it says of that is lost."""
    await request.read()
    if lost:
        sock = request.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response(body=b'{"interaction": {"id": "1", "type": 2}}', headers={"Content-Type": "application/json"})


def event(kind, number, data):
    member = {"user": {"id": "3", **PERSON}, "roles": [], "joined_at": "2026-01-01T00:00:00+00:00", "deaf": False,
              "mute": False, "flags": 0, "permissions": "0"}
    return {"id": str(number), "application_id": "2", "type": kind, "token": "made-up", "version": 1, "channel_id": "777",
            "channel": {"id": "777", "type": 0, "name": "somewhere", "permissions": "0", "position": 0},
            "guild_id": "5", "guild": {"id": "5", "locale": "en-US", "features": []}, "locale": "en-US",
            "data": data, "member": member, "entitlements": [], "context": 0,
            "authorizing_integration_owners": {}, "app_permissions": "0", "attachment_size_limit": 1}


class Form(discord.ui.Modal, title="A form"):
    text = discord.ui.TextInput(label="Text", custom_id="text")
    called = False

    async def on_submit(self, interaction):
        self.called = True


async def main():
    global lost
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    Route.BASE = f"http://127.0.0.1:{runner.addresses[0][1]}"
    seen = []
    async with aiohttp.ClientSession() as session:
        state = discord.Client(intents=discord.Intents.none())._connection
        state.http._HTTPClient__session = session
        state.user = discord.ClientUser(state=state, data={"id": "2", **PERSON, "username": "bot", "bot": True})
        for number, lost in enumerate((False, True)):
            form = Form(custom_id=f"form-{number}")
            try:
                await discord.Interaction(data=event(2, 10 + number, {"id": "9", "name": "x", "type": 1}), state=state).response.send_modal(form)
            except OSError:
                pass
            filled = {"type": 1, "components": [{"type": 4, "custom_id": "text", "value": "hello"}]}
            state.parse_interaction_create(event(5, 20 + number, {"custom_id": f"form-{number}", "components": [filled]}))
            await asyncio.sleep(0.2)
            seen.append(f"the answer {'was lost' if lost else 'arrived'}: {'on_submit was called' if form.called else 'nothing was called'}")
    await runner.cleanup()
    print("; ".join(seen))


asyncio.run(main())
PYTHON
