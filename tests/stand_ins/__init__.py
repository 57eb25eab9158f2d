"""Stand-ins for what is outside our walls: Discord and the model API."""
