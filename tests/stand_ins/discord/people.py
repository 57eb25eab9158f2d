"""What people do: they type commands, press buttons, choose, and fill in forms.

Source: docs.discord.com/developers/interactions/receiving-and-responding.
"""

import asyncio
import contextlib
import secrets

from tests.stand_ins.discord.component_rules import flat
from tests.stand_ins.discord.messages import Messages
from tests.stand_ins.discord.payloads import channel_payload, member_payload, member_permissions
from tests.stand_ins.discord.rules import Json
from tests.stand_ins.discord.state import (
    AUTOCOMPLETE,
    COMMAND_CALL,
    MODAL_SUBMIT,
    MOST_UPLOAD,
    PRESS,
    Channel,
    Interaction,
    Member,
    Message,
    now,
)


class People(Messages):
    """Each sends an interaction to the bot, and waits a while for its first answer."""

    async def slash(
        self, member: Member, channel: Channel, command: str, options: Json | None = None, wait: float = 3.0
    ) -> Interaction:
        """Type a command ("key set" for a sub-command), and wait a while for the first answer."""
        data = self._invocation(command, options or {})
        return await self._interact(COMMAND_CALL, member, channel, data, wait)

    async def autocomplete(
        self, member: Member, channel: Channel, command: str, option: str, text: str
    ) -> list[Json]:
        """Type into an option; answers the choices. Raises TimeoutError where none came."""
        data = self._invocation(command, {option: text}, focused=option)
        interaction = await self._interact(AUTOCOMPLETE, member, channel, data, self.answer_seconds)
        if interaction.choices is None:
            raise TimeoutError("no choices came")
        return interaction.choices

    async def press(self, member: Member, message: Message, label: str, wait: float = 3.0) -> Interaction:
        """Press a button of a message."""
        [button] = [part for part in flat(message.components) if part.get("label") == label]
        data = {"custom_id": button["custom_id"], "component_type": 2, "id": button["id"]}
        return await self._interact(PRESS, member, self.channels[message.channel_id], data, wait, message)

    async def choose(
        self, member: Member, message: Message, value: str, custom_id: str = "", wait: float = 3.0
    ) -> Interaction:
        """Choose in a menu of a message: an option's value, or a channel's id."""
        menus = [part for part in flat(message.components) if part["type"] in (3, 8)]
        [menu] = [part for part in menus if custom_id in ("", part["custom_id"])]
        kind, place = menu["type"], self.channels[message.channel_id]
        if kind == 3 and value not in [option["value"] for option in menu["options"]]:
            raise LookupError(f"the menu has no {value}")
        data = {"custom_id": menu["custom_id"], "component_type": kind, "id": menu["id"], "values": [value]}
        if kind == 8:
            channel = self.channels[int(value)]
            rights = str(member_permissions(member))
            data["resolved"] = {"channels": {value: channel_payload(channel) | {"permissions": rights}}}
        return await self._interact(PRESS, member, place, data, wait, message)

    async def submit_modal(
        self, interaction: Interaction, values: dict[str | int, str], wait: float = 3.0
    ) -> Interaction:
        """Fill in the modal that answered an interaction, by custom_id or position, and submit it."""
        modal = interaction.modal
        if modal is None:
            raise ValueError("it was not answered with a modal")
        filled = _filled_in(modal, values)
        parts = [_submitted(part, filled) for part in modal["components"] if part["type"] != 10]
        data = {"custom_id": modal["custom_id"], "components": parts}
        who, where, source = interaction.member, interaction.channel, interaction.source
        return await self._interact(MODAL_SUBMIT, who, where, data, wait, source)

    def deliver(self, interaction: Interaction) -> None:
        """Send an interaction's event (once more: it happens that one comes twice)."""
        self._emit(interaction.channel.guild, "INTERACTION_CREATE", interaction.event)

    def _invocation(self, command: str, values: Json, focused: str | None = None) -> Json:
        nodes = self._nodes(command)
        known = {option["name"]: option for option in nodes[-1].get("options", [])}
        missing = {name for name, o in known.items() if o.get("required") and focused is None} - values.keys()
        if values.keys() - known.keys() or missing:
            raise LookupError(f"{command!r} takes {sorted(known)}, not {sorted(values)}")
        options = [{"type": known[n]["type"], "name": n, "value": v} for n, v in values.items()]
        for option in options:
            if option["name"] == focused:
                option["focused"] = True
        for node in reversed(nodes[1:]):
            options = [{"type": node["type"], "name": node["name"], "options": options}]
        return {"id": nodes[0]["id"], "name": nodes[0]["name"], "type": 1, "options": options}

    def _nodes(self, command: str) -> list[Json]:
        """The command that is meant, and its group and sub-command."""
        root, *rest = command.split()
        path = [next((c for c in self.commands if c["name"] == root), None)]
        for name in rest:
            path.append(next((o for o in (path[-1] or {}).get("options", []) if o["name"] == name), None))
        if None in path:
            raise LookupError(f"the bot has registered no command {command!r}")
        return [node for node in path if node is not None]

    async def _interact(
        self,
        kind: int,
        member: Member,
        channel: Channel,
        data: Json,
        wait: float,
        source: Message | None = None,
    ) -> Interaction:
        new = Interaction(
            self._new_id(), secrets.token_urlsafe(60), kind, member, channel, now(), source=source
        )
        self.interactions[new.id] = new
        new.event = self._event(new, data)
        self.deliver(new)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await new.answered.wait()
        return new

    def _event(self, new: Interaction, data: Json) -> Json:
        """What the bot gets of it."""
        member, channel, guild = new.member, new.channel, new.channel.guild
        rights = {"permissions": str(member_permissions(member))}
        event: Json = {
            "id": str(new.id),
            "application_id": str(self.application_id),
            "type": new.kind,
            "token": new.token,
            "version": 1,
            "data": data,
            "guild_id": str(guild.id),
            "guild": {"id": str(guild.id), "locale": guild.locale, "features": []},
            "channel_id": str(channel.id),
            "channel": channel_payload(channel) | rights,
            "member": member_payload(member) | rights,
            "app_permissions": str(channel.app_permissions),
            "locale": member.locale,
            "guild_locale": guild.locale,
            "entitlements": [],
            "authorizing_integration_owners": {"0": str(guild.id)},
            "context": 0,
            "attachment_size_limit": MOST_UPLOAD,
        }
        if new.source is not None:
            event["message"] = self._message_payload(new.source)
        return event


def _filled_in(modal: Json, values: dict[str | int, str]) -> dict[str | int, str]:
    """What stands in each text box, by custom_id; only what Discord's client would submit."""
    boxes = [part for part in flat(modal["components"]) if part["type"] == 4]
    keys: list[str | int] = [box["custom_id"] for box in boxes]
    filled = {keys[key] if isinstance(key, int) else key: value for key, value in values.items()}
    if unknown := filled.keys() - set(keys):
        raise ValueError(f"the modal has no {unknown}, only {keys}")
    for box in boxes:
        value = filled.setdefault(box["custom_id"], box.get("value") or "")
        low = box.get("min_length") or (1 if box.get("required", True) else 0)
        if not low <= len(value) <= (box.get("max_length") or 4000):
            raise ValueError(f"Discord's client would not submit this value of {box['custom_id']}")
    return filled


def _submitted(part: Json, values: dict[str | int, str]) -> Json:
    """A component of a modal as it comes back."""
    if part["type"] == 4:
        return {
            "type": 4,
            "id": part["id"],
            "custom_id": part["custom_id"],
            "value": values[part["custom_id"]],
        }
    inner: Json = {"type": part["type"], "id": part["id"]}
    if "component" in part:
        return inner | {"component": _submitted(part["component"], values)}
    return inner | {"components": [_submitted(nested, values) for nested in part["components"]]}
