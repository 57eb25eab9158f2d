"""bot/discord_api."""
