"""The panel of a server's settings."""

from bot.domain.rows import ServerSettings
from bot.words.language import Language, n_

PINGS = n_("Who is pinged at the end")
EVERYBODY, ON_DEMAND = n_("Everybody who asks"), n_("Only who presses Notify me")
LANGUAGE = n_("Language of the bot's messages in this server")
AS_DISCORD = n_("As this server has it in Discord")
CHANNEL = n_("Where it is said that a watched model goes cold")
CHANNEL_UNSET = n_("Where Watch was pressed")

TESTS, NO_TESTS, NO_LIMIT = n_("Test images per member and day"), n_("None"), n_("No limit")


def settings_text(chosen: ServerSettings, say: Language, *, may_write: bool) -> str:
    """The head of the panel; `may_write`: in the channel for watched models."""
    head = say("**Settings of this server**")
    if may_write or chosen.ledger_channel is None:
        return head
    channel = f"<#{chosen.ledger_channel}>"
    warning = say(
        "The bot may not write in {channel}: give it View Channel and Send Messages.", channel=channel
    )
    return f"{head}\n{warning}"
