"""The bot's own jobs, every hour or every day."""
