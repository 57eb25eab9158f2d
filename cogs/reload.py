"""/reload: parse, store, answer immediately; the rest is the runner's."""

import discord
import structlog
from discord import app_commands
from discord.ext import commands

from bot.app import Rewarm
from bot.discord_api.responses import NeverAcknowledged
from bot.domain.model_id import linked_model, parse_model_id
from bot.domain.reload import Reload
from bot.domain.server_models import MOST_LOOKED_AT, own_models, with_typed
from bot.words.language import n_
from bot.words.models import choice_text
from bot.words.reload import joined_text
from cogs.press import asker_of

MOST_CHOICES = 25  # Discord takes no more

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def ask(interaction: discord.Interaction[Rewarm], model: str) -> None:
    """Store first, answer immediately, then leave it to the runner."""
    structlog.contextvars.bind_contextvars(reload=interaction.id)
    bot = interaction.client
    now = bot.now()
    chosen = await bot.store.settings(interaction.guild_id or 0)
    new = Reload(
        id=interaction.id,
        server=interaction.guild_id or 0,
        model=model,
        askers=(asker_of(interaction),),
        asked_at=now,
        seconds=bot.runner.seconds,
        locale=chosen.locale(interaction.guild_locale),
        muted=(interaction.user.id,) if chosen.quiet else (),
    )
    stored = await bot.runner.ask(new)
    if stored is None:
        return
    structlog.contextvars.bind_contextvars(reload=stored.id)
    log.info("reload.asked" if stored.id == new.id else "reload.joined", server=stored.server)
    if stored.id != new.id:
        is_new = new.owner in stored.askers and new.owner.user not in stored.muted
        say = bot.languages.of(interaction.locale)
        await bot.responses.say(
            interaction, joined_text(stored, now, say, user=new.owner.user, is_new=is_new)
        )
        return
    try:
        message = await bot.responses.acknowledge(interaction)
    except NeverAcknowledged:
        bot.runner.withdraw(stored)
    else:
        bot.runner.start(stored, message)


class ReloadCog(commands.Cog):
    """Wakes up a model."""

    def __init__(self, bot: Rewarm) -> None:
        self.bot = bot

    @app_commands.command(name=n_("reload"), description=n_("Wake up a model that has gone cold"))
    @app_commands.describe(model_id=n_("The model's ID, or a link to its page"))
    @app_commands.rename(model_id=n_("model_id"))
    async def reload(self, interaction: discord.Interaction[Rewarm], model_id: str) -> None:
        """Request a model, or join a reload that is running."""
        await ask(interaction, parse_model_id(model_id))

    @reload.autocomplete("model_id")
    async def recent(
        self, interaction: discord.Interaction[Rewarm], typed: str
    ) -> list[app_commands.Choice[str]]:
        """Suggest this server's models, then the API's public ones, from the store: time is short.

        The typed text is always among them if it can be a model's ID.
        """
        bot = self.bot
        sought = linked_model(typed) or typed
        recent = await bot.store.recent(interaction.guild_id or 0, MOST_LOOKED_AT)
        own = own_models(recent, sought, bot.now())
        public = await bot.catalogue_refresh.suggest(sought, 2 * MOST_CHOICES)
        names = {id_: id_ for id_ in own} | {r.id: choice_text(r) for r in public if r.id not in own}
        offered = with_typed(list(names), typed, MOST_CHOICES)
        return [app_commands.Choice(name=names.get(id_, id_), value=id_) for id_ in offered]


async def setup(bot: Rewarm) -> None:
    """Called by discord.py."""
    await bot.add_cog(ReloadCog(bot))
