"""A reload while it runs: its story, its test image, its countdown."""
