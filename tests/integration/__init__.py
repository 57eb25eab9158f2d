"""One room with what it stands on: sockets, stores, files."""
