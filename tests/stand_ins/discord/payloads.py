"""People, channels and commands as Discord writes them.

Source: docs.discord.com/developers: User, Guild Member, Channel.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tests.stand_ins.discord.rules import Json
from tests.stand_ins.discord.state import (
    ADMINISTRATOR,
    BOTS_RIGHTS,
    FORUM,
    HIDDEN_NAME,
    MANAGE_GUILD,
    NEWS,
    OBFUSCATED,
    READ_MESSAGE_HISTORY,
    SEND_IN_THREADS,
    SEND_MESSAGES,
    STAGE,
    TEXT,
    USE_APPLICATION_COMMANDS,
    VIEW_CHANNEL,
    VOICE,
    Channel,
    Guild,
    Member,
)


def user_payload(number: int, name: str) -> Json:
    about = {"discriminator": "0", "avatar": None, "flags": 0, "public_flags": 0, "primary_guild": None}
    return {"id": str(number), "username": name, "global_name": name, **about}


def member_payload(member: Member) -> Json:
    joined = datetime.fromtimestamp(0, UTC).isoformat()
    user = user_payload(member.id, member.name)
    unset = dict.fromkeys(("avatar", "banner", "communication_disabled_until", "nick", "premium_since"))
    usual = {"flags": 0, "deaf": False, "mute": False, "pending": False}
    return {"user": user, "roles": [], "joined_at": joined, **usual, **unset}


def guild_payload(guild: Guild) -> Json:
    """Return the part of a server that gateway and REST share."""
    return {
        "id": str(guild.id),
        "name": guild.name,
        "owner_id": "1",
        "preferred_locale": guild.locale,
        "roles": [everyone(guild)],
        **_SETTINGS,
        **dict.fromkeys(_UNSET),
        **{name: [] for name in ("emojis", "stickers", "features")},
    }


def everyone(guild: Guild) -> Json:
    """The role of everybody, which gives the bot what it needs."""
    colors = {"primary_color": 0, "secondary_color": None, "tertiary_color": None}
    usual = {"hoist": False, "managed": False, "mentionable": False, "icon": None, "unicode_emoji": None}
    about = {"name": "@everyone", "position": 0, "color": 0, "colors": colors, "flags": 0}
    everyones = BOTS_RIGHTS | USE_APPLICATION_COMMANDS
    return {"id": str(guild.id), "permissions": str(everyones), **about, **usual}


_SETTINGS: Json = {
    "afk_timeout": 300,
    "default_message_notifications": 1,
    "explicit_content_filter": 0,
    "max_members": 25_000_000,
    "max_stage_video_channel_users": 50,
    "max_video_channel_users": 25,
    "mfa_level": 0,
    "nsfw": False,
    "nsfw_level": 0,
    "premium_progress_bar_enabled": False,
    "premium_subscription_count": 0,
    "premium_tier": 0,
    "region": "deprecated",
    "system_channel_flags": 0,
    "verification_level": 0,
    "widget_enabled": False,
}
_UNSET = (
    *("afk_channel_id", "application_id", "banner", "description", "discovery_splash", "home_header", "icon"),
    *("incidents_data", "max_presences", "public_updates_channel_id", "rules_channel_id", "splash"),
    *("safety_alerts_channel_id", "system_channel_id", "vanity_url_code", "widget_channel_id"),
)


def member_permissions(member: Member) -> int:
    usual = VIEW_CHANNEL | READ_MESSAGE_HISTORY | (SEND_MESSAGES | SEND_IN_THREADS) * member.may_send
    commands = USE_APPLICATION_COMMANDS * member.may_use_commands
    return usual | commands | MANAGE_GUILD * member.manage_guild | ADMINISTRATOR * member.administrator


def channel_payload(channel: Channel) -> Json:
    """Return the whole channel, as REST and interactions have it."""
    about = {**_head(channel), "name": channel.name, "flags": 0, "last_message_id": None}
    if channel.is_thread:
        return about | _thread(channel)
    lacking = BOTS_RIGHTS & ~channel.app_permissions
    overwrites = [_everyone_without(channel, lacking)] if lacking else []
    placed = {"position": 0, "parent_id": None, "permission_overwrites": overwrites}
    return {**about, **placed, "nsfw": channel.nsfw, **_of_kind(channel.kind)}


def shown_on_gateway(channel: Channel) -> Json:
    """Return the channel as the gateway shows it: of a hidden one only id, type and position are true."""
    whole = channel_payload(channel)
    if channel.is_seen:
        return whole
    hidden = {"name": HIDDEN_NAME, "flags": OBFUSCATED, "nsfw": False, "topic": None}
    overwrites = [_everyone_without(channel, VIEW_CHANNEL)]
    return {**whole, **hidden, "permission_overwrites": overwrites}


def _head(channel: Channel) -> Json:
    return {"id": str(channel.id), "guild_id": str(channel.guild.id), "type": channel.kind}


def _everyone_without(channel: Channel, permissions: int) -> Json:
    return {"id": str(channel.guild.id), "type": 0, "allow": "0", "deny": str(permissions)}


def _of_kind(kind: int) -> Json:
    written = {"topic": None, "rate_limit_per_user": 0}
    spoken = {"bitrate": 64000, "user_limit": 0, "rtc_region": None, "rate_limit_per_user": 0}
    forum: Json = {"available_tags": [], "default_reaction_emoji": None, "default_sort_order": None}
    kinds: dict[int, Json] = {
        TEXT: written,
        NEWS: written,
        VOICE: spoken,
        STAGE: {**spoken, "topic": None},
        FORUM: {**written, **forum, "default_forum_layout": 0},
    }
    return kinds.get(kind, {})


def _thread(channel: Channel) -> Json:
    metadata = {
        "archived": channel.archived,
        "locked": channel.locked,
        "auto_archive_duration": 1440,
        "archive_timestamp": datetime.fromtimestamp(0, UTC).isoformat(),
    }
    counts: dict[str, Any] = {"message_count": 0, "member_count": 1, "total_message_sent": 0}
    parent = str(channel.parent.id) if channel.parent is not None else None
    return {
        **counts,
        "parent_id": parent,
        "owner_id": "1",
        "rate_limit_per_user": 0,
        "thread_metadata": metadata,
    }


def thread_head(thread: Channel) -> Json:
    """Return what is left of a deleted thread."""
    return _head(thread) | {"parent_id": _thread(thread)["parent_id"]}


def as_shown(components: list[Json], attachments: list[Json]) -> list[Json]:
    """Return copies with all that Discord adds in an answer: missing fields, a picture's address."""
    urls = {f"attachment://{one['filename']}": one for one in attachments}
    copies = []
    for part in components:
        copy = {**_LEFT_OUT.get(part["type"], {}), **part}
        if "items" in part:
            copy["items"] = [_item(item, urls) for item in part["items"]]
        if "default_values" in part:
            copy["default_values"] = [{**one, "id": str(one["id"])} for one in part["default_values"]]
        if "components" in part:
            copy["components"] = as_shown(part["components"], attachments)
        copies.append(copy)
    return copies


_LEFT_OUT: dict[int, Json] = {17: {"accent_color": None, "spoiler": False}}


def _item(item: Json, urls: dict[str, Json]) -> Json:
    url = item["media"]["url"]
    found = urls.get(url, {"id": "1", "url": url, "proxy_url": url})
    media = {name: found[name] for name in ("id", "url", "proxy_url")}
    return {"description": None, "spoiler": False, **item, "media": media}


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
