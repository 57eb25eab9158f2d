"""Storage for reloads, keys and small named values."""
