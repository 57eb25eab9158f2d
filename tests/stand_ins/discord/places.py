"""Events in Discord without the bot: servers, channels and people come and go."""

from tests.stand_ins.discord.gateway import Gateway
from tests.stand_ins.discord.payloads import (
    channel_payload,
    everyone,
    member_payload,
    shown_on_gateway,
    thread_head,
)
from tests.stand_ins.discord.rules import Json
from tests.stand_ins.discord.state import TEXT, THREAD, Channel, Guild, Interaction, Member


class Places(Gateway):
    """Servers with their channels and members."""

    def add_guild(self, name: str) -> Guild:
        """The bot joins a new server; it has no channels yet."""
        guild = Guild(self._new_id(), name)
        self.guilds.append(guild)
        self._emit(guild, "GUILD_CREATE", _joined(self._guild_payload(guild)))
        return guild

    def add_channel(self, guild: Guild, name: str, kind: int = TEXT) -> Channel:
        """Open a channel of some kind, also of one that nobody knows yet."""
        channel = Channel(self._new_id(), guild, name, kind)
        guild.channels.append(channel)
        self.channels[channel.id] = channel
        self._emit(guild, "CHANNEL_CREATE", shown_on_gateway(channel))
        return channel

    def add_thread(self, parent: Channel, name: str, kind: int = THREAD) -> Channel:
        """Open a thread in a channel, or a post in a forum."""
        thread = Channel(self._new_id(), parent.guild, name, kind, parent)
        parent.guild.threads.append(thread)
        self.channels[thread.id] = thread
        if thread.is_seen:
            self._emit(parent.guild, "THREAD_CREATE", channel_payload(thread) | {"newly_created": True})
        return thread

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
        if not channel.is_thread:
            channel.guild.channels.remove(channel)
            self._emit(channel.guild, "CHANNEL_DELETE", shown_on_gateway(channel))
            return
        channel.guild.threads.remove(channel)
        if channel.is_seen:
            self._emit(channel.guild, "THREAD_DELETE", thread_head(channel))

    def channel_changed(self, channel: Channel) -> None:
        """Somebody has changed a channel's or a thread's settings."""
        if not channel.is_thread:
            self._emit(channel.guild, "CHANNEL_UPDATE", shown_on_gateway(channel))
        elif channel.is_seen:
            self._emit(channel.guild, "THREAD_UPDATE", channel_payload(channel))

    def let_view(self, channel: Channel, *, may_view: bool) -> None:
        """A channel is hidden from the bot, or shown to it again, with its threads."""
        channel.may_view = may_view
        self.channel_changed(channel)
        if may_view:
            inside = [t for t in channel.guild.threads if t.parent is channel and not t.archived]
            sync = {"guild_id": str(channel.guild.id), "channel_ids": [str(channel.id)], "members": []}
            self._emit(
                channel.guild, "THREAD_LIST_SYNC", sync | {"threads": [channel_payload(t) for t in inside]}
            )

    def rest_thread(self, thread: Channel, *, locked: bool = False) -> None:
        """A thread is archived; with `locked`, only a moderator wakes it up."""
        thread.archived, thread.locked = True, locked
        self.channel_changed(thread)

    def wake_thread(self, thread: Channel) -> None:
        """A moderator opens a thread again."""
        thread.archived = thread.locked = False
        self.channel_changed(thread)

    def role_changed(self, guild: Guild) -> None:
        """Somebody has changed what everybody may do."""
        self._emit(guild, "GUILD_ROLE_UPDATE", {"guild_id": str(guild.id), "role": everyone(guild)})

    def bot_changed(self, guild: Guild) -> None:
        """Give the bot another role; it hears of that without the intent for members."""
        me = member_payload(Member(self.application_id, guild, "bot"))
        self._emit(guild, "GUILD_MEMBER_UPDATE", me | {"guild_id": str(guild.id)})

    def delete_message(self, message_id: int) -> None:
        """Delete a message; without the messages intent the bot doesn't hear of that."""
        self.messages[message_id].deleted = True

    def kill_token(self, interaction: Interaction) -> None:
        """An interaction's token stops working before its time."""
        interaction.killed = True


def _joined(payload: Json) -> Json:
    """A server that the bot joins says nothing of being available."""
    return {name: value for name, value in payload.items() if name != "unavailable"}
