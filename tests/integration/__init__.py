"""One module with everything it builds on: sockets, stores, files."""
