"""What can go wrong, one class for each thing that somebody can act on.

RewarmError
├── SettingsError            the self-hoster fixes a setting; the bot does not start
├── DiscordRefuses           the self-hoster changes a setting or upgrades; the bot ends
├── StoreTrouble             storage did not do what it was asked
│   ├── StoreSlow            … within the time limit: it may still happen
│   └── StoreUnusable        in use, damaged, or from a newer version; the bot does not start
│       ├── StoreAway        … for now: a later start may find it
│       └── DatabaseUnusable … where it is PostgreSQL
│           ├── DatabaseAway … for now, too
│           └── DatabaseEmpty … in which no bot has been yet
├── Taken                    another process looks after this reload now: this one stops, in silence
├── SealBroken               a sealed secret does not open with the keys we have
└── Refusal                  the person who asked can change something; nothing is broken
    ├── BadModelId           the text is not a model ID
    │   └── NoModelPage      … but a page of the vendor that is not of one model
    ├── BadKey               the text cannot be an API key
    ├── KeyRefused           the API says that the key is invalid
    ├── NoKey                the server has no API key that can be used
    ├── TooManyOpen          the server or the member has enough reloads running
    ├── TooManyCalls         the member has had the API called often enough for now
    ├── Restarting           the bot is about to stop
    ├── NotAllowed           the command needs the Manage Server permission
    ├── NotAllowedHere       the server doesn't let this person use the command here
    ├── PermissionsUnknown   Discord did not say whether this person may use the command
    ├── NotAMember           the server has the commands, but the bot is not a member of it
    ├── TooManyWatched       the server watches as many models as it may
    ├── TooManyWatchers      the model has as many watchers as it may
    ├── MayNotWrite          the person may not write where they want to be mentioned
    ├── Forgotten            what the button belongs to is no longer stored
    ├── AlreadyEnded         the countdown is over
    ├── NoTestsLeft          the member had as many test images made in 24 hours as the server allows
    ├── OneChannelForBoth    members would read the moderators' messages
    └── NoTestNow            a test image is being made already, or none can be made, or not yet

The classes carry facts; `bot/words/` words them and `cogs/error_handler.py` shows them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import asyncio


class RewarmError(Exception):
    """The root of all errors that the bot raises on purpose."""


class SettingsError(RewarmError):
    """Settings are missing or wrong; `lines` has one sentence for each."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class DiscordRefuses(RewarmError):
    """Discord refuses the bot's configuration or version; the message says why and what to do."""


class StoreTrouble(RewarmError):
    """Storage failed: disk full, locked, read-only, gone."""


class StoreSlow(StoreTrouble):
    """Storage did not answer in time; `landing` is done once the write has landed or failed."""

    def __init__(self, landing: asyncio.Future[Any]) -> None:
        super().__init__("storage did not answer in time")
        self.landing = landing


class StoreUnusable(StoreTrouble):
    """The store can't be opened; the message says why and what to do."""


class StoreAway(StoreUnusable):
    """The store can't be opened now, but perhaps later: it is slow or locked, or its disk full or failing."""


class DatabaseUnusable(StoreUnusable):
    """PostgreSQL can't be used the way STORE_URL says.

    The message says why and what to do, and quotes no URL.
    """


class DatabaseAway(DatabaseUnusable, StoreAway):
    """PostgreSQL doesn't answer, or serves nobody at the moment."""


class DatabaseEmpty(DatabaseUnusable):
    """The database has no tables."""


class Taken(RewarmError):
    """A reload no longer belongs to this process: it may show and write nothing of it."""


class SealBroken(RewarmError):
    """A sealed row doesn't open: it was sealed with another key, damaged, or copied from elsewhere."""


class Refusal(RewarmError):
    """A person asked for something that can't be done in the current state."""


class BadModelId(Refusal):
    """The text is not a model ID by the rules of `bot.domain.model_id.parse_model_id`."""


class NoModelPage(BadModelId):
    """The text is the address of a page on the vendor's host that isn't about one model, such as a list."""


class BadKey(Refusal):
    """The text can't be an API key: it is empty, too long, or contains spaces."""


class KeyRefused(Refusal):
    """The model API says explicitly that the key is invalid."""


class NoKey(Refusal):
    """The server has no API key, or the stored one doesn't open."""


class TooManyOpen(Refusal):
    """As many reloads as allowed are running; `free_at` is when a place becomes free, if that is known."""

    def __init__(self, whose: Literal["server", "member"], limit: int, free_at: float | None) -> None:
        super().__init__(f"{whose} has {limit} reloads open")
        self.whose = whose
        self.limit = limit
        self.free_at = free_at


class TooManyCalls(Refusal):
    """A member has had the API called `limit` times in a minute; `again_at` is when it works again."""

    def __init__(self, limit: int, again_at: float) -> None:
        super().__init__(f"{limit} calls in a minute")
        self.limit = limit
        self.again_at = again_at


class Restarting(Refusal):
    """The bot is stopping and takes on nothing new."""


class NotAllowed(Refusal):
    """The person lacks the Manage Server permission."""


class NotAllowedHere(Refusal):
    """The server's own settings don't let this person use the command here."""


class PermissionsUnknown(Refusal):
    """Discord didn't say whether this person may use the command; if they type it, Discord checks."""


class TooManyWatched(Refusal):
    """The server watches as many models as it may."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} models are watched")
        self.limit = limit


class TooManyWatchers(Refusal):
    """The model has as many watchers as it may."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} people watch it")
        self.limit = limit


class MayNotWrite(Refusal):
    """The person may not send messages in the channel, so the bot must not do it for them."""


class Forgotten(Refusal):
    """The reload that a button belongs to is not stored, or no longer."""


class AlreadyEnded(Refusal):
    """The countdown is over: nobody can be added to it or removed from it."""


class NoTestNow(Refusal):
    """No test image can be made.

    One is `running`; somebody has `asked` for the one at the end; the ending is not announced `yet`; or the
    reload did not end as Ready.
    """

    def __init__(self, why: Literal["running", "asked", "yet", "over"] = "over") -> None:
        super().__init__(f"no test image: {why}")
        self.why = why


class NoTestsLeft(Refusal):
    """A member had `limit` test images made in 24 hours; `free_at`: when the next may be; None: never."""

    def __init__(self, limit: int, free_at: float | None) -> None:
        super().__init__(f"{limit} test images in 24 hours")
        self.limit = limit
        self.free_at = free_at


class OneChannelForBoth(Refusal):
    """Members read the channel for watched models, so it can't also be the moderators' channel."""


class NotAMember(Refusal):
    """The bot was invited for commands only, so it could neither ping nor notice its removal.

    `invitation`: a link.
    """

    def __init__(self, invitation: str) -> None:
        super().__init__("not a member of this server")
        self.invitation = invitation
