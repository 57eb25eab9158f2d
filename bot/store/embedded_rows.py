"""Rows of servers in the embedded store that are not read with each command: calls that cost, events."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

from bot.domain.rows import Event, PaidCall
from bot.store.memory import Memory

CALL_TIMEOUT = 1.0
"""That of a step: somebody waits for the answer."""
_T = TypeVar("_T")


class EmbeddedRows(ABC):
    """These verbs of `bot.store.base`."""

    _memory: Memory

    @abstractmethod
    async def _call(self, limit: float, verb: Callable[..., _T], *args: Any) -> _T: ...

    async def reserve_call(self, server: int, name: str, call: PaidCall, most: int | None) -> bool:
        return await self._call(CALL_TIMEOUT, self._memory.reserve_call, server, name, call, most)

    async def give_back_call(self, server: int, name: str) -> None:
        await self._call(CALL_TIMEOUT, self._memory.give_back_call, server, name)

    async def paid_calls(self, server: int) -> list[PaidCall]:
        return [call for (of, _), call in list(self._memory.paid_calls.items()) if of == server]

    async def expire_rows(self, now: float) -> None:
        await self._call(CALL_TIMEOUT, self._memory.expire_rows, now)

    async def add_event(self, server: int, event: Event) -> bool:
        return await self._call(CALL_TIMEOUT, self._memory.add_event, server, event)

    async def events(self, server: int) -> list[Event]:
        mine = [event for (of, _), event in list(self._memory.events.items()) if of == server]
        return sorted(mine, key=lambda event: event.at, reverse=True)
