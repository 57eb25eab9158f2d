"""The pure rooms, as in bot/: seconds."""
