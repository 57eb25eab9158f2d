"""Live countdowns that a bot finds in its store when it starts: thousands of them in seconds."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr

from bot.domain.reload import Asker, Reload, State
from bot.domain.rows import KeyRow
from bot.keys import PURPOSE
from bot.store.embedded import EmbeddedStore
from bot.vault import Vault
from tests.benchmarks import places

SECONDS = 120.0
"""Seconds of a reload, in the bot's settings and here."""
_CALLED_AFTER = 0.3


def counting(live: int, first_deadline: float) -> Iterator[Reload]:
    """Make countdowns with deadlines spread evenly over two minutes, as if asked for one by one."""
    servers = places.servers_for(live)
    for number in range(live):
        place, deadline = number % servers, first_deadline + SECONDS * number / live
        asked_at = deadline - SECONDS - _CALLED_AFTER
        id_, channel = places.interaction(number, asked_at), places.channel(place, number)
        message = places.message(id_)
        yield Reload(
            id=id_,
            server=places.server(place),
            model=f"model-{message}",
            askers=(Asker(places.member(number), channel, places.token(id_, channel)),),
            asked_at=asked_at,
            seconds=SECONDS,
            state=State.COUNTING,
            message=message,
            called_at=asked_at + _CALLED_AFTER,
            deadline=deadline,
            locale="en-US",
        )


def fill(folder: Path, vault: Vault, servers: int, reloads: list[Reload]) -> None:
    """Make a store that contains each server's key, and these reloads."""
    store = EmbeddedStore(folder)
    store._memory.begin()
    for place in range(servers):
        number = places.server(place)
        sealed = vault.seal(PURPOSE, str(number), SecretStr("a-key-0123456789"))
        store._memory.change(f"key:{number}", KeyRow(sealed, 1, "mod", 0.0))
    for reload in reloads:
        store._memory.change(f"reload:{reload.id}", reload)
    store._write()
    store.close()
