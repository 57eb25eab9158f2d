"""Messages: what the bot may write, and how they look afterwards.

Source: docs.discord.com/developers/resources/message.
"""

import itertools
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tests.stand_ins.discord.component_rules import (
    IN_MESSAGE,
    INSIDE,
    broken_attachments,
    broken_components,
    broken_mentions,
    broken_whole,
)
from tests.stand_ins.discord.payloads import as_shown, numbered, user_payload
from tests.stand_ins.discord.places import Places
from tests.stand_ins.discord.rules import Json, RefusedError, Rules, broken, insist
from tests.stand_ins.discord.state import (
    COMPONENTS_V2,
    EPHEMERAL,
    EPOCH_MS,
    MOST_UPLOAD,
    SILENT,
    Channel,
    Message,
    Request,
    now,
)

_OLD_AGE, _OLD_EDITS, _OLD_WINDOW = 3600.0, 3, 6.0
"""A message's age in seconds from which only so many edits are allowed in a window of seconds: three in six
(seen)."""


class _Parts(NamedTuple):
    """The parts of a message in the making."""

    content: str
    embeds: list[Json]
    components: list[Json]


class Messages(Places):
    """Checks a body, and makes a message of it."""

    def _write(
        self, request: Request, message: Message, body: Any, rules: Rules, flags: int, *, pings: bool
    ) -> None:
        """Check a body and put it into the message, as its first version or its next."""
        _insist_on_patience(message)
        insist(broken("", body, rules))
        insist(broken_components("components", body.get("components"), IN_MESSAGE, INSIDE))
        allowed = self._allowed_mentions(request, body)
        if (body.get("flags") or 0) & ~flags:
            insist([("flags", f"only the bits of {flags} may be set here")])
        new = _Parts(
            (body["content"] or "") if "content" in body else message.content,
            (body["embeds"] or []) if "embeds" in body else message.embeds,
            (body["components"] or []) if "components" in body else message.components,
        )
        _insist_on_whole(request, message, body, new)
        stays = message.flags & (EPHEMERAL | COMPONENTS_V2 | SILENT)
        seen_by = (body.get("flags") or 0) & (~EPHEMERAL if message.history else ~0)
        message.flags = stays | seen_by
        if (named := body.get("attachments")) is not None:
            message.attachments = [self._attachment(one, message, request.files) for one in named]
        message.content, message.embeds = new.content, new.embeds
        message.edited = datetime.now(UTC).isoformat() if message.history else None
        message.components = numbered(new.components, itertools.count(1))
        message.named, message.names_everyone = _pinged(message.text, allowed)
        if pings and not message.flags & (EPHEMERAL | SILENT):
            message.mentions, message.mentions_everyone = message.named, message.names_everyone
        message.history.append((now(), self._message_payload(message)))

    def _allowed_mentions(self, request: Request, body: Any) -> Json:
        allowed: Json | None = body.get("allowed_mentions")
        if allowed is None:
            self.violations.append(f"{request.method} {request.path}: allowed_mentions: must always be there")
            allowed = {"parse": ["users", "roles", "everyone"]}
        insist(broken_mentions(allowed))
        return allowed

    def _attachment(self, named: Json, message: Message, files: dict[str, bytes]) -> Json:
        known = {attachment["id"]: attachment for attachment in message.attachments}
        id_ = str(named["id"])
        if id_ not in files:
            return known[id_]
        number = str(self._new_id())
        url = f"https://cdn.discordapp.com/attachments/{message.channel_id}/{number}/{named['filename']}"
        size = len(files[id_])
        return {"id": number, "filename": named["filename"], "size": size, "url": url, "proxy_url": url}

    def _message_payload(self, message: Message) -> Json:
        members = self.channels[message.channel_id].guild.members
        mentioned = [user_payload(m.id, m.name) for m in members if m.id in message.named]
        payload: Json = {
            "id": str(message.id),
            "channel_id": str(message.channel_id),
            "type": 0 if message.interaction is None else 20,
            "author": self._bot_user(),
            "application_id": str(self.application_id),
            "content": message.content,
            "timestamp": datetime.fromtimestamp(((message.id >> 22) + EPOCH_MS) / 1000, UTC).isoformat(),
            "edited_timestamp": message.edited,
            "embeds": message.embeds,
            "components": as_shown(message.components, message.attachments),
            "flags": message.flags,
            "mentions": mentioned,
            "mention_roles": [],
            "mention_everyone": message.names_everyone,
            "attachments": message.attachments,
            "pinned": False,
            "tts": False,
        }
        if message.interaction is not None:
            payload["webhook_id"] = str(self.application_id)
        if message.nonce is not None:
            payload["nonce"] = message.nonce
        if message.reply_to is not None:
            payload["type"] = 19
            ids = {"message_id": str(message.reply_to), "channel_id": str(message.channel_id)}
            payload["message_reference"] = {"type": 0, **ids}
        return payload

    def _wake_up(self, channel: Channel) -> None:
        if channel.locked:
            raise rests()
        was, channel.archived = channel.archived, False
        if was and channel.is_thread:
            self.channel_changed(channel)


def _insist_on_patience(message: Message) -> None:
    written = [at for at, _ in message.history]
    lately = [at for at in written[1:] if now() - at < _OLD_WINDOW]
    if written and now() - written[0] > _OLD_AGE and len(lately) >= _OLD_EDITS:
        raise RefusedError(
            429, 30046, "Maximum number of edits to messages older than 1 hour reached. Try again later"
        )


def _insist_on_whole(request: Request, message: Message, body: Any, new: _Parts) -> None:
    """Insist on parts that fit together, and on their limits."""
    if sum(map(len, request.files.values())) > MOST_UPLOAD:
        raise RefusedError(413, 40005, "Request entity too large")
    known = {*request.files, *(attachment["id"] for attachment in message.attachments)}
    attachments = body.get("attachments")
    insist(broken_attachments(attachments, known, new.components if attachments else []))
    v2 = bool(((body.get("flags") or 0) | message.flags) & COMPONENTS_V2)
    insist(broken_whole(new.components, v2=v2))
    if v2 and (new.content or new.embeds):
        insist([("content", "no content or embeds alongside the flag IS_COMPONENTS_V2")])
    if not any(new):
        raise RefusedError(400, 50006, "Cannot send an empty message", [("", "an empty message")])


def _pinged(text: str, allowed: Json) -> tuple[set[int], bool]:
    named = {int(number) for number in re.findall(r"<@!?(\d+)>", text)}
    parse = allowed.get("parse") or []
    listed = {int(number) for number in allowed.get("users") or []}
    users = named if "users" in parse else named & listed
    return users, "everyone" in parse and bool(re.search("@everyone|@here", text))


def rests() -> RefusedError:
    return RefusedError(400, 50083, "Thread is archived")
