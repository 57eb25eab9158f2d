"""No tests: what `make` calls."""
