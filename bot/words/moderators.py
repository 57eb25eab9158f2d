"""Messages to moderators about the key, the API and the settings."""

from collections.abc import Sequence

from bot.domain.events import EVENTS_KEPT, What
from bot.domain.rows import Event
from bot.words.common import plain_name
from bot.words.language import Language, n_
from bot.words.settings import CHANNEL, LANGUAGE, NEWS, PINGS, TESTS

SETTINGS = {"ping": PINGS, "language": LANGUAGE, "tests": TESTS, "channel": CHANNEL, "news": NEWS}
"""The settings' names by what a menu's custom ID calls them."""
LONGEST_EVENTS = 1500
"""Characters of the list of events; Discord takes 2,000 in all."""
_SAID = {
    What.KEY_SET: n_("{person} set this server's API key."),
    What.KEY_REPLACED: n_("{person} replaced this server's API key."),
    What.KEY_REMOVED: n_("{person} removed this server's API key."),
    What.SETTING: n_("{person} changed a setting: {setting}."),
    What.KEY_REFUSED: n_("The API rejects this server's key. Set a new one with {key_set}."),
    What.SPENT: n_("The API says this server's key is out of credits or over its limit."),
    What.WORKS: n_("The API accepts this server's key again."),
}


def event_text(event: Event, say: Language) -> str:
    """One event, without its time."""
    person = plain_name(event.by_name) or say("Someone")
    setting = say(SETTINGS[event.detail]) if event.detail in SETTINGS else ""
    return say(_SAID[What(event.what)], person=person, setting=setting)


def events_text(events: Sequence[Event], say: Language) -> str:
    """The newest events with their times, one per line; empty if there are none."""
    text = ""
    for event in events[:EVENTS_KEPT]:
        more = f"{text}\n-# <t:{round(event.at)}:f> {event_text(event, say)}".strip()
        if len(more) > LONGEST_EVENTS:
            break
        text = more
    return text
