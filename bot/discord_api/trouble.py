"""What goes wrong between us and Discord."""

import aiohttp
import discord

NETWORK = (discord.DiscordException, aiohttp.ClientError, OSError)
"""What discord.py lets through when Discord, or the way there, is in trouble. OSError: TimeoutError, too."""
TROUBLE = (*NETWORK, ValueError, TypeError, KeyError)
"""And what an odd answer breaks in it."""


class StaleError(Exception):
    """A countdown waited so long to be sent that its number is no longer right."""


class LimitedError(aiohttp.ClientError):
    """Discord, or what stands before it, asks to slow down; `wait`: seconds, where Discord named them."""

    def __init__(self, wait: float | None) -> None:
        super().__init__("429")
        self.wait = wait


def named_wait(error: Exception) -> float:
    """Seconds for which Discord wants no more of what met this error; 0 where it named none."""
    return (error.wait or 0.0) if isinstance(error, LimitedError) else 0.0
