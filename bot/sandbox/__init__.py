"""The try-out without a Discord account: the real bot, a stand-in model API, a conversation to see."""

from importlib.util import find_spec

from bot.domain.errors import SettingsError

_NEEDED = ("simcord", "linkify_it", "markdown_it", "PIL", "regex", "tzlocal")

if any(find_spec(name) is None for name in _NEEDED):
    raise SettingsError(
        ["The sandbox needs extra packages. In a clone, run: pipx install --force '.[sandbox]'"]
    )
