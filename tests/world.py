"""A server in simcord with a channel, a moderator and members, and a person's view of it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import discord
import simcord
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle
from simcord.interactions import base_payload
from simcord.results import InteractionResult, to_discord_message

from tests import as_read
from tests.stand_ins.discord import flat

CANARY = "canary-K3y-0123456789abcdef"
START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
"""When simcord's virtual time begins."""
HOUR, DAY = 3600.0, 86400.0
_EPHEMERAL = 64
_BUTTON, _TEXT_DISPLAY, _GALLERY = 2, 10, 12


@dataclass(frozen=True)
class Seen:
    """One state of a message, in the order in which people saw them; `at` in seconds since START."""

    at: float
    message: int
    channel: int
    text: str
    pinged: frozenset[int]

    @property
    def word(self) -> str:
        """The state word, without its markup."""
        return self.text.split("**")[1] if self.text.startswith("**") else ""


class World:
    """One server, `#general` and `#art`, a moderator, two members."""

    def __init__(self, env: simcord.Env) -> None:
        self.env = env
        self.guild = env.create_guild()
        self.general = self.guild.create_text_channel("general")
        self.art = self.guild.create_text_channel("art")
        self.managers = self.guild.create_role("mods", permissions=discord.Permissions(manage_guild=True))
        self.mod = self.guild.add_member(env.create_user("mod"), roles=[self.managers])
        self.ana = self.guild.add_member(env.create_user("ana"))
        self.ben = self.guild.add_member(env.create_user("ben"))

    async def pass_time(self, seconds: float) -> None:
        """Move the clock; simcord gives the bot 2 s of real time for that, we give a busy machine more."""
        until = self.env.now() + timedelta(seconds=seconds)
        for tries_left in reversed(range(10)):
            try:
                await self.env.advance_time((until - self.env.now()).total_seconds())
            except TimeoutError:
                if not tries_left:
                    raise
            else:
                return

    async def days(self, count: int) -> None:
        """Let days pass: the bot is awake for the last three hours of each, as on a machine that sleeps."""
        for _ in range(count):
            self.env.backend.advance_clock(DAY - 3 * HOUR)
            await self.pass_time(3 * HOUR)

    async def hours(self, count: int) -> None:
        """Let hours pass, with the bot awake."""
        for _ in range(count):
            await self.pass_time(HOUR)

    async def set_key(self, key: str = CANARY) -> InteractionResult:
        """Do what a moderator does once: set the key."""
        modal = await self.mod.slash(self.general, "key set")
        return await self.mod.submit_modal(modal, {"key": key})

    async def remove_key(self) -> InteractionResult:
        """Request it, and press the button of the question."""
        question = await self.mod.slash(self.general, "key remove")
        assert question.response is not None
        return await self.mod.click(question.response.message, label="Delete the key")

    async def reload(
        self, who: MemberActor | None = None, model: str = "sdxl-turbo", where: ChannelHandle | None = None
    ) -> InteractionResult:
        """Type /reload."""
        return await (who or self.ana).slash(where or self.general, "reload", model_id=model)

    async def press(self, who: MemberActor, label: str, seen: Seen | None = None) -> InteractionResult:
        """Press a button of the newest reply, or of another message."""
        return await who.click(self.message(seen or self.last()), label=label)

    def buttons(self, seen: Seen | None = None) -> list[str]:
        """Return the current button labels of the newest reply, or of another message."""
        shown = seen or self.last()
        message = self.env.backend.get_message(shown.channel, shown.message)
        return [str(part["label"]) for part in flat(message.components) if part["type"] == _BUTTON]

    def pictures(self, seen: Seen | None = None) -> list[dict[str, Any]]:
        """Return the current pictures in the newest reply, or in another message."""
        shown = seen or self.last()
        message = self.env.backend.get_message(shown.channel, shown.message)
        galleries = [part for part in flat(message.components) if part["type"] == _GALLERY]
        return [item for gallery in galleries for item in gallery["items"]]

    def message(self, seen: Seen) -> discord.Message:
        """The message of something seen."""
        return to_discord_message(self.env, self.env.backend.get_message(seen.channel, seen.message))

    def reload_event(self, who: MemberActor, model: str = "sdxl-turbo") -> dict[str, Any]:
        """The gateway event of a /reload, for what simcord's `slash` cannot do: in parallel, or twice."""
        [command] = [c for c in self.env.backend.commands[None].values() if c["name"] == "reload"]
        option = {"type": 3, "name": "model_id", "value": model}
        _, event = base_payload(
            self.env.backend,
            type=2,
            channel_id=self.general.id,
            guild_id=self.guild.id,
            user_id=who.id,
            data={"id": command["id"], "name": "reload", "type": 1, "options": [option]},
        )
        return event

    def deliver(self, event: dict[str, Any]) -> None:
        """Hand an event to the bot, without waiting for the result."""
        self.env.backend.emit("INTERACTION_CREATE", event)

    def seen(self) -> list[Seen]:
        """Every state of every public message that was shown, thinking ones left out."""
        shown = []
        for kind, name, payload in self.env.backend.transcript:
            created = name == "MESSAGE_CREATE"
            if kind != "GATEWAY" or not (created or name == "MESSAGE_UPDATE"):
                continue
            text = as_read(payload.get("content") or texts(payload.get("components", [])))
            if text and not payload.get("flags", 0) & _EPHEMERAL:
                shown.append(self._seen(payload, text, created=created))
        return shown

    def _seen(self, payload: dict[str, Any], text: str, *, created: bool) -> Seen:
        stamp = datetime.fromisoformat(payload.get("edited_timestamp") or payload["timestamp"])
        channel, message = int(payload["channel_id"]), int(payload["id"])
        pinged = self.env.backend.get_message(channel, message).ping_user_ids if created else []
        return Seen(stamp.timestamp() - START, message, channel, text, frozenset(map(int, pinged)))

    def pings(self) -> list[Seen]:
        """The messages that really notified somebody."""
        return [seen for seen in self.seen() if seen.pinged]

    def replies(self) -> list[Seen]:
        """The states of the replies, without the pings."""
        return [seen for seen in self.seen() if not seen.pinged]

    def last(self) -> Seen:
        """Return how the newest reply looks."""
        return self.replies()[-1]


def said(result: InteractionResult) -> str:
    """Return what only the person who ran the command sees."""
    assert result.response is not None
    assert result.response.ephemeral
    return as_read(result.response.content)


def texts(components: list[dict[str, Any]]) -> str:
    """All text of a Components V2 message, in order."""
    lines = [part["content"] for part in components if part["type"] == _TEXT_DISPLAY]
    lines += [texts(part["components"]) for part in components if "components" in part]
    return "\n".join(filter(None, lines))
