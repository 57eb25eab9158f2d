"""Permissions: who may use a command, by a server's settings in Discord, and which ones the bot needs.

Discord checks that for commands but never for buttons, so a button that does the same as a command asks here.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

import discord
import structlog
from discord.abc import GuildChannel

from bot.discord_api.place import place_of
from bot.discord_api.trouble import TROUBLE
from bot.domain.errors import NotAllowedHere, PermissionsUnknown

PERMISSIONS_TIMEOUT = 1.5
"""Seconds for one call, of the 3 s within which a press must be answered; the two calls may follow each
other."""
MEMBER_TIMEOUT = 10.0
_ROLE, _USER, _CHANNEL = 1, 2, 3
Rules = dict[tuple[int, int], bool]
"""A server's rules for one command, or for the whole bot, by type and ID."""

NEEDED = {
    "view_channel": "View Channel",
    "send_messages": "Send Messages",
    "send_messages_in_threads": "Send Messages in Threads",
    "read_message_history": "Read Message History",
}
"""The permissions the bot needs: discord.py's names, and Discord's own."""
PERMISSIONS = discord.Permissions(**dict.fromkeys(NEEDED, True))

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class CommandPermissions:
    """Asks Discord about permissions and keeps nothing, so that a change counts immediately."""

    def __init__(self, bot: discord.Client, command_id: Callable[[str], int | None]) -> None:
        self._bot = bot
        self._command_id = command_id

    async def require(self, interaction: discord.Interaction, command: str) -> None:
        """Raise NotAllowedHere if the person may not use the command here, PermissionsUnknown if unclear."""
        if interaction.permissions.administrator:
            return
        if not interaction.permissions.use_application_commands:
            raise NotAllowedHere
        server, place = interaction.guild_id or 0, place_of(interaction)
        member = interaction.user
        # The IDs that Discord sent: `roles` leaves out those that are not in the cache.
        roles = list(member._roles) if isinstance(member, discord.Member) else []  # noqa: SLF001
        places = list(filter(None, (place.id, place.parent)))
        if not may_use(await self._rules(server, command), server, member.id, roles, places):
            raise NotAllowedHere

    async def may_still(self, server: int, user: int, channel: int, command: str) -> bool:
        """Return whether somebody may still use the command where they did something.

        Raises PermissionsUnknown.
        """
        try:
            async with asyncio.timeout(MEMBER_TIMEOUT):
                guild = self._bot.get_guild(server) or await self._bot.fetch_guild(server)
                member = await guild.fetch_member(user)
        except discord.NotFound:  # they have left
            return False
        except TROUBLE as error:
            log.warning("rights.unknown", error=type(error).__name__)
            raise PermissionsUnknown from None
        if member.guild_permissions.administrator:
            return True
        place = guild.get_channel_or_thread(channel)
        if not _permissions_in(place, member, guild.me).use_application_commands:
            return False
        parent = place.parent_id if isinstance(place, discord.Thread) else 0
        roles = list(member._roles)  # noqa: SLF001  # as Discord sent them
        places = list(filter(None, (channel, parent)))
        return may_use(await self._rules(server, command), server, user, roles, places)

    async def _rules(self, server: int, command: str) -> list[Rules]:
        """Return the rules for the command, then those for the bot as a whole."""
        bot, id_ = self._bot.application_id, self._command_id(command)
        if bot is None or id_ is None:
            raise PermissionsUnknown
        try:
            async with asyncio.timeout(PERMISSIONS_TIMEOUT):
                return list(await asyncio.gather(*(self._set(bot, server, of) for of in (id_, bot))))
        except TROUBLE as error:
            log.warning("rights.unknown", error=type(error).__name__)
            raise PermissionsUnknown from None

    async def _set(self, bot: int, server: int, of: int) -> Rules:
        try:
            found = await self._bot.http.get_application_command_permissions(bot, server, of)
        except discord.NotFound:  # nothing is set
            return {}
        return {(int(r["type"]), int(r["id"])): bool(r["permission"]) for r in found["permissions"]}


def _permissions_in(
    place: GuildChannel | discord.Thread | None, member: discord.Member, me: discord.Member | None
) -> discord.Permissions:
    """Return somebody's permissions in a channel; in the server if the bot can't see the channel's own."""
    channel = place.parent if isinstance(place, discord.Thread) else place
    is_seen = channel is not None and me is not None and channel.permissions_for(me).view_channel
    return channel.permissions_for(member) if channel is not None and is_seen else member.guild_permissions


def may_use(
    levels: Iterable[Rules], server: int, user: int, roles: Sequence[int], places: Sequence[int]
) -> bool:
    """Return whether the `levels` let somebody use the command in the first of `places`.

    `levels`: the command's rules before the bot's. `places`: a channel, or a thread and its channel. At each
    level the more specific rule counts; among roles, one that allows is enough (Discord's page on permissions
    of application commands).
    """
    everyone, everywhere = server, server - 1
    person = place = None
    for said in levels:
        of_roles = {said[_ROLE, role] for role in roles if role != everyone and (_ROLE, role) in said}
        steps = (said.get((_USER, user)), max(of_roles, default=None), said.get((_ROLE, everyone)))
        person = _first(person, *steps)
        place = _first(place, *(said.get((_CHANNEL, where)) for where in (*places, everywhere)))
    return person is not False and place is not False


def _first(*answers: bool | None) -> bool | None:
    return next((answer for answer in answers if answer is not None), None)


def may_write(interaction: discord.Interaction, channel: int) -> bool | None:
    """Whether the bot may write in a channel or thread: here as Discord says, elsewhere as it can see.

    None: it cannot tell.
    """
    place, server = place_of(interaction), interaction.client.get_guild(interaction.guild_id or 0)
    if channel == place.id:
        has, in_thread = interaction.app_permissions, bool(place.parent)
    else:
        found = server.get_channel_or_thread(channel) if server is not None else None
        in_thread = isinstance(found, discord.Thread)
        if server is None or found is None or getattr(found, "parent", found) is None:
            return None
        has = found.permissions_for(server.me)
    return has.view_channel and (has.send_messages_in_threads if in_thread else has.send_messages)


def invitation(application: int, server: int | None = None) -> str:
    """Return a link that adds the application's bot to a server, preselected if one is given."""
    guild = discord.Object(server) if server is not None else discord.utils.MISSING
    return discord.utils.oauth_url(application, permissions=PERMISSIONS, guild=guild)
