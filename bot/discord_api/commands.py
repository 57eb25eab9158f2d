"""The commands as Discord knows them: sent only if they changed, known by ID, with translated names."""

import asyncio
import hashlib
from contextlib import suppress
from typing import Any

import discord
import orjson
import structlog
from discord import app_commands

from bot.backoff import start_pause
from bot.discord_api.trouble import TROUBLE, named_wait
from bot.domain.errors import StoreTrouble
from bot.languages import Languages
from bot.store.base import Store

SYNC_TIMEOUT = 60.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Commands:
    """The commands' IDs, once Discord has given them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ids: dict[str, int] = {}

    def mention(self, name: str) -> str:
        """Return a command as tappable text, or as plain text until its ID is known."""
        known = self.id_of(name)
        return f"</{name}:{known}>" if known is not None else f"`/{name}`"

    def id_of(self, name: str) -> int | None:
        """Return a command's ID; None until Discord has given it."""
        return self._ids.get(name.partition(" ")[0])

    async def sync(self, application: int, tree: app_commands.CommandTree[Any]) -> None:
        """Send the commands to Discord if they changed since the last time; keep trying until it works."""
        payload: list[Any] = [
            await command.get_translated_payload(tree, tree.translator)
            if tree.translator is not None
            else command.to_dict(tree)
            for command in tree.get_commands()
        ]
        digest = hashlib.sha256(orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)).hexdigest()
        name = f"commands:{application}"
        known: dict[str, Any] = {}
        with suppress(StoreTrouble):  # then the next start sends them again
            known = await self._store.value(name) or {}
        if known.get("digest") == digest:
            self._ids = known["ids"]
            return
        self._ids = {command.name: command.id for command in await _send(tree)}
        log.info("commands.synced", count=len(self._ids))
        try:
            await self._store.set_value(name, {"digest": digest, "ids": self._ids})
        except StoreTrouble as error:  # the next start sends them again
            log.warning("commands.not_noted", error=str(error))


async def _send(tree: app_commands.CommandTree[Any]) -> list[app_commands.AppCommand]:
    attempt = 0
    while True:
        try:
            async with asyncio.timeout(SYNC_TIMEOUT):
                return await tree.sync()
        except TROUBLE as error:
            why = str(error) if isinstance(error, app_commands.CommandSyncFailure) else None
            log.warning("commands.not_synced", error=type(error).__name__, why=why)
            await asyncio.sleep(max(start_pause(attempt), named_wait(error)))
            attempt += 1


class CommandTranslator(app_commands.Translator):
    """Translates commands' names and descriptions for people whose Discord is in another language."""

    def __init__(self, languages: Languages) -> None:
        self._languages = languages

    async def translate(
        self,
        string: app_commands.locale_str,
        locale: discord.Locale,
        context: app_commands.TranslationContextTypes,  # noqa: ARG002  # as discord.py calls it
    ) -> str | None:
        """Return the translation; None means that English will do."""
        said = self._languages.of(locale)(string.message)
        return said if said != string.message else None
