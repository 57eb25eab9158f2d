"""The panel of a server's settings."""

from bot.domain.rows import ServerSettings
from bot.words.common import may_not_write
from bot.words.language import Language, n_

PINGS = n_("Who is pinged at the end")
EVERYBODY, ON_DEMAND = n_("Everybody who asks"), n_("Only who presses Notify me")
LANGUAGE = n_("Language of the bot's messages in this server")
AS_DISCORD = n_("As this server has it in Discord")
CHANNEL = n_("Where it is said that a watched model goes cold")
CHANNEL_UNSET = n_("Where Watch was pressed")

NEWS = n_("Where moderators hear what only they can fix")
NEWS_UNSET = n_("Nowhere")
TESTS, NO_TESTS, NO_LIMIT = n_("Test images per member and day"), n_("None"), n_("No limit")


def settings_text(chosen: ServerSettings, say: Language, *, may_write: bool, may_tell: bool = True) -> str:
    """The head of the panel; `may_write` for watched models, `may_tell` moderators: in the channel chosen."""
    lines = [say("**Settings of this server**")]
    for channel, is_open in ((chosen.ledger_channel, may_write), (chosen.news_channel, may_tell)):
        if channel is not None and not is_open:
            lines.append(may_not_write(channel, say))
    return "\n".join(lines)
