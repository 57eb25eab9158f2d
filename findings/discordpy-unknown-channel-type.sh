#!/usr/bin/env bash
# Bet: an interaction names its channel by id, so `interaction.channel_id` is that id, whatever the channel is.
. "$(dirname "$0")/common.bash"
install discord.py==2.7.1
expect 'in a channel of a type that discord.py does not know, interaction.channel_id is None, though the event has the id twice' \
	'type 0: channel_id 777; type 42: channel_id None' << 'PYTHON'
import asyncio
import discord

PERSON = {"username": "ana", "discriminator": "0", "avatar": None, "global_name": None}


def event(channel_type):
    member = {"user": {"id": "3", **PERSON}, "roles": [], "joined_at": "2026-01-01T00:00:00+00:00", "deaf": False,
              "mute": False, "flags": 0, "permissions": "0"}
    return {"id": "1", "application_id": "2", "type": 2, "token": "made-up", "version": 1, "channel_id": "777",
            "channel": {"id": "777", "type": channel_type, "name": "somewhere", "permissions": "0", "position": 0},
            "guild_id": "5", "guild": {"id": "5", "locale": "en-US", "features": []}, "locale": "en-US",
            "data": {"id": "9", "name": "x", "type": 1}, "member": member, "entitlements": [], "context": 0,
            "authorizing_integration_owners": {}, "app_permissions": "0", "attachment_size_limit": 1}


async def main():
    state = discord.Client(intents=discord.Intents.none())._connection
    state.user = discord.ClientUser(state=state, data={"id": "2", **PERSON, "username": "bot", "bot": True})
    seen = [f"type {kind}: channel_id {discord.Interaction(data=event(kind), state=state).channel_id}" for kind in (0, 42)]
    print("; ".join(seen))


asyncio.run(main())
PYTHON
