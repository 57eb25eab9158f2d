"""Memory that is free, given back to the system."""

import ctypes


def give_back() -> None:
    """Give back what the C library keeps for later: after much was made and dropped, tens of MB."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, others need none
    if trim is not None:
        trim(0)
