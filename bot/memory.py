"""Gives free memory back to the system."""

import ctypes


def give_back() -> None:
    """Give back what the C library keeps for later: tens of MB after many objects were made and dropped."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it; others don't need it
    if trim is not None:
        trim(0)
