"""The pure modules, laid out as in bot/; takes seconds."""
