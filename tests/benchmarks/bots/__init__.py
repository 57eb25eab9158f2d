"""Bots to compare with ours: they do the same for people, except for the features they lack."""
