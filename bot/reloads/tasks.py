"""The tasks of reloads: each is kept and named, and its failure is logged."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from bot.domain.errors import Taken
from bot.domain.reload import Reload

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class ReloadTasks:
    """All tasks of this process that look after a reload, or its test image."""

    def __init__(self, is_stopping: Callable[[], bool]) -> None:
        self._is_stopping = is_stopping
        self._reloads: dict[asyncio.Task[None], Reload] = {}

    def keep(self, reload: Reload, told: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None] | None:
        """Start a task; return None during a stop: the next start resumes what is stored."""
        if self._is_stopping():
            told.close()
            return None
        of_reload = contextvars.copy_context()  # each line that the task logs says which reload it is about
        of_reload.run(structlog.contextvars.bind_contextvars, reload=reload.id)
        task = asyncio.create_task(told, name=f"{name}-{reload.id}", context=of_reload)
        self._reloads[task] = reload
        task.add_done_callback(self._drop)
        return task

    def where(self, matches: Callable[[Reload], bool]) -> list[asyncio.Task[None]]:
        """Return the tasks of the reloads that match."""
        return [task for task, reload in self._reloads.items() if matches(reload)]

    def cancel(self, matches: Callable[[Reload], bool]) -> None:
        """Cancel the tasks of the reloads that match."""
        for task in self.where(matches):
            task.cancel()

    def _drop(self, task: asyncio.Task[None]) -> None:
        reload = self._reloads.pop(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, Taken):
            log.info("reload.taken", reload=reload.id, task=task.get_name())
        else:
            log.error("reload.defect", reload=reload.id, task=task.get_name(), exc_info=error)


def is_defect(task: asyncio.Task[None]) -> bool:
    """Return whether a task failed through a bug of ours, not because the reload is now another process's."""
    return not task.cancelled() and not isinstance(task.exception(), Taken | None)
