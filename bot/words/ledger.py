"""What the ledger says in a channel, and the panel of settings."""

from bot.store.base import ServerSettings, Watch
from bot.words.language import Language, n_

KEEP_WARM = n_("Keep it warm")
PINGS = n_("Who is pinged at the end")
EVERYBODY, ON_DEMAND = n_("Everybody who asks"), n_("Only who presses Notify me")
LANGUAGE = n_("Language of the bot's messages in this server")
AS_DISCORD = n_("As this server has it in Discord")
CHANNEL = n_("Where it is said that a watched model goes cold")
CHANNEL_UNSET = n_("Where Watch was pressed")


def goes_cold(watch: Watch, used_at: float, say: Language, *, button: bool) -> str:
    """On the sixth day without use."""
    cold = say(
        "{person} {model} goes cold tomorrow: the bot last saw it used {time}.",
        person=f"<@{watch.by}>",
        model=f"`{watch.model}`",
        time=f"<t:{round(used_at)}:R>",
    )
    more = say("*Keep it warm* makes one test image, which costs one generation.")
    return f"{cold} {more}" if button else cold


def went_cold(watch: Watch, used_at: float, say: Language) -> str:
    """After the seventh day."""
    return say(
        "{person} {model} has gone cold: the bot last saw it used {time}. {reload} wakes it up.",
        person=f"<@{watch.by}>",
        model=f"`{watch.model}`",
        time=f"<t:{round(used_at)}:R>",
    )


def settings_panel(chosen: ServerSettings, say: Language, *, may_write: bool) -> str:
    """The head of the panel; `may_write`: in the ledger's channel."""
    head = say("**Settings of this server**")
    if may_write or chosen.ledger_channel is None:
        return head
    channel = f"<#{chosen.ledger_channel}>"
    warning = say(
        "The bot may not write in {channel}: give it View Channel and Send Messages.", channel=channel
    )
    return f"{head}\n{warning}"
