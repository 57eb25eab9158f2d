"""The hosts of the model API that keys may go to, and the places for calls to them."""

from collections.abc import Mapping

import aiohttp

from bot.metrics import Metrics
from bot.model_api.client import ModelApi
from bot.model_api.places import MAX_CONCURRENT_CALLS, CallPlaces

OLDEST = "v4"
"""What a key's row of 0.1.0 means, which names no version."""


class Hosts:
    """One client for each version, the current one first."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        hosts: Mapping[str, str],
        metrics: Metrics | None = None,
        most: int = MAX_CONCURRENT_CALLS,
    ) -> None:
        self.places = CallPlaces(most)
        self._apis = {version: ModelApi(session, host, version, metrics) for version, host in hosts.items()}

    @property
    def current(self) -> ModelApi:
        """Where a new key is asked about first."""
        return next(iter(self._apis.values()))

    def of(self, version: str) -> ModelApi:
        """Where a key is used whose row names this version; where there is one host only, there."""
        return self._apis.get(version or OLDEST, self.current)

    def others(self, api: ModelApi) -> list[ModelApi]:
        """Where else a key may go."""
        return [other for other in self._apis.values() if other is not api]
