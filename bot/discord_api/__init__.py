"""How we speak to Discord: responses, edits, pings, limits, the connection."""
