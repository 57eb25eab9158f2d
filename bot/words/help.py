"""/help."""

from bot.words.common import span
from bot.words.language import Language


def help_text(say: Language, support_url: str, seconds: float, *, may_manage: bool) -> str:
    """The bot's purpose and its commands; a reload takes `seconds`."""
    about = span(seconds, say)
    lines = [
        say("A model that nobody used for 7 days is removed from the inference server. Rewarm wakes it up:"),
        say("{reload} takes about {span}, counts down, and pings everybody who wants it.", span=about),
        say("Its buttons: be pinged or not; once it is ready, a test image (costs one generation) or again."),
        say("{models} shows this server's models: which are warm, and for how long."),
    ]
    if may_manage:
        lines.append(say("{key_set} stores this server's API key, {key_status} says who set it."))
        lines.append(say("{settings} is about pings, the language, and where cold models are announced."))
    if support_url:
        lines.append(say("Questions: {link}", link=support_url))
    return "\n".join(lines)
