"""The hosts of the model API that keys may be sent to, and the places for calls to them."""

from collections.abc import Mapping

import aiohttp

from bot.metrics import Metrics
from bot.model_api.client import ModelApi
from bot.model_api.places import MAX_CONCURRENT_CALLS, CallPlaces

OLDEST = "v4"
"""The version that a key's row of 0.1.0 means, since it names none."""


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
        """The host that is asked first about a new key."""
        return next(iter(self._apis.values()))

    def of(self, version: str) -> ModelApi:
        """The host for a key whose row names this version; if there is only one host, that one."""
        return self._apis.get(version or OLDEST, self.current)

    def others(self, api: ModelApi) -> list[ModelApi]:
        """The other hosts where a key may belong."""
        return [other for other in self._apis.values() if other is not api]
