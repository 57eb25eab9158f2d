"""Decides whom a message may mention."""

from collections.abc import Iterable

import discord


def only(users: Iterable[int]) -> discord.AllowedMentions:
    """Mention only these people, whatever the text says: a new message notifies them, an edit nobody."""
    people = [discord.Object(user) for user in users]
    return discord.AllowedMentions(everyone=False, roles=False, replied_user=False, users=people)
