"""Reloads while they run: story, test image and countdown."""
