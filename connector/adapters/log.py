"""Events as log lines: one structured line for each fact worth a person's eye, none for each update."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Final

import structlog

from connector.domain.events import (
    Acquired,
    Closed,
    Event,
    Failed,
    Noticed,
    Opened,
    Refused,
    Rejected,
    Yielded,
)

if TYPE_CHECKING:
    from collections.abc import Callable

LIBRARIES: Final = ("websockets", "aiohttp", "httpx", "httpcore", "urllib3", "asyncio")
"""Libraries that print tokens, or URLs with credentials, at INFO or DEBUG: never below WARNING."""


def configure(level: str, form: str) -> None:
    """Set up logging to stderr: ``form`` is json, text, or auto (text in a terminal)."""
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer() if text else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


class LogObserver:
    """Writes events as log lines."""

    def __init__(self, account: str) -> None:
        self._log = structlog.get_logger().bind(account=account)

    def waiting(self, message: str, seconds: float) -> None:
        """Nothing can start yet; the next try follows in ``seconds``."""
        self._log.warning("waiting for the source", message=message, retry_in_s=round(seconds, 1))

    def __call__(self, event: Event) -> None:
        """One event, one line at most."""
        line = _LINES.get(type(event))
        if line is not None:
            line(self._log, event)


def _opened(log: Any, event: Opened) -> None:
    log.info("session opened", session_id=event.session_id)


def _closed(log: Any, event: Closed) -> None:
    log.warning("session closed", session_id=event.session_id, reason=event.reason, message=event.message)


def _refused(log: Any, event: Refused) -> None:
    log.warning("no session", reason=event.reason, message=event.message, retry_in_s=round(event.seconds, 1))


def _noticed(log: Any, event: Noticed) -> None:
    write = log.warning if event.kind in ("error", "refused") else log.debug
    write("notice", kind=event.kind, status=event.status, text=event.text, frame=event.frame)


def _rejected(log: Any, event: Rejected) -> None:
    log.warning("dead letter", reason=event.reason, message=event.message, frame=event.frame)


def _failed(log: Any, event: Failed) -> None:
    log.error("transaction failed", shard=event.shard, message=event.error)


def _acquired(log: Any, event: Acquired) -> None:
    log.info(
        "shard acquired",
        shard=event.shard,
        owner_epoch=event.owner_epoch,
        series=event.series,
        seconds=round(event.seconds, 3),
    )


def _yielded(log: Any, event: Yielded) -> None:
    log.warning("shard yielded", shard=event.shard, reason=event.reason)


_LINES: Final[dict[type, Callable[[Any, Any], None]]] = {
    Opened: _opened,
    Closed: _closed,
    Refused: _refused,
    Noticed: _noticed,
    Rejected: _rejected,
    Failed: _failed,
    Acquired: _acquired,
    Yielded: _yielded,
}
