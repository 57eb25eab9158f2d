"""People's actions: they type commands, press buttons, choose, and fill in forms.

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

Filled = str | list[str] | bool | None
"""The content of a modal's field: a text, the choices, whether it is ticked."""
_TEXT_INPUT, _RADIO_GROUP, _CHECKBOX_GROUP, _CHECKBOX = 4, 21, 22, 23


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
        """Type into an option; return the choices. Raises TimeoutError if none came."""
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
            if channel.kind not in menu.get("channel_types", (channel.kind,)):
                raise LookupError(f"the menu has no channel of type {channel.kind}")
            permitted = {
                "permissions": str(member_permissions(member)),
                "app_permissions": str(channel.app_permissions),
            }
            data["resolved"] = {"channels": {value: _partial(channel) | permitted}}
        return await self._interact(PRESS, member, place, data, wait, message)

    async def submit_modal(
        self, interaction: Interaction, values: dict[str | int, Filled], wait: float = 3.0
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
        """Return the named command, and its group and sub-command."""
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
        """Return the event that the bot gets."""
        member, channel, guild = new.member, new.channel, new.channel.guild
        permitted = {"permissions": str(member_permissions(member))}
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
            "channel": _partial(channel) | permitted,
            "member": member_payload(member) | permitted,
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


def _partial(channel: Channel) -> Json:
    """A channel in an interaction: never obfuscated, and without its overwrites."""
    whole = channel_payload(channel)
    return {name: value for name, value in whole.items() if name != "permission_overwrites"}


def _filled_in(modal: Json, values: dict[str | int, Filled]) -> dict[str | int, Filled]:
    """Return each field's content, by custom_id; only what Discord's client would submit."""
    fields = [part for part in flat(modal["components"]) if part.get("custom_id")]
    keys: list[str | int] = [field["custom_id"] for field in fields]
    filled = {keys[key] if isinstance(key, int) else key: value for key, value in values.items()}
    if unknown := filled.keys() - set(keys):
        raise ValueError(f"the modal has no {unknown}, only {keys}")
    for field in fields:
        value = filled.setdefault(field["custom_id"], _as_it_opens(field))
        if not _may_be_submitted(field, value):
            raise ValueError(f"Discord's client would not submit this value of {field['custom_id']}")
    return filled


def _as_it_opens(field: Json) -> Filled:
    if field["type"] == _TEXT_INPUT:
        return str(field.get("value") or "")
    if field["type"] == _CHECKBOX:
        return bool(field.get("default"))
    chosen = [option["value"] for option in field.get("options", ()) if option.get("default")]
    return next(iter(chosen), None) if field["type"] == _RADIO_GROUP else chosen


def _may_be_submitted(field: Json, value: Filled) -> bool:
    least = 1 if field.get("required", True) else 0
    if field["type"] == _CHECKBOX:
        return isinstance(value, bool)
    known = {option["value"] for option in field.get("options", ())}
    if field["type"] == _RADIO_GROUP:
        return value in known or (value is None and not least)
    if field["type"] == _TEXT_INPUT:
        low, high = field.get("min_length") or least, field.get("max_length") or 4000
        return isinstance(value, str) and low <= len(value) <= high
    low = least if field.get("min_values") is None else field["min_values"]
    high = field.get("max_values") or (len(known) if field["type"] == _CHECKBOX_GROUP else 1)
    is_known = isinstance(value, list) and (not known or set(value) <= known)
    return is_known and isinstance(value, list) and (low <= len(value) <= high or not (value or least))


def _submitted(part: Json, values: dict[str | int, Filled]) -> Json:
    """A component of a modal as it comes back."""
    inner: Json = {"type": part["type"], "id": part["id"]}
    if "custom_id" in part:
        value = values[part["custom_id"]]
        name = "values" if isinstance(value, list) else "value"
        return inner | {"custom_id": part["custom_id"], name: value}
    if "component" in part:
        return inner | {"component": _submitted(part["component"], values)}
    return inner | {"components": [_submitted(nested, values) for nested in part["components"]]}
