"""Bots to compare ours with: what they do for people is the same, but for what theirs leaves out."""
