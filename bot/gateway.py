"""The gateway connection: trouble before it is ready is trouble that may pass."""

import asyncio
import zlib
from typing import Any, Self

import discord
from discord.backoff import ExponentialBackoff
from discord.gateway import DiscordWebSocket, ReconnectWebSocket

RESUME_PAUSE = 5.0
_LONGEST_PAUSE_EXPONENT = 6


class PatientWebSocket(DiscordWebSocket):
    """Where discord.py's shard gives up for good, it is told of a lost connection, and tries again.

    A shard that logs in anew takes only errors of the network for trouble: a gateway that closes the
    connection, or speaks garbage, before it is ready would end the process (discord.py 2.7.1, shard.py). One
    that resumes tries again at once, without a pause.
    """

    @classmethod
    async def from_client(cls, client: discord.Client, *, resume: bool = False, **how: Any) -> Self:
        """Connect, and log in or resume. Raises what a shard can handle."""
        try:
            return await super().from_client(client, resume=resume, **how)
        except ReconnectWebSocket:
            if resume:
                await asyncio.sleep(RESUME_PAUSE)
                raise
            raise ConnectionError("the gateway closed the connection before it was ready") from None
        except (ValueError, KeyError, TypeError, zlib.error) as error:
            raise ConnectionError(f"the gateway sent garbage: {type(error).__name__}") from None


class PatientBackoff(ExponentialBackoff[bool]):
    """Pauses of a minute at most, not 17: all shards wait for the one that pauses."""

    def __init__(self) -> None:
        super().__init__()
        self._max = _LONGEST_PAUSE_EXPONENT


def be_patient() -> None:
    """Have discord.py's shards use these: it looks both up in its own module."""
    discord.shard.DiscordWebSocket = PatientWebSocket  # type: ignore[misc]
    discord.shard.ExponentialBackoff = PatientBackoff  # type: ignore[attr-defined, assignment]
