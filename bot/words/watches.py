"""Announcements about a watched model: that it will go cold, that it has gone cold."""

from bot.domain.rows import Watch
from bot.words.common import mentions, pushed_id
from bot.words.language import Language, n_

KEEP_WARM = n_("Keep it warm")


def goes_cold_text(watch: Watch, used_at: float, say: Language, *, button: bool) -> str:
    """The announcement after six days without use."""
    cold = say(
        "{model} will go cold tomorrow: as far as the bot knows, it was last used {time}.",
        model=pushed_id(watch.model),
        time=f"<t:{round(used_at)}:R>",
    )
    more = say("*Keep it warm* makes one test image, which costs one generation.")
    return (f"{cold} {more}" if button else cold) + mentions(watch.users)


def went_cold_text(watch: Watch, used_at: float, say: Language) -> str:
    """The announcement after seven days without use."""
    cold = say(
        "{model} has gone cold: as far as the bot knows, it was last used {time}. {reload} wakes it up.",
        model=pushed_id(watch.model),
        time=f"<t:{round(used_at)}:R>",
    )
    return cold + mentions(watch.users)
