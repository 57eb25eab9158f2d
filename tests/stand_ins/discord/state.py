"""The state of Discord, which a test sees and sets: servers, channels, people, messages, interactions.

Source of the numbers: docs.discord.com/developers: Message, Channel, Permissions, Interactions.
"""

import asyncio
import inspect
import itertools
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.stand_ins.discord.component_rules import text_of
from tests.stand_ins.discord.rules import Json

if TYPE_CHECKING:
    from tests.stand_ins.discord.faults import Fault

EPHEMERAL, LOADING, SILENT, COMPONENTS_V2 = 1 << 6, 1 << 7, 1 << 12, 1 << 15
SUPPRESS_EMBEDS = 1 << 2
MANAGE_GUILD, VIEW_CHANNEL, SEND_MESSAGES, READ_MESSAGE_HISTORY = 1 << 5, 1 << 10, 1 << 11, 1 << 16
ADMINISTRATOR, USE_APPLICATION_COMMANDS = 1 << 3, 1 << 31
SEND_IN_THREADS = 1 << 38
BOTS_RIGHTS = VIEW_CHANNEL | SEND_MESSAGES | READ_MESSAGE_HISTORY | SEND_IN_THREADS
OBFUSCATED, HIDDEN_NAME = 1 << 17, "___hidden___"
TEXT, VOICE, NEWS, STAGE, FORUM = 0, 2, 5, 13, 15
NEWS_THREAD, THREAD, PRIVATE_THREAD = 10, 11, 12
THREADS = (NEWS_THREAD, THREAD, PRIVATE_THREAD)
TAKE_MESSAGES = (TEXT, VOICE, NEWS, *THREADS, STAGE)
EPOCH_MS = 1420070400000
BASE = "/api/v10"
COMMAND_CALL, PRESS, AUTOCOMPLETE, MODAL_SUBMIT = 2, 3, 4, 5
MOST_UPLOAD = 10 * 2**20

Answer = tuple[int, Any]
"""A status and a JSON value."""


@dataclass
class Request:
    """One REST call; `status` stays 0 when the connection was dropped instead of answered."""

    at: float
    method: str
    path: str
    route: str
    body: Any
    query: dict[str, str]
    status: int = 0
    scope: str = ""
    """The owner of a 429's limit; if it is "shared", nobody is at fault."""
    files: dict[str, bytes] = field(default_factory=dict)
    """What was uploaded with it, by id."""


@dataclass(eq=False)
class Guild:
    """A server."""

    id: int
    name: str
    channels: list["Channel"] = field(default_factory=list)
    threads: list["Channel"] = field(default_factory=list)
    members: list["Member"] = field(default_factory=list)
    removed: bool = False
    outage: bool = False
    locale: str = "en-US"
    blocked_words: set[str] = field(default_factory=set)
    """Words that its AutoMod blocks, the bot's included."""


@dataclass(eq=False)
class Channel:
    """A channel or a thread, and what the bot may do there."""

    id: int
    guild: Guild
    name: str
    kind: int = TEXT
    """Discord's number for its type; an unused number is a type of the future."""
    parent: "Channel | None" = None
    """A thread's channel."""
    may_view: bool = True
    may_send: bool = True
    may_read_history: bool = True
    archived: bool = False
    """Whether the thread is archived: nothing in it can be edited; a new message wakes it up."""
    locked: bool = False
    """Whether only moderators can wake it up."""
    deleted: bool = False
    nsfw: bool = False
    """Age-restricted."""

    @property
    def is_thread(self) -> bool:
        """Whether it hangs on a channel."""
        return self.kind in THREADS

    @property
    def is_seen(self) -> bool:
        """Whether the bot may view it."""
        return self.may_view and (self.parent is None or self.parent.is_seen)

    @property
    def app_permissions(self) -> int:
        """The bot's permissions, as far as they matter here."""
        history = READ_MESSAGE_HISTORY * self.may_read_history
        in_threads = SEND_IN_THREADS * (self.may_send or not self.is_thread)
        return VIEW_CHANNEL * self.is_seen | SEND_MESSAGES * self.may_send | history | in_threads


@dataclass(eq=False)
class Member:
    """A person in a server."""

    id: int
    guild: Guild
    name: str
    manage_guild: bool = False
    administrator: bool = False
    locale: str = "en-US"
    may_use_commands: bool = True
    may_send: bool = True


@dataclass(eq=False)
class Interaction:
    """A command, an autocomplete request, a press or a submitted modal, and how the bot answered."""

    id: int
    token: str
    kind: int
    member: Member
    channel: Channel
    at: float
    event: Json = field(default_factory=dict)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    callback_type: int | None = None
    message_id: int | None = None
    ephemeral: bool = False
    modal: Json | None = None
    choices: list[Json] | None = None
    killed: bool = False
    source: "Message | None" = None
    """The message whose button was pressed."""


@dataclass(eq=False)
class Message:
    """A message's current state, and every version with its time."""

    id: int
    channel_id: int
    interaction: Interaction | None = None
    content: str = ""
    embeds: list[Json] = field(default_factory=list)
    components: list[Json] = field(default_factory=list)
    flags: int = 0
    reply_to: int | None = None
    mentions: set[int] = field(default_factory=set)
    """The people it has really notified."""
    mentions_everyone: bool = False
    named: set[int] = field(default_factory=set)
    """The people it mentions, as its last write allowed: nobody else is in its payload."""
    names_everyone: bool = False
    attachments: list[Json] = field(default_factory=list)
    nonce: str | None = None
    edited: str | None = None
    deleted: bool = False
    history: list[tuple[float, Json]] = field(default_factory=list)

    @property
    def ephemeral(self) -> bool:
        """Whether only one person sees it."""
        return bool(self.flags & EPHEMERAL)

    @property
    def thinking(self) -> bool:
        """Whether it is a deferred reply without an answer yet."""
        return bool(self.flags & LOADING)

    @property
    def text(self) -> str:
        """Its text: plain content and all text displays."""
        return text_of(self.content, self.components)


@dataclass
class Logins:
    """How many logins there may be: `session_start_limit` of GET /gateway/bot."""

    total: int = 1000
    remaining: int = 1000
    reset_after: float = 86_400.0
    max_concurrency: int = 1
    window: float = 0.0
    """Seconds in which only `max_concurrency` shards may log in: Discord's are 5, in virtual time."""
    at: list[float] = field(default_factory=list)

    def take(self, at: float) -> bool:
        """Take a login; False: too many together."""
        self.remaining -= 1
        self.at = [t for t in self.at if at - t < self.window]
        if len(self.at) >= self.max_concurrency:
            return False
        self.at.append(at)
        return True


class State:
    """All state. The server's parts derive from this, and each adds its own behaviour."""

    def __init__(self, token: str, *, limits: bool, record: Path | None, shards: int) -> None:
        self.token = token
        self.limits = limits
        self.record = record
        """The file in which each call becomes a line of JSON: method, path, body, status, answer."""
        if record is None and (folder := os.environ.get("DISCORD_CALLS")):
            self.record = Path(folder) / f"{os.getpid()}.jsonl"
        self.shards = shards
        self.url = ""
        self.answer_seconds = 3.0
        self.token_seconds = 900.0
        self.nonce_seconds = 300.0
        self.channel_limit = 5
        self.thinking_by_channel = True
        """Whether the channel route may edit a reply that is still thinking; what Discord does is not known.
        """
        self.requests: list[Request] = []
        self.violations: list[str] = []
        self.faults: list[Fault] = []
        self.messages: dict[int, Message] = {}
        self.interactions: dict[int, Interaction] = {}
        self.commands: list[Json] = []
        self.guilds: list[Guild] = []
        self.channels: dict[int, Channel] = {}
        self.connected = asyncio.Event()
        self.logins = Logins()
        self.identifies: list[Json] = []
        self.resumes = 0
        self.gateway_refuses = False
        """Whether it answers new websockets with a 503."""
        self.application: Json = {}
        """The owner's settings in the portal, besides the usual ones."""
        self.clock_ahead = 0.0
        """Seconds by which its answers' Date is ahead of our clock."""
        self.gateway_refused = 0
        self.gateway_trouble: list[str] = []
        """Faults of the next websockets, before they are greeted."""
        self.login_trouble: list[str | int] = []
        """Results of the next logins: values of the gateway's `_fail`, or a close code."""
        self.login_times: list[float] = []
        self.permissions: dict[int, list[Json]] = {}
        """A server's rules for a command or the whole bot, by their ID."""
        self._counter = itertools.count()
        self.application_id = self._new_id()

    def _new_id(self) -> int:
        return (int(time.time() * 1000) - EPOCH_MS) << 22 | next(self._counter) & 0x3FFFFF

    def refused(self, seconds: float = math.inf) -> int:
        """Count the calls of the last seconds that Discord counts towards closing an address."""
        since = now() - seconds
        return sum(
            request.status in (401, 403) or (request.status == 429 and request.scope != "shared")
            for request in self.requests
            if request.at >= since
        )

    async def wait_for(
        self, predicate: Callable[[], object], seconds: float = 5.0, what: str | None = None
    ) -> None:
        """Wait until something is true. Raises TimeoutError, naming it and the last events."""
        began = now()
        while not predicate():
            waited = now() - began
            if waited >= seconds:
                what = what or _source(predicate)
                last = [f"{r.method} {r.route} {r.status}" for r in self.requests[-5:]]
                raise TimeoutError(
                    f"not within {seconds} s: {what}; last: {last}; violations: {self.violations}"
                )
            # Each look costs a jump of virtual time, and that a millisecond of CPU: the longer, the fewer.
            await asyncio.sleep(min(max(0.05, waited / 40), 1.0, max(seconds - waited, 0.01)))


def _source(predicate: Callable[[], object]) -> str:
    """Return the source line of the condition, to name it."""
    try:
        return " ".join(inspect.getsource(predicate).split())
    except (OSError, TypeError):
        return repr(predicate)


def now() -> float:
    return asyncio.get_running_loop().time()
