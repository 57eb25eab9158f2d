"""The custom ids of buttons, menus and forms, as they are made and as they are recognised.

Messages keep them for years, so one that was released never changes. Discord allows 100 characters.
"""

import re

BUTTON_ID = "rewarm:{what}:{reload}"
BUTTON = r"rewarm:(?P<what>notify|mute|again|test|keep):(?P<reload>\d{1,20})"
"""Under a reply, and under what is said of a watched model; `reload`: its id."""
FORM_ID = "rewarm:prompt:{what}:{reload}"
FORM = re.compile(r"rewarm:prompt:(test|keep):(\d{1,20})")
"""The form of a test image."""
LIST_ID = "rewarm:models:{page}"
LIST = r"rewarm:models:(?P<page>\d{1,4})"
"""Turns to a page of a server's models."""
MODEL_ID = "rewarm:model:{page}"
MODEL = r"rewarm:model:(?P<page>\d{1,4})"
"""The menu of a page."""
WATCH_ID = "rewarm:{what}:{page}:{reload}"
WATCH = r"rewarm:(?P<what>watch|unwatch):(?P<page>\d{1,4}):(?P<reload>\d{1,20})"
SETTING_ID = "rewarm:set:{what}"
SETTING = r"rewarm:set:(?P<what>ping|language|channel|tests|news)"
