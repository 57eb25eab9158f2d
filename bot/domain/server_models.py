"""Pure: finds a server's models in its reloads."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from bot.domain.catalogue import Catalogue, PublicModel
from bot.domain.errors import BadModelId
from bot.domain.model_id import linked_model, parse_model_id
from bot.domain.reload import JOINABLE, WARM_AGE, Outcome, Reload

MOST_LOOKED_AT = 300
"""How many of a server's reloads are looked at with each letter typed."""
_SAY_WHETHER_KNOWN = (Outcome.ACCEPTED, Outcome.UNKNOWN_MODEL)
_HALF_LIFE = 14 * 86400.0
"""Seconds after which a reload counts half in suggestions."""


class Warmth(StrEnum):
    """How warm a model is, as far as the bot has seen; in the order of the list."""

    RELOADING = "reloading"
    WARM = "warm"
    COLD = "cold"


@dataclass(frozen=True, slots=True)
class Model:
    """One model of a server, with some of its reloads, newest first, and the one that last used it."""

    id: str
    reloads: tuple[Reload, ...]

    @property
    def open(self) -> Reload | None:
        """The reload that is running."""
        return next((reload for reload in self.reloads if reload.state in JOINABLE), None)

    @property
    def used_at(self) -> float | None:
        """When the bot last saw it used; None if never."""
        return max((reload.used_at for reload in self.reloads if reload.used_at is not None), default=None)

    @property
    def warm_until(self) -> float | None:
        """When it goes cold if nobody uses it elsewhere; None if it was never seen warm."""
        return self.used_at + WARM_AGE if self.used_at is not None else None

    @property
    def is_known(self) -> bool:
        """Whether the API knows it, as far as it has said."""
        said = (reload.outcome for reload in self.reloads if reload.outcome in _SAY_WHETHER_KNOWN)
        return next(said, None) is not Outcome.UNKNOWN_MODEL

    def warmth(self, now: float) -> Warmth:
        """Return how warm it is at `now`."""
        if self.open is not None:
            return Warmth.RELOADING
        return Warmth.WARM if (self.warm_until or 0.0) > now else Warmth.COLD


def models_of(reloads: Iterable[Reload], now: float) -> list[Model]:
    """Return models from reloads of a server: reloading, warm, cold; in each group the last used first.

    IDs that the API doesn't know, or no longer knows, are left out.
    """
    by_id: dict[str, list[Reload]] = {}
    for reload in sorted(reloads, key=lambda reload: reload.asked_at, reverse=True):
        by_id.setdefault(reload.model, []).append(reload)
    models = [Model(id_, tuple(reloads)) for id_, reloads in by_id.items()]
    models = [model for model in models if model.open is not None or model.is_known]
    order = list(Warmth)
    return sorted(models, key=lambda model: (order.index(model.warmth(now)), -(model.used_at or 0.0)))


def own_models(recent: Iterable[tuple[str, float]], typed: str, now: float) -> list[str]:
    """Return the IDs of a server's models that match what was typed, most recently and frequently used first.

    `recent`: the model of each of the newest MOST_LOOKED_AT reloads, and when it was requested.
    """
    weight: dict[str, float] = {}
    for model, asked_at in recent:
        weight[model] = weight.get(model, 0.0) + 0.5 ** (max(0.0, now - asked_at) / _HALF_LIFE)
    by_weight = sorted(weight, key=lambda id_: weight[id_], reverse=True)
    found = Catalogue(PublicModel(id_, "", len(by_weight) - place) for place, id_ in enumerate(by_weight))
    return [row.id for row in found.search(typed, len(by_weight))]


def with_typed(ids: list[str], typed: str, most: int) -> list[str]:
    """Return at most this many suggested IDs, including the typed text if that can be an ID.

    Discord preselects the first one, so that one starts with the typed text. It is the typed text itself if
    that is a known ID or a model's page, or if no ID starts with it; otherwise the typed text comes last.
    """
    try:
        id_ = parse_model_id(typed)
    except BadModelId:
        return ids[:most]
    others = [other for other in ids if other != id_]
    is_whole = id_ in ids or linked_model(typed) is not None

    def is_longer(other: str) -> bool:
        return other.lower().startswith(id_.lower())

    if not is_whole and any(map(is_longer, others)):
        return [*sorted(others, key=is_longer, reverse=True)[: most - 1], id_]
    return [id_, *others][:most]
