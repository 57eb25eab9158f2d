"""Pure: every sentence that a person reads, by state, outcome and error."""

from bot.words.answers import (
    KEY_HINT,
    KEY_LABEL,
    KEY_TITLE,
    broken,
    key_removed,
    key_status,
    key_stored,
    key_tail,
    key_unreadable,
    no_key,
    refusal,
    stale_command,
    storage_trouble,
)
from bot.words.common import Command, message_link, span
from bot.words.reload import REPLY_CHARACTERS, joined, ping, reply, state_word

__all__ = [
    "KEY_HINT",
    "KEY_LABEL",
    "KEY_TITLE",
    "REPLY_CHARACTERS",
    "Command",
    "broken",
    "joined",
    "key_removed",
    "key_status",
    "key_stored",
    "key_tail",
    "key_unreadable",
    "message_link",
    "no_key",
    "ping",
    "refusal",
    "reply",
    "span",
    "stale_command",
    "state_word",
    "storage_trouble",
]
