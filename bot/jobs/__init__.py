"""What the bot does by itself, every hour or every day."""
