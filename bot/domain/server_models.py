"""Pure: a server's models, from its reloads."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from bot.domain.catalogue import Catalogue, PublicModel
from bot.domain.reload import JOINABLE, WARM_AGE, Outcome, Reload

MOST_LOOKED_AT = 300
"""Of a server's reloads, with each letter typed: a database takes a millisecond for a hundred (measured)."""
_HALF_LIFE = 14 * 86400.0
"""After two weeks a reload counts half for what is suggested."""


class Warmth(StrEnum):
    """How a model stands, as far as the bot has seen; in the order in which they are listed."""

    RELOADING = "reloading"
    WARM = "warm"
    COLD = "cold"


@dataclass(frozen=True, slots=True)
class Model:
    """One model of a server, with its reloads, newest first."""

    id: str
    reloads: tuple[Reload, ...]

    @property
    def open(self) -> Reload | None:
        """The reload that runs."""
        return next((reload for reload in self.reloads if reload.state in JOINABLE), None)

    @property
    def used_at(self) -> float | None:
        """When the bot last saw it used; None: never."""
        return max((reload.used_at for reload in self.reloads if reload.used_at is not None), default=None)

    @property
    def warm_until(self) -> float | None:
        """When it goes cold, if nobody uses it elsewhere; None: it was not seen warm."""
        return self.used_at + WARM_AGE if self.used_at is not None else None

    def warmth(self, now: float) -> Warmth:
        """How it stands at `now`."""
        if self.open is not None:
            return Warmth.RELOADING
        return Warmth.WARM if (self.warm_until or 0.0) > now else Warmth.COLD


def models_of(history: Iterable[Reload], now: float) -> list[Model]:
    """A server's models from its reloads, newest first: reloading, warm, cold; each by who was used last.

    Ids that the API does not know are left out.
    """
    by_id: dict[str, list[Reload]] = {}
    for reload in history:
        by_id.setdefault(reload.model, []).append(reload)
    models = [
        Model(id_, tuple(reloads))
        for id_, reloads in by_id.items()
        if any(reload.outcome is not Outcome.UNKNOWN_MODEL for reload in reloads)
    ]
    order = list(Warmth)
    return sorted(models, key=lambda model: (order.index(model.warmth(now)), -(model.used_at or 0.0)))


def own_models(history: Iterable[Reload], typed: str, now: float) -> list[str]:
    """Ids of a server's models that match what was typed, those first that are used lately and often.

    `history`: the newest MOST_LOOKED_AT, newest first; what is very old does not count.
    """
    weight: dict[str, float] = {}
    for reload in history:
        if reload.outcome is not Outcome.UNKNOWN_MODEL:
            age = max(0.0, now - reload.asked_at)
            weight[reload.model] = weight.get(reload.model, 0.0) + 0.5 ** (age / _HALF_LIFE)
    by_weight = sorted(weight, key=lambda id_: weight[id_], reverse=True)
    found = Catalogue(PublicModel(id_, "", len(by_weight) - place) for place, id_ in enumerate(by_weight))
    return [row.id for row in found.search(typed, len(by_weight))]
