"""What sentences are made of.

`Command` turns a command's name into something tappable. Model ids and the API's own words stand in code
spans: there they cannot ping, format or link, and neither can hold a backtick.
"""

from collections.abc import Callable

Command = Callable[[str], str]
"""From a command's full name ("key set") to its mention."""


def span(seconds: float) -> str:
    """A length of time, in full seconds: "45 s", "1 min 45 s", "2 h 5 min"."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    parts = [(hours, "h"), (minutes, "min"), (rest if not hours else 0, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


def message_link(server: int, channel: int, message: int | None) -> str:
    """A link to a message, or to its channel where the message is not known."""
    place = f"https://discord.com/channels/{server}/{channel}"
    return place if message is None else f"{place}/{message}"
