"""A picture that was made as a test image."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's bytes, and the name under which it is attached."""

    data: bytes
    name: str
