"""Who asks where: servers, channels, members and ids, by number; the same in every process."""

import time

EPOCH_MS = 1420070400000
OPEN_IN_SERVER = 12
"""Live countdowns of one server: some come and go at a time, and the bot allows 20."""
CHANNELS = 4
FEWEST_SERVERS = 10
_SERVERS, _MEMBERS = 10**18, 2 * 10**18
_APART = 100
_NUMBERS = 1 << 21
_TOKEN_LENGTH = 200
"""About as long as Discord's."""


def servers_for(live: int) -> int:
    """How many servers so many live countdowns are in."""
    return max(FEWEST_SERVERS, -(-live // OPEN_IN_SERVER))


def server(place: int) -> int:
    """The id of a server."""
    return _SERVERS + place * _APART


def channel(place: int, number: int) -> int:
    """The channel in which the reload of a number is asked for."""
    return server(place) + 1 + number % CHANNELS


def member(number: int) -> int:
    """Who asks: each reload is somebody else's."""
    return _MEMBERS + number


def interaction(number: int, at: float | None = None) -> int:
    """A new interaction's id; Discord's ids tell when they were made."""
    made = round((time.time() if at is None else at) * 1000) - EPOCH_MS
    return made << 22 | number % _NUMBERS << 1


def message(interaction_id: int) -> int:
    """The id of the reply to an interaction."""
    return interaction_id + 1


def token(interaction_id: int, in_channel: int) -> str:
    """The token of an interaction; what Discord must know of it stands in it."""
    return f"{interaction_id}.{in_channel}.".ljust(_TOKEN_LENGTH, "x")
