"""The common part of both sandboxes: settings that lead nowhere else, and a server with two people."""

import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import discord
import simcord
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle

from bot.app import Rewarm, build
from bot.domain.reload import Asker, Outcome, Reload, State
from bot.domain.rows import KeyRow
from bot.sandbox.model_api import ANSWERS, StandInModelApi
from bot.settings import Settings, load_settings
from bot.store.base import Store
from bot.vault import new_encryption_key

_DAYS_AGO = 8 * 86400.0


@dataclass(frozen=True)
class Surroundings:
    """The bot's surroundings: a made-up store, key and model API."""

    settings: Settings
    api: StandInModelApi

    async def build(self, now: Callable[[], float]) -> Rewarm:
        """Make the bot."""
        bot = await build(self.settings, now, api_hosts=self.api.hosts)
        self.api.places = bot.hosts.places
        return bot


@asynccontextmanager
async def surroundings(seconds: float) -> AsyncIterator[Surroundings]:
    """Make the surroundings, and delete them afterwards."""
    with tempfile.TemporaryDirectory(prefix="rewarm-") as folder:
        async with StandInModelApi() as api:
            settings = load_settings(
                env_file=None,
                discord_token="sandbox",  # noqa: S106  # there is no Discord to log in to
                key_encryption_keys=new_encryption_key(),
                data_dir=Path(folder),
                model_api_url=api.url,
                model_api_version="v4",
                reload_seconds=seconds,
                store_url="",
                discord_api_url="",
                shard_count=1,
                shard_ids=None,
                log_level="WARNING",
                log_format="console",
            )
            yield Surroundings(settings, api)


@dataclass(frozen=True)
class World:
    """A server in simcord: `#general`, a moderator, a member."""

    server: int
    channel: ChannelHandle
    mod: MemberActor
    ana: MemberActor

    @classmethod
    def of(cls, env: simcord.Env) -> "World":
        """Make it, with the bot as a member of the server."""
        server = env.create_guild("Sandbox")
        manager = server.create_role("moderators", permissions=discord.Permissions(manage_guild=True))
        return cls(
            server=server.id,
            channel=server.create_text_channel("general"),
            mod=server.add_member(env.create_user("mod"), roles=[manager]),
            ana=server.add_member(env.create_user("ana")),
        )

    async def remember_models(self, store: Store) -> None:
        """Pretend that this server has reloaded each of the stand-in's models, for `/reload` to offer."""
        server, user = self.server, self.ana.id
        await store.set_key(server, KeyRow(sealed="", by=user, by_name="", at=0.0))  # no reload without one
        for number, model in enumerate(ANSWERS):
            at = time.time() - _DAYS_AGO - number
            await store.ask(
                Reload(
                    id=number,
                    server=server,
                    model=model,
                    askers=(Asker(user, self.channel.id, f"made up {number}"),),
                    asked_at=at,
                    seconds=0.0,
                    state=State.ENDED,
                    outcome=Outcome.ACCEPTED,
                    deadline=at,
                    ended_at=at,
                ),
                limit=5.0,
            )
        await store.remove_key(server)
