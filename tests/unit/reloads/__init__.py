"""bot/reloads."""
