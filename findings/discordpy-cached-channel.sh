#!/usr/bin/env bash
# Bet: an interaction carries its whole channel, so `interaction.channel` is what this event says.
. "$(dirname "$0")/common.bash"
install discord.py==2.7.1
expect 'interaction.channel is the channel of the cache, also where the event itself has a newer name, flags and all' \
	'the event says: general; interaction.channel says: ___hidden___' << 'PYTHON'
import asyncio
import discord

PERSON = {"username": "ana", "discriminator": "0", "avatar": None, "global_name": None}


def channel(name):
    return {"id": "777", "type": 0, "name": name, "position": 0, "permission_overwrites": [], "permissions": "0"}


async def main():
    state = discord.Client(intents=discord.Intents.none())._connection
    state.user = discord.ClientUser(state=state, data={"id": "2", **PERSON, "username": "bot", "bot": True})
    guild = {"id": "5", "name": "A server", "roles": [{"id": "5", "name": "@everyone", "permissions": "0"}], "channels": [channel("___hidden___")], "members": [], "emojis": [], "features": []}
    state._add_guild(discord.Guild(data=guild, state=state))
    member = {"user": {"id": "3", **PERSON}, "roles": [], "joined_at": "2026-01-01T00:00:00+00:00", "deaf": False, "mute": False, "flags": 0, "permissions": "0"}
    event = {"id": "1", "application_id": "2", "type": 2, "token": "made-up", "version": 1, "channel_id": "777",
             "channel": channel("general"), "guild_id": "5", "locale": "en-US", "data": {"id": "9", "name": "x", "type": 1},
             "member": member, "entitlements": [], "context": 0, "authorizing_integration_owners": {}, "app_permissions": "0", "attachment_size_limit": 1}
    interaction = discord.Interaction(data=event, state=state)
    print(f"the event says: {event['channel']['name']}; interaction.channel says: {interaction.channel.name}")


asyncio.run(main())
PYTHON
