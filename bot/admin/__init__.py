"""What the command line does besides running the bot: init, check, backup, forget, servers."""
