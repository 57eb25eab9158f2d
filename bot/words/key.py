"""Private messages about a server's API key."""

from bot.model_api.balance import Balance
from bot.words.language import Language, n_


def key_stored(say: Language, *, checked: bool) -> str:
    """The key is stored."""
    if checked:
        return say(
            "The key works and has been stored, encrypted. Members can now reload models and make test "
            "images, which cost one generation each."
        )
    return say(
        "The key has been stored, encrypted. We couldn't check whether it works; the first reload will show."
    )


def key_status(by_name: str, at: float, tail: str, host: str, say: Language, *, checked: bool) -> str:
    """Who set the key and when, and where it is sent; `by_name` must already be escaped; empty: forgotten."""
    time = f"<t:{round(at)}:f>"
    if by_name:
        who = say("This server has an API key, set by {person} on {time}.", person=by_name, time=time)
    else:
        who = say("This server has an API key, set on {time}.", time=time)
    ends = " " + say("It ends in {tail}.", tail=f"`{tail}`") if tail else ""
    goes = say("It's sent to {host}.", host=f"`{host}`")
    doubt = "" if checked else " " + say("We don't know yet whether it works.")
    more = say("{key_set} replaces it; {key_remove} deletes it.")
    return f"{who}{ends} {goes}{doubt} {more}"


def balance_text(left: Balance, at: float, say: Language) -> str:
    """The balance, by the API; `at`: when."""
    amount = f"{left.amount:.2f} {left.currency}".rstrip()
    return say("The API says {amount} is left, as of {time}.", amount=amount, time=f"<t:{round(at)}:t>")


def key_unreadable(say: Language) -> str:
    """A key is stored but doesn't open."""
    return say("The stored API key can't be decrypted. Set it again with {key_set}.")


def no_key(say: Language) -> str:
    """There is no key, for somebody who may set one."""
    return say("This server has no API key yet. Set one with {key_set}.")


def key_removed(say: Language, *, existed: bool | None) -> str:
    """The key has been removed; `existed` is None if that happens once storage works again."""
    if existed is None:
        return say(
            "The API key is no longer used, but something is wrong with our storage, so it hasn't been "
            "deleted yet. We'll keep trying; after a restart, check with {key_status}."
        )
    if existed:
        return say(
            "The API key has been deleted. Running countdowns will finish; new reloads need a new key."
        )
    return say("This server has no API key, so there's nothing to delete.")


KEY_REMOVE_QUESTION = n_(
    "Delete this server's API key for good? Running countdowns will finish; new reloads need a new key."
)
KEY_REMOVE = n_("Delete the key")
KEY_TITLE = n_("This server's API key")
KEY_LABEL = n_("Stable Diffusion API or ModelsLab key")
KEY_HINT = n_("Used for reloads and for members' test images, which cost credits. Stored encrypted.")
KEY_SHOWN = n_("This server's moderators can see the key's balance.")
