"""The custom IDs of buttons, menus and forms: how they are made and recognised.

Messages keep them for years, so a released one never changes. Discord allows 100 characters.
"""

import re

BUTTON_ID = "rewarm:{what}:{reload}"
BUTTON = r"rewarm:(?P<what>notify|mute|again|test|keep):(?P<reload>\d{1,20})"
"""Buttons under a reply and under announcements about a watched model; `reload`: its ID."""
AHEAD_ID = "rewarm:ahead:{what}:{reload}"
AHEAD = r"rewarm:ahead:(?P<what>ask|yes|no):(?P<reload>\d{1,20})"
"""The button *Test it too*, and those of its private answer."""
FORM_ID = "rewarm:prompt:{what}:{reload}"
FORM = re.compile(r"rewarm:prompt:(test|keep):(\d{1,20})")
"""The form for a test image."""
LIST_ID = "rewarm:models:{page}"
LIST = r"rewarm:models:(?P<page>\d{1,4})"
"""The button that turns to a page of a server's models."""
MODEL_ID = "rewarm:model:{page}:{view}"
MODEL = r"rewarm:model:(?P<page>\d{1,4})(?::\d{1,20})?"
"""The menu of a page. `view` makes each one different: Discord doesn't let people choose the same item again
in the same menu."""
WATCH_ID = "rewarm:{what}:{page}:{reload}"
WATCH = r"rewarm:(?P<what>watch|unwatch):(?P<page>\d{1,4}):(?P<reload>\d{1,20})"
REMOVE_KEY = "rewarm:key:remove"
WATCHERS_ID = "rewarm:watchers:{page}:{reload}"
WATCHERS = r"rewarm:watchers:(?P<page>\d{1,4}):(?P<reload>\d{1,20})"
"""The menu of those who watch a model."""
SETTING_ID = "rewarm:set:{what}"
SETTING = r"rewarm:set:(?P<what>ping|language|channel|tests|news)"
