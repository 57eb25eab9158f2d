"""REST: by an interaction's token: its first response, follow-ups, messages.

Source: docs.discord.com/developers/interactions/receiving-and-responding.
"""

import itertools

from tests.stand_ins.discord.command_rules import CHOICES, broken_choices
from tests.stand_ins.discord.component_rules import (
    CALLBACK,
    DEFERRAL,
    IN_MODAL,
    INSIDE_MODAL,
    MESSAGE,
    MODAL,
    broken_components,
    broken_whole,
)
from tests.stand_ins.discord.messages import Messages
from tests.stand_ins.discord.payloads import numbered
from tests.stand_ins.discord.rules import Json, RefusedError, broken, insist
from tests.stand_ins.discord.state import (
    AUTOCOMPLETE,
    COMMAND_CALL,
    COMPONENTS_V2,
    EPHEMERAL,
    LOADING,
    MODAL_SUBMIT,
    PRESS,
    SILENT,
    SUPPRESS_EMBEDS,
    Answer,
    Interaction,
    Message,
    Request,
    now,
)


class ByToken(Messages):
    """A token is good for one first answer, within 3 s, and for 15 minutes of messages."""

    def _callback(self, request: Request, id: str, token: str) -> Answer:  # noqa: A002  # as in the path
        interaction = self.interactions.get(int(id))
        if interaction is None or interaction.token != token:
            raise RefusedError(404, 10062, "Unknown interaction")
        if interaction.callback_type is not None:
            raise RefusedError(400, 40060, "Interaction has already been acknowledged.")
        if now() - interaction.at > self.answer_seconds:
            raise RefusedError(404, 10062, "Unknown interaction")
        insist(broken("", request.body, CALLBACK))
        kind, data = request.body["type"], request.body.get("data") or {}
        resource = self._take_answer(request, interaction, kind, data)
        interaction.callback_type = kind
        interaction.answered.set()
        if request.query.get("with_response", "").lower() not in ("1", "true"):
            return 204, None
        about: Json = {"id": id, "type": interaction.kind}
        if interaction.message_id is not None:
            about["response_message_id"] = str(interaction.message_id)
            about["response_message_loading"] = kind == 5
            about["response_message_ephemeral"] = interaction.ephemeral
        made = {"resource": resource} if "message" in resource else {}
        return 200, {"interaction": about, **made}

    def _take_answer(self, request: Request, interaction: Interaction, kind: int, data: Json) -> Json:
        """Carry out the first response; return the result."""
        in_place = () if interaction.source is None else (6, 7)
        fitting = {
            COMMAND_CALL: (4, 5, 9),
            PRESS: (4, 5, 9, *in_place),
            AUTOCOMPLETE: (8,),
            MODAL_SUBMIT: (4, 5, *in_place),
        }
        if kind not in fitting[interaction.kind]:
            insist([("type", f"{kind} does not answer an interaction of type {interaction.kind}")])
        resource: Json = {"type": kind}
        if kind in (4, 5, 6, 7):
            message = self._answer_with_message(request, interaction, kind, data)
            if kind in (4, 7):
                resource["message"] = self._message_payload(message)
            interaction.message_id, interaction.ephemeral = message.id, message.ephemeral
        elif kind == 8:
            insist(broken("data", data, CHOICES))
            insist(broken_choices("data.choices", data["choices"]))
            interaction.choices = data["choices"]
        else:
            insist(broken("data", data, MODAL))
            insist(broken_components("data.components", data["components"], IN_MODAL, INSIDE_MODAL))
            insist(broken_whole(data["components"], v2=True))
            interaction.modal = {**data, "components": numbered(data["components"], itertools.count(1))}
        return resource

    def _answer_with_message(
        self, request: Request, interaction: Interaction, kind: int, data: Json
    ) -> Message:
        """Make a new message (4, 5), or edit the pressed one (6, 7); later (5, 6) or immediately (4, 7)."""
        if kind == 6:
            insist([("data", "is not for a deferral")] if data else [])
        if interaction.source is not None and kind in (6, 7):
            message = interaction.source
        else:
            message = Message(self._new_id(), interaction.channel.id, interaction)
        if kind == 5:
            insist(broken("data", data, DEFERRAL))
            insist([("data.flags", "only EPHEMERAL")] if data.get("flags", 0) & ~EPHEMERAL else [])
            message.flags = LOADING | data.get("flags", 0)
            message.history.append((now(), self._message_payload(message)))
        elif kind in (4, 7):
            silent = SUPPRESS_EMBEDS | COMPONENTS_V2 | ((EPHEMERAL | SILENT) if kind == 4 else 0)
            self._write(request, message, data, MESSAGE, silent, pings=kind == 4)
        self.messages[message.id] = message
        return message

    def _hook(self, app: str, token: str) -> Interaction:
        known = (i for i in self.interactions.values() if i.token == token)
        interaction = next(known, None)
        if interaction is None or app != str(self.application_id):
            raise RefusedError(404, 10015, "Unknown Webhook")
        if interaction.killed or now() - interaction.at > self.token_seconds:
            raise RefusedError(401, 50027, "Invalid Webhook Token")
        if interaction.callback_type is None:
            raise RefusedError(404, 10015, "Unknown Webhook")
        if interaction.channel.deleted:
            raise RefusedError(404, 10003, "Unknown Channel")
        return interaction

    def _by_token(self, app: str, token: str, message: str) -> Message:
        interaction = self._hook(app, token)
        number = interaction.message_id if message == "@original" else int(message)
        found = self.messages.get(number or 0)
        its_own = found is not None and (
            found.interaction is interaction or found.id == interaction.message_id
        )
        if found is None or found.deleted or not its_own:
            raise RefusedError(404, 10008, "Unknown Message")
        return found

    def _follow_up(self, request: Request, app: str, token: str) -> Answer:
        interaction = self._hook(app, token)
        self._wake_up(interaction.channel)
        original = self.messages.get(interaction.message_id or 0)
        flags = SILENT | SUPPRESS_EMBEDS | COMPONENTS_V2
        if original is not None and original.thinking and not original.deleted:
            # Discord resolves the deferral with it: like an edit, it keeps who sees it, and pings nobody.
            self._write(request, original, request.body, MESSAGE, flags | EPHEMERAL, pings=False)
            return 200, self._message_payload(original)
        message = Message(self._new_id(), interaction.channel.id, interaction)
        self._write(request, message, request.body, MESSAGE, flags | EPHEMERAL, pings=True)
        self.messages[message.id] = message
        return 200, self._message_payload(message)
