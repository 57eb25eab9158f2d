"""Slash commands, buttons and Discord's events: each cog turns what people do into calls downwards."""
