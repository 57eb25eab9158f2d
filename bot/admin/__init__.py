"""The command line's other commands: init, check, backup, forget, servers."""
