"""The link that invites the bot, with the rights that it needs and its commands."""

import discord

PERMISSIONS = discord.Permissions(
    view_channel=True, send_messages=True, send_messages_in_threads=True, read_message_history=True
)


def invitation(application: int, server: int | None = None) -> str:
    """A link that makes the application's bot a member of a server, chosen already where one is given."""
    guild = discord.Object(server) if server is not None else discord.utils.MISSING
    return discord.utils.oauth_url(application, permissions=PERMISSIONS, guild=guild)
