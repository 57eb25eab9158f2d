"""People, channels and commands as Discord writes them.

Source: docs.discord.com/developers: User, Guild Member, Channel.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from tests.stand_ins.discord.rules import Json
from tests.stand_ins.discord.state import (
    ADMINISTRATOR,
    MANAGE_GUILD,
    READ_MESSAGE_HISTORY,
    SEND_MESSAGES,
    USE_APPLICATION_COMMANDS,
    VIEW_CHANNEL,
    Channel,
    Member,
)


def user_payload(number: int, name: str) -> Json:
    return {"id": str(number), "username": name, "discriminator": "0", "avatar": None, "global_name": name}


def member_payload(member: Member) -> Json:
    joined = datetime.fromtimestamp(0, UTC).isoformat()
    user = user_payload(member.id, member.name)
    return {"user": user, "roles": [], "joined_at": joined, "flags": 0, "deaf": False, "mute": False}


def member_permissions(member: Member) -> int:
    usual = VIEW_CHANNEL | SEND_MESSAGES | READ_MESSAGE_HISTORY
    commands = USE_APPLICATION_COMMANDS * member.may_use_commands
    return usual | commands | MANAGE_GUILD * member.manage_guild | ADMINISTRATOR * member.administrator


def channel_payload(channel: Channel) -> Json:
    ids = {"id": str(channel.id), "guild_id": str(channel.guild.id)}
    about = {"type": 0, "name": channel.name, "position": 0, "nsfw": channel.nsfw}
    return {**ids, **about, "permission_overwrites": []}


def numbered(components: list[Json], ids: Iterator[int]) -> list[Json]:
    """Copies with an id each, as Discord gives them."""
    copies = []
    for part in components:
        copy = {**part, "id": part.get("id") or next(ids)}
        if "components" in part:
            copy["components"] = numbered(part["components"], ids)
        for name in ("component", "accessory"):
            if name in part:
                [copy[name]] = numbered([part[name]], ids)
        copies.append(copy)
    return copies
