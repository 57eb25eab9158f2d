"""Stand-ins for the outside world: Discord and the model API."""
