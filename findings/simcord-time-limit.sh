#!/usr/bin/env bash
# Bet: simcord's time is virtual for the bot's sleeps; a time limit of a real call runs out in real time, or in virtual.
. "$(dirname "$0")/common.bash"
install simcord==3.2.1 discord.py==2.7.1 aiohttp==3.14.5
expect 'in simcord a time limit of aiohttp never runs out: the call waits for its answer, however long that takes' \
	'limit 0.5 s, answer after 2 s: 200' << 'PYTHON'
import asyncio
import aiohttp
import discord
import simcord
from aiohttp import web
from discord import app_commands


async def answer(request):
    await asyncio.sleep(2)
    return web.Response()


class Bot(discord.Client):
    def __init__(self):
        super().__init__(intents=discord.Intents.none())
        self.tree = app_commands.CommandTree(self)
        self.seen = None

    async def setup_hook(self):
        self.tree.command(name="call", description="Call")(self.call)
        await self.tree.sync()

    async def call(self, interaction: discord.Interaction):
        await interaction.response.defer()
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(0.5)) as session:
                async with session.get(self.url) as response:
                    self.seen = response.status
        except TimeoutError:
            self.seen = "TimeoutError"
        await interaction.edit_original_response(content="done")


async def main():
    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    bot = Bot()
    bot.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    env = simcord.Env(bot)
    await env.start()
    guild = env.create_guild()
    channel = guild.create_text_channel("general")
    ana = guild.add_member(env.create_user("ana"))
    await ana.slash(channel, "call")
    print(f"limit 0.5 s, answer after 2 s: {bot.seen}")
    await bot.close()
    await env.shutdown()
    await runner.cleanup()


asyncio.run(main())
PYTHON
