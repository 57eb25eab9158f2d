"""The custom ids of buttons, menus and forms, as they are made and as they are recognised.

Messages keep them for years, so one that was released never changes. Discord allows 100 characters.
"""

import re

BUTTON_ID = "rewarm:{what}:{reload}"
BUTTON = r"rewarm:(?P<what>notify|mute|again|test|keep):(?P<reload>\d{1,20})"
"""Under a reply, and under what is said of a watched model; `reload`: its id."""
AHEAD_ID = "rewarm:ahead:{what}:{reload}"
AHEAD = r"rewarm:ahead:(?P<what>ask|yes|no):(?P<reload>\d{1,20})"
"""*Test it too*, and what its private answer offers."""
FORM_ID = "rewarm:prompt:{what}:{reload}"
FORM = re.compile(r"rewarm:prompt:(test|keep):(\d{1,20})")
"""The form of a test image."""
LIST_ID = "rewarm:models:{page}"
LIST = r"rewarm:models:(?P<page>\d{1,4})"
"""Turns to a page of a server's models."""
MODEL_ID = "rewarm:model:{page}:{view}"
MODEL = r"rewarm:model:(?P<page>\d{1,4})(?::\d{1,20})?"
"""The menu of a page; `view` makes it another: in the same one Discord lets nobody choose the same again."""
WATCH_ID = "rewarm:{what}:{page}:{reload}"
WATCH = r"rewarm:(?P<what>watch|unwatch):(?P<page>\d{1,4}):(?P<reload>\d{1,20})"
REMOVE_KEY = "rewarm:key:remove"
WATCHERS_ID = "rewarm:watchers:{page}:{reload}"
WATCHERS = r"rewarm:watchers:(?P<page>\d{1,4}):(?P<reload>\d{1,20})"
"""The menu of those who watch a model."""
SETTING_ID = "rewarm:set:{what}"
SETTING = r"rewarm:set:(?P<what>ping|language|channel|tests|news)"
