"""Reads from an interaction's own event where it happened.

discord.py 2.7.1 prefers its cache, in which Discord hides the channels that the bot may not view (since
November 2026). Otherwise it builds a channel from the event, but none if it doesn't know the type; and if a
field is missing, the whole interaction is lost. An interaction is never obfuscated (Discord: Channel).
"""

from typing import Any, NamedTuple

import discord

_KNOWN_TYPES = frozenset(kind.value for kind in discord.ChannelType)
_THREADS = ("news_thread", "public_thread", "private_thread")
_THREAD_TYPES = frozenset(kind.value for kind in discord.ChannelType if kind.name in _THREADS)
_PLACE = "place"


class Place(NamedTuple):
    """A channel or a thread."""

    id: int
    """Its ID; 0 if the event doesn't say."""
    parent: int
    """The channel of a thread; 0 for a channel."""
    is_age_restricted: bool
    """Whether the event says so; for a thread, only its channel does."""
    is_of_known_type: bool


class PlacedInteraction(discord.Interaction[Any]):
    """An interaction whose place is read from its event alone; `channel` is always None."""

    def _from_data(self, data: Any) -> None:
        without: Any = {**data, "channel": {}}
        super()._from_data(without)
        self.extras[_PLACE] = place = _read(data)
        if not place.is_of_known_type:
            self.client.unknown_places.add(place.id)

    @property
    def channel_id(self) -> int | None:
        """The ID of the channel or thread."""
        return place_of(self).id or None


def place_of(interaction: discord.Interaction[Any]) -> Place:
    """Return where it happened."""
    place: Place = interaction.extras[_PLACE]
    return place


def is_age_restricted(interaction: discord.Interaction[Any]) -> bool:
    """Return whether it happened in an age-restricted channel, or in a thread of one the bot may view."""
    place = place_of(interaction)
    parent = interaction.guild.get_channel(place.parent) if interaction.guild is not None else None
    return place.is_age_restricted or bool(getattr(parent, "nsfw", False))


def _read(event: Any) -> Place:
    channel = event.get("channel") or {}
    kind = channel.get("type")
    return Place(
        int(event.get("channel_id") or channel.get("id") or 0),
        int(channel.get("parent_id") or 0) if kind in _THREAD_TYPES else 0,
        bool(channel.get("nsfw")),
        kind is None or kind in _KNOWN_TYPES,
    )
