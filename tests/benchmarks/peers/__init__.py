"""Bots on other libraries that do the same work as ours: one per folder, importing nothing of this project.

`bots` installs, starts, restarts and kills them; `discord` is their Discord; `job` makes the requests and the
faults and records the results; `table` writes them down.
"""
