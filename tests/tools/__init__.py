"""Tools for `make`, not tests."""
