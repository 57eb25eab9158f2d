"""REST: by channel, with the bot's own token and its permissions there.

Source: docs.discord.com/developers/resources/message (Create Message; nonce).
"""

import math
from typing import Any

from tests.stand_ins.discord.component_rules import CHANNEL_MESSAGE, REFERENCE
from tests.stand_ins.discord.messages import Messages
from tests.stand_ins.discord.rules import Json, RefusedError, broken, insist
from tests.stand_ins.discord.state import (
    COMPONENTS_V2,
    SILENT,
    SUPPRESS_EMBEDS,
    TAKE_MESSAGES,
    Answer,
    Channel,
    Message,
    Request,
    now,
)


class ByChannel(Messages):
    """New messages, which may be repeated unless they have a nonce."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._nonces: dict[str, tuple[float, Message]] = {}

    def _channel(self, number: str) -> Channel:
        found = self.channels.get(int(number))
        if found is None or found.deleted:
            raise RefusedError(404, 10003, "Unknown Channel")
        if found.guild.removed or not found.is_seen:
            raise RefusedError(403, 50001, "Missing Access")
        return found

    def _by_channel(self, channel: str, message: str) -> Message:
        where = self._channel(channel)
        found = self.messages.get(int(message)) if message.isdigit() else None
        if found is None or found.deleted or found.ephemeral or found.channel_id != where.id:
            raise RefusedError(404, 10008, "Unknown Message")
        return found

    def _send(self, request: Request, channel: str) -> Answer:
        where = self._channel(channel)
        if not where.may_send:
            raise RefusedError(403, 50013, "Missing Permissions")
        if where.kind not in TAKE_MESSAGES:
            raise RefusedError(400, 50008, "Cannot send messages in a non-text channel")
        self._wake_up(where)
        if any(word in str(request.body) for word in where.guild.blocked_words):
            raise RefusedError(400, 200000, "Message was blocked by automatic moderation")
        message = Message(self._new_id(), where.id)
        flags = SILENT | SUPPRESS_EMBEDS | COMPONENTS_V2
        self._write(request, message, request.body, CHANNEL_MESSAGE, flags, pings=True)
        self._refer(message, where, request.body.get("message_reference"))
        message.nonce = nonce = request.body.get("nonce")
        if nonce is not None and request.body.get("enforce_nonce"):
            at, first = self._nonces.get(nonce, (-math.inf, message))
            if now() - at < self.nonce_seconds:
                return 200, self._message_payload(first)
            self._nonces[nonce] = (now(), message)
        self.messages[message.id] = message
        return 200, self._message_payload(message)

    def _refer(self, message: Message, channel: Channel, reference: Json | None) -> None:
        if reference is None:
            return
        insist(broken("message_reference", reference, REFERENCE))
        if not channel.may_read_history:
            raise RefusedError(400, 160002, "Cannot reply without permission to read message history")
        if int(reference.get("channel_id", channel.id)) != channel.id:
            insist([("message_reference", "must be of the same channel")])
        target = self.messages.get(int(reference["message_id"]))
        if target is not None and not target.deleted and target.channel_id == channel.id:
            message.reply_to = target.id
            message.history[-1][1].update(self._message_payload(message))
        elif reference.get("fail_if_not_exists", True):
            insist([("message_reference", "Unknown message")])
