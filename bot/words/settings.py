"""The panel of a server's settings."""

from bot.domain.rows import ServerSettings
from bot.words.common import may_not_write
from bot.words.language import Language, n_

PINGS = n_("Who gets pinged when a reload is done")
EVERYBODY, ON_DEMAND = n_("Everyone who requests it"), n_("Only people who press Notify me")
LANGUAGE = n_("Language of the bot's messages in channels")
AS_DISCORD = n_("Same as this server's language in Discord")
CHANNEL = n_("Where to announce that a watched model is going cold")
CHANNEL_UNSET = n_("The channel where Watch was pressed")

NEWS = n_("Where to tell moderators about the key and settings")
NEWS_UNSET = n_("Nowhere")
TESTS, NO_TESTS, NO_LIMIT = n_("Test images per member per day"), n_("None"), n_("No limit")


def settings_text(chosen: ServerSettings, say: Language, *, may_write: bool, may_tell: bool = True) -> str:
    """The head of the panel.

    `may_write`, `may_tell`: whether the bot may post about watched models, or to moderators, in the chosen
    channel.
    """
    lines = [say("**Server settings**")]
    for channel, is_open in ((chosen.ledger_channel, may_write), (chosen.news_channel, may_tell)):
        if channel is not None and not is_open:
            lines.append(may_not_write(channel, say))
    return "\n".join(lines)
