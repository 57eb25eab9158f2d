"""A strict stand-in for Discord, REST and gateway, on 127.0.0.1: refuses as Discord does, and records it.

It speaks real HTTP and WebSocket, so the real bot can run against it, in this process or in another one.

    state                     Discord's state; gateway tells the bot about it
    places, people            events without the bot, and people's actions
    messages                  messages that the bot may write
    rest                      the calls: application, by_token, by_channel
    rules, *_rules, limits    the reasons for refusals
    faults, answers           faults, and how answers look on the wire
    payloads                  people and channels as Discord writes them
"""

from pathlib import Path

from tests.stand_ins.discord.component_rules import flat
from tests.stand_ins.discord.faults import Fault
from tests.stand_ins.discord.people import People
from tests.stand_ins.discord.rest import Rest
from tests.stand_ins.discord.state import Channel, Guild, Interaction, Member, Message, Request

__all__ = [
    "Channel",
    "DiscordServer",
    "Fault",
    "Guild",
    "Interaction",
    "Member",
    "Message",
    "Request",
    "flat",
]


class DiscordServer(People, Rest):
    """Discord on a port of its own; an async context manager. Use `url` as the REST base."""

    def __init__(
        self, token: str = "made-up", *, limits: bool = True, record: Path | None = None, shards: int = 1
    ) -> None:
        super().__init__(token, limits=limits, record=record, shards=shards)
