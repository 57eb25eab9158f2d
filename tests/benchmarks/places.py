"""Numbered people and places: servers, channels, members and IDs, the same in every process."""

import time

EPOCH_MS = 1420070400000
OPEN_IN_SERVER = 12
"""Live countdowns per server: the number varies over time, and the bot allows 20."""
CHANNELS = 4
FEWEST_SERVERS = 10
_SERVERS, _MEMBERS = 10**18, 2 * 10**18
_APART = 100
_NUMBERS = 1 << 21
_TOKEN_LENGTH = 200
"""About as long as Discord's."""


def servers_for(live: int) -> int:
    """Return the number of servers for this many live countdowns."""
    return max(FEWEST_SERVERS, -(-live // OPEN_IN_SERVER))


def server(place: int) -> int:
    """The id of a server."""
    return _SERVERS + place * _APART


def channel(place: int, number: int) -> int:
    """Return the channel in which a numbered reload is requested."""
    return server(place) + 1 + number % CHANNELS


def member(number: int) -> int:
    """Return the asker: each reload has a different one."""
    return _MEMBERS + number


def interaction(number: int, at: float | None = None) -> int:
    """A new interaction's id; Discord's ids tell when they were made."""
    made = round((time.time() if at is None else at) * 1000) - EPOCH_MS
    return made << 22 | number % _NUMBERS << 1


def message(interaction_id: int) -> int:
    """The id of the reply to an interaction."""
    return interaction_id + 1


def token(interaction_id: int, in_channel: int) -> str:
    """Return an interaction's token, which contains what Discord must know about it."""
    return f"{interaction_id}.{in_channel}.".ljust(_TOKEN_LENGTH, "x")
