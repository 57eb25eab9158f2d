"""Pure: a server's models, from its reloads."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from bot.domain.catalogue import Catalogue, PublicModel
from bot.domain.reload import JOINABLE, WARM_AGE, Outcome, Reload

MOST_LOOKED_AT = 300
"""Of a server's reloads, with each letter typed."""
_HALF_LIFE = 14 * 86400.0
"""After two weeks a reload counts half for what is suggested."""


class Warmth(StrEnum):
    """How a model stands, as far as the bot has seen; in the order in which they are listed."""

    RELOADING = "reloading"
    WARM = "warm"
    COLD = "cold"


@dataclass(frozen=True, slots=True)
class Model:
    """One model of a server, with some of its reloads, newest first, and that by which it was last used."""

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


def models_of(reloads: Iterable[Reload], now: float) -> list[Model]:
    """Models from reloads of a server: reloading, warm, cold; each by which was used last.

    Ids that the API does not know are left out.
    """
    by_id: dict[str, list[Reload]] = {}
    for reload in sorted(reloads, key=lambda reload: reload.asked_at, reverse=True):
        by_id.setdefault(reload.model, []).append(reload)
    models = [
        Model(id_, tuple(reloads))
        for id_, reloads in by_id.items()
        if any(reload.outcome is not Outcome.UNKNOWN_MODEL for reload in reloads)
    ]
    order = list(Warmth)
    return sorted(models, key=lambda model: (order.index(model.warmth(now)), -(model.used_at or 0.0)))


def own_models(recent: Iterable[tuple[str, float]], typed: str, now: float) -> list[str]:
    """Ids of a server's models that match what was typed, those first that are used lately and often.

    `recent`: the model of each of the newest MOST_LOOKED_AT reloads, and when it was asked for.
    """
    weight: dict[str, float] = {}
    for model, asked_at in recent:
        weight[model] = weight.get(model, 0.0) + 0.5 ** (max(0.0, now - asked_at) / _HALF_LIFE)
    by_weight = sorted(weight, key=lambda id_: weight[id_], reverse=True)
    found = Catalogue(PublicModel(id_, "", len(by_weight) - place) for place, id_ in enumerate(by_weight))
    return [row.id for row in found.search(typed, len(by_weight))]
