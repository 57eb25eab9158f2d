"""Where reloads, keys and small named values are kept."""
