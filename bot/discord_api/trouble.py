"""The errors that can happen between us and Discord."""

import aiohttp
import discord

NETWORK = (discord.DiscordException, aiohttp.ClientError, OSError)
"""Errors that discord.py lets through when Discord or the network fails. OSError includes TimeoutError."""
TROUBLE = (*NETWORK, ValueError, TypeError, KeyError)
"""The same, and the errors that an odd answer causes inside discord.py."""


class StaleError(Exception):
    """A countdown waited so long to be sent that its number is no longer right."""


class LimitedError(aiohttp.ClientError):
    """Discord, or something in front of it, asks us to slow down; `wait`: seconds, if Discord named them."""

    def __init__(self, wait: float | None) -> None:
        super().__init__("429")
        self.wait = wait


class DownError(aiohttp.ClientError):
    """Discord answers a login with an error of its own: `status` is 500 or more."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class NotDiscordError(aiohttp.ClientError):
    """A web page came where Discord answers with JSON, so something in between answered."""


def named_wait(error: Exception) -> float:
    """Return the seconds to wait that Discord named in this error; 0 if it named none."""
    return (error.wait or 0.0) if isinstance(error, LimitedError) else 0.0
