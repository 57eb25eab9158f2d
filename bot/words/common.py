"""The parts of sentences.

Model IDs and the API's own words are put in code spans: there they can't ping, format or link, and neither
can contain a backtick.
"""

import re
import unicodedata
from collections.abc import Iterable

from bot.words.language import Language

_NO_BREAK = "\N{NO-BREAK SPACE}"
_PUSHED_ID_CHARACTERS = 30
"""Characters of a model ID that leave room for the news: a phone shows about 60 characters of a push."""
_MARKUP = re.compile(r"[\\`*_~|<>\[\]()#-]")
_JOINING = re.compile(r"[@/\\]")
"""Characters that make a mention or a link of what follows them."""
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""Control characters, and those that reverse the direction of text."""


def span(seconds: float, say: Language) -> str:
    """A length of time, in full seconds: "45 s", "1 min 45 s", "2 h 5 min"; no line breaks before a unit."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    parts = [
        say("{number} h", number=hours) if hours else "",
        say("{number} min", number=minutes) if minutes else "",
        say("{number} s", number=rest) if (rest and not hours) or not whole else "",
    ]
    return " ".join(part.replace(" ", _NO_BREAK) for part in parts if part)


def plain_name(name: str) -> str:
    """A display name as text that can't format, ping, link, or reverse the text around it.

    Discord shows an invitation for `discord.gg/code`, with either slash and without "https://"
    (Red-DiscordBot, #6586). A sentence that begins with a Hebrew or Arabic name would run from the right.
    """
    bare = " ".join(_UNSEEN.sub("", name).split())
    shown = _MARKUP.sub(r"\\\g<0>", _JOINING.sub("\\g<0>\u200b", bare))
    runs_left = any(unicodedata.bidirectional(character) in ("R", "AL") for character in bare)
    return f"\u2068{shown}\u2069" if runs_left else shown


def message_link(server: int, channel: int, message: int | None) -> str:
    """A link to a message, or to the closest known place: its channel, its server."""
    place = f"https://discord.com/channels/{server}"
    if not channel:
        return place
    return f"{place}/{channel}" if message is None else f"{place}/{channel}/{message}"


def pushed_id(model: str) -> str:
    """A model ID as the first word of a push; a long one is cut in the middle."""
    if len(model) > _PUSHED_ID_CHARACTERS:
        half = _PUSHED_ID_CHARACTERS // 2
        model = f"{model[: half - 1]}…{model[-half:]}"
    return f"`{model}`"


def mentions(users: Iterable[int]) -> str:
    """Mentions to put after the news: a push shows little more than the first line."""
    return "".join(f" <@{user}>" for user in users)


def may_not_write(channel: int, say: Language) -> str:
    """The bot should announce something there, but may not."""
    return say(
        "The bot isn't allowed to write in {channel}. Give it the View Channel and Send Messages "
        "permissions there.",
        channel=f"<#{channel}>",
    )
