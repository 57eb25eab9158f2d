"""Gives free memory back to the system."""

import ctypes

_ARENA_MAX = -8
"""M_ARENA_MAX of glibc's malloc.h."""


def share_one_arena() -> None:
    """Have all threads allocate from one arena: glibc 2.36 gives back the end of no other.

    To be called before there are threads. They seldom allocate at the same time: Python holds its own lock.
    """
    option = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, musl does not
    if option is not None:
        option(_ARENA_MAX, 1)


def give_back() -> None:
    """Give back what the C library keeps for later: tens of MB after many objects were made and dropped."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it; others don't need it
    if trim is not None:
        trim(0)
