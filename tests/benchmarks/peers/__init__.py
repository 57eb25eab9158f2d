"""Bots on other libraries at the same work as ours: each folder is one, and imports nothing of this project.

`bots` has how each is installed, started, kept running and killed; `discord` their Discord; `job` what people
ask of them, what goes wrong meanwhile, and what came of it; `table` writes it down.
"""
