"""Logs: one line per event, on standard error; known secrets can't get in."""

import asyncio
import logging
import re
import secrets
import sys
from collections.abc import Callable
from typing import Any, Literal

import structlog
from structlog.typing import Processor, WrappedLogger

_TOKEN_IN_PATH = re.compile(r"(/(?:webhooks|interactions)/\d+/)[^/\s?'\"\\]+")


log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def set_up(level: str, form: Literal["console", "json"], masked: list[str]) -> None:
    """Send our logs and the libraries' to standard error; mask secrets and Discord's tokens."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,  # text, without local variables
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,  # first: the others cost time for nothing
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    last: Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr is not None and sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last, _masker(masked)],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # At DEBUG discord.py writes whole events, with interaction tokens and what people type into a modal.
    for name in ("discord", "aiohttp", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.INFO, root.level))
    logging.captureWarnings(capture=True)
    # sqlitedict logs each failed statement over a dozen lines; the store raises the error as well.
    logging.getLogger("sqlitedict").setLevel(logging.CRITICAL)


def new_ref() -> str:
    """Return a short reference that a person can quote and that the log contains."""
    return secrets.token_hex(2).upper()


def log_failure(task: asyncio.Task[Any]) -> None:
    """Log a finished task's failure: it is a bug of ours and must be seen."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("task.failed", task=task.get_name(), exc_info=error)


def _masker(masked: list[str]) -> Callable[[WrappedLogger, str, Any], str]:
    """Mask secrets in the last step, whatever a line is made of."""
    known = [secret.strip() for secret in masked if secret.strip()]

    def mask(_: WrappedLogger, __: str, line: Any) -> str:
        text = str(line)
        for secret in known:
            text = text.replace(secret, "[secret]")
        return _TOKEN_IN_PATH.sub(r"\1[token]", text)

    return mask
