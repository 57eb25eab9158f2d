"""/help."""

from bot.words.common import span
from bot.words.language import Language


def help_text(say: Language, support_url: str, seconds: float, *, may_manage: bool) -> str:
    """The bot's purpose and its commands; a reload takes `seconds`."""
    about = span(seconds, say)
    lines = [
        say(
            "A model that nobody has used for 7 days is unloaded from the inference server. Rewarm wakes "
            "it up:"
        ),
        say(
            "{reload} takes about {span}, shows a countdown, and pings everyone who wants to know.",
            span=about,
        ),
        say(
            "Use the reply's buttons to choose whether you're pinged, and to make a test image (costs one "
            "generation)."
        ),
        say("{models} shows which of this server's models are warm."),
    ]
    if may_manage:
        lines.append(say("{key_set} stores this server's API key; {key_status} shows who set it."))
        lines.append(
            say("{settings} covers pings, the language, test images, and where to announce cold models.")
        )
    if support_url:
        lines.append(say("Questions: {link}", link=support_url))
    return "\n".join(lines)
