"""A picture that was made as a test image."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's bytes, and the name of its attachment."""

    data: bytes
    name: str
