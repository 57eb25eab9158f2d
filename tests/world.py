"""A server in simcord with a channel, a moderator and members, and what a person would see there."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import discord
import simcord
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle, GuildHandle
from simcord.results import InteractionResult

from tests.conftest import CANARY


@dataclass(frozen=True)
class Seen:
    """One state of a message, in the order in which people saw them: seconds since the virtual start."""

    at: float
    message: int
    channel: int
    text: str
    pinged: frozenset[int]
    nonce: str | None


class World:
    """One server, `#general` and `#art`, a moderator, two members."""

    def __init__(self, env: simcord.Env) -> None:
        self.env = env
        self.guild: GuildHandle = env.create_guild()
        self.general: ChannelHandle = self.guild.create_text_channel("general")
        self.art: ChannelHandle = self.guild.create_text_channel("art")
        manager = self.guild.create_role("mods", permissions=discord.Permissions(manage_guild=True))
        self.mod: MemberActor = self.guild.add_member(env.create_user("mod"), roles=[manager])
        self.ana: MemberActor = self.guild.add_member(env.create_user("ana"))
        self.ben: MemberActor = self.guild.add_member(env.create_user("ben"))

    async def set_key(self, key: str = CANARY) -> InteractionResult:
        """What a moderator does once."""
        modal = await self.mod.slash(self.general, "key set")
        return await self.mod.submit_modal(modal, {"key": key})

    async def reload(
        self, who: MemberActor | None = None, model: str = "sdxl-turbo", where: ChannelHandle | None = None
    ) -> InteractionResult:
        """Type /reload."""
        return await (who or self.ana).slash(where or self.general, "reload", model_id=model)

    def seen(self) -> list[Seen]:
        """Every state of every public message that was shown, thinking ones left out."""
        shown = []
        for kind, name, payload in self.env.backend.transcript:
            if kind != "GATEWAY" or name not in ("MESSAGE_CREATE", "MESSAGE_UPDATE") or payload.get("flags", 0) & 64:
                continue
            text = payload.get("content") or _texts(payload.get("components", []))
            if text:
                shown.append(self._seen(name, payload, text))
        return shown

    def _seen(self, name: str, payload: dict[str, Any], text: str) -> Seen:
        stamp = payload.get("edited_timestamp") or payload["timestamp"]
        at = (datetime.fromisoformat(stamp) - datetime.fromisoformat("2026-01-01T00:00:00+00:00")).total_seconds()
        pinged: frozenset[int] = frozenset()
        if name == "MESSAGE_CREATE":
            stored = self.env.backend.get_message(int(payload["channel_id"]), int(payload["id"]))
            pinged = frozenset(int(user) for user in stored.ping_user_ids)
        return Seen(at, int(payload["id"]), int(payload["channel_id"]), text, pinged, payload.get("nonce"))

    def pings(self) -> list[Seen]:
        """The messages that really notified somebody."""
        return [seen for seen in self.seen() if seen.pinged]


def _texts(components: list[dict[str, Any]]) -> str:
    lines = []
    for component in components:
        if component["type"] == 10:
            lines.append(component["content"])
        lines.append(_texts(component.get("components", [])))
    return "\n".join(filter(None, lines))
