"""The link that invites the bot, with the rights that it needs and its commands."""

import discord

RIGHTS = {
    "view_channel": "View Channel",
    "send_messages": "Send Messages",
    "send_messages_in_threads": "Send Messages in Threads",
    "read_message_history": "Read Message History",
}
"""What the bot needs: discord.py's names, and Discord's own."""
PERMISSIONS = discord.Permissions(**dict.fromkeys(RIGHTS, True))


def invitation(application: int, server: int | None = None) -> str:
    """A link that makes the application's bot a member of a server, chosen already where one is given."""
    guild = discord.Object(server) if server is not None else discord.utils.MISSING
    return discord.utils.oauth_url(application, permissions=PERMISSIONS, guild=guild)
