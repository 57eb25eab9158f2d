"""What happens in Discord without the bot: servers, channels and people come and go."""

from tests.stand_ins.discord.gateway import Gateway
from tests.stand_ins.discord.payloads import channel_payload
from tests.stand_ins.discord.rules import Json
from tests.stand_ins.discord.state import Channel, Guild, Interaction, Member


class Places(Gateway):
    """Servers with their channels and members."""

    def add_guild(self, name: str) -> Guild:
        """The bot joins a new server; it has no channels yet."""
        guild = Guild(self._new_id(), name)
        self.guilds.append(guild)
        self._emit(guild, "GUILD_CREATE", _joined(self._guild_payload(guild)))
        return guild

    def add_channel(self, guild: Guild, name: str) -> Channel:
        """Open a text channel."""
        channel = Channel(self._new_id(), guild, name)
        guild.channels.append(channel)
        self.channels[channel.id] = channel
        self._emit(guild, "CHANNEL_CREATE", channel_payload(channel))
        return channel

    def add_member(self, guild: Guild, name: str, *, manage_guild: bool = False) -> Member:
        """Somebody joins."""
        member = Member(self._new_id(), guild, name, manage_guild)
        guild.members.append(member)
        return member

    def remove_guild(self, guild: Guild) -> None:
        """The bot is removed from a server."""
        guild.removed = True
        self.guilds.remove(guild)
        self._emit(guild, "GUILD_DELETE", {"id": str(guild.id)})

    def add_back(self, guild: Guild) -> None:
        """The bot is invited again."""
        guild.removed = False
        self.guilds.append(guild)
        self._emit(guild, "GUILD_CREATE", _joined(self._guild_payload(guild)))

    def guild_outage(self, guild: Guild) -> None:
        """The server is unavailable for a while."""
        guild.outage = True
        self._emit(guild, "GUILD_DELETE", {"id": str(guild.id), "unavailable": True})

    def delete_channel(self, channel: Channel) -> None:
        """Somebody deletes a channel."""
        channel.deleted = True
        channel.guild.channels.remove(channel)
        self._emit(channel.guild, "CHANNEL_DELETE", channel_payload(channel))

    def channel_changed(self, channel: Channel) -> None:
        """Somebody has changed a channel's settings."""
        self._emit(channel.guild, "CHANNEL_UPDATE", channel_payload(channel))

    def delete_message(self, message_id: int) -> None:
        """Somebody deletes a message; without the messages intent the bot is not told."""
        self.messages[message_id].deleted = True

    def kill_token(self, interaction: Interaction) -> None:
        """An interaction's token stops working before its time."""
        interaction.killed = True


def _joined(payload: Json) -> Json:
    """A server that the bot joins says nothing of being available."""
    return {name: value for name, value in payload.items() if name != "unavailable"}
