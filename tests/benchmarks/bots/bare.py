"""The floor: every 5 s one PATCH by aiohttp, with a body as long as ours; discord.py only starts it."""

import time
from typing import TYPE_CHECKING

import discord
from discord.http import Route, handle_message_parameters

from bot import view
from bot.domain.reload import Asker, Reload, State
from bot.languages import Languages
from tests.benchmarks import places
from tests.benchmarks.bots.every_five import EveryFive

if TYPE_CHECKING:
    from bot.words.language import Language

_HEADERS = {"Content-Type": "application/json"}


class Bare(EveryFive):
    """Its body is made once, and nothing is done with the answer but reading it."""

    def __init__(self) -> None:
        super().__init__()
        self._body = _body()

    async def show(self, interaction: discord.Interaction, model: str, left: float) -> None:
        """One edit."""
        path = f"/webhooks/{interaction.application_id}/{interaction.token}/messages/@original"
        async with self.session.patch(Route.BASE + path, data=self._body, headers=_HEADERS) as response:
            await response.read()


def _body() -> bytes:
    """Return the body that our bot sends for a countdown."""
    id_ = places.interaction(0)
    now = time.time()
    reload = Reload(
        id=id_,
        server=places.server(0),
        model=f"model-{places.message(id_)}",
        askers=(Asker(places.member(0), places.channel(0, 0), ""),),
        asked_at=now,
        seconds=120,
        state=State.COUNTING,
        deadline=now + 105,
    )
    say: Language = Languages(lambda name: f"`/{name}`").of("en-US")
    with handle_message_parameters(
        view=view.render(reload, now, say).as_view(), allowed_mentions=discord.AllowedMentions.none()
    ) as sent:
        return discord.utils._to_json(sent.payload).encode()


def make() -> discord.Client:
    """Make the bot."""
    return Bare()
