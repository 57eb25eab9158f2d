"""The services that every story needs, made once."""

import asyncio
from collections.abc import Callable

from bot.discord_api.permissions import CommandPermissions
from bot.discord_api.reply import Replies
from bot.discord_api.responses import Responses
from bot.domain.errors import Restarting
from bot.domain.member_calls import MemberCalls
from bot.domain.reload import Outcome
from bot.keys import Keys
from bot.metrics import Metrics
from bot.model_api.hosts import Hosts
from bot.reloads.countdown import Countdowns
from bot.reloads.untold import Untold
from bot.store.base import Store

SHOW_CALLING_TIMEOUT = 1.0
MAX_CONCURRENT_EDITS = 200
"""Edits in progress at the same time. Each has a connection, and a loop that was held up would open one per
countdown."""


class Services:
    """The services that every story needs, made once."""

    def __init__(
        self,
        store: Store,
        keys: Keys,
        hosts: Hosts,
        responses: Responses,
        replies: Replies,
        metrics: Metrics,
        countdowns: Countdowns,
        member_calls: MemberCalls,
        now: Callable[[], float],
        permissions: CommandPermissions,
        heard: Callable[[int, Outcome, str], None],
    ) -> None:
        self.countdowns = countdowns
        self.member_calls = member_calls
        self.first_edits = asyncio.Semaphore(MAX_CONCURRENT_EDITS)
        self.ticks = asyncio.Semaphore(MAX_CONCURRENT_EDITS)
        self.untold = Untold()
        self.store = store
        self.metrics = metrics
        self.keys = keys
        self.hosts = hosts
        self.responses = responses
        self.replies = replies
        self.now = now
        self.permissions = permissions
        self.heard = heard
        """Receives what the API has said about a server's key."""
        self._stopping = False

    def stop(self) -> None:
        """Make no more calls."""
        self._stopping = True

    def is_stopping(self) -> bool:
        """Return whether what is open must wait for the next start."""
        return self._stopping

    def check_taking_on(self) -> None:
        """Raise Restarting if nothing new may start, because of a stop or a newer version."""
        if self._stopping or self.store.is_outdated:
            raise Restarting
