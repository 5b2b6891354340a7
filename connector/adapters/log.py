"""Events as log lines: one structured line for each fact worth a person's eye, none for each update.

Everything that is said on standard error while the connector runs goes through here: our events, librdkafka, the
other libraries, warnings and what nobody caught. One event is one line, without traceback and without secrets.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import structlog

from connector.config.redaction import redact
from connector.domain.events import (
    Acquired,
    Closed,
    Event,
    Failed,
    Noticed,
    Opened,
    Recovered,
    Refused,
    Rejected,
    Reloaded,
    Yielded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

LIBRARIES: Final = (
    "websockets",
    "picows",
    "aiohttp",
    "httpx",
    "httpx2",
    "httpcore",
    "httpcore2",
    "urllib3",
    "asyncio",
    "authlib",
)
"""Libraries that print tokens, or URLs with credentials, at INFO or DEBUG: never below WARNING."""

KAFKA: Final = "librdkafka"
"""Name of the logger that librdkafka's own lines go through; see `kafka_logger`."""

# Without `configure` they go nowhere: what matters is raised, and a command says it in its own words.
logging.getLogger(KAFKA).addHandler(logging.NullHandler())

BURST: Final = 5
PERIOD: Final = 10.0
"""Seconds in which at most `BURST` lines of one kind are written."""


def configure(level: str, form: str) -> None:
    """Set up logging to stderr: ``form`` is json, text, or auto (text in a terminal). May be called again."""
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer() if text else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            Repeats(),
            _one_line,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
            _redacted,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        # Not cached: a reload may change the level.
        cache_logger_on_first_use=False,
    )
    _take_over_the_rest(level)


def kafka_logger() -> logging.Logger:
    """For the ``logger`` setting of every librdkafka client.

    librdkafka names a broker in each line; passwords it hides itself, and so do we.
    """
    return logging.getLogger(KAFKA)


def _take_over_the_rest(level: str) -> None:
    """Lines of libraries, warnings, and errors that nobody caught become lines of ours."""
    root = logging.getLogger()
    root.handlers[:] = [_Forward()]
    root.setLevel(logging.WARNING)
    # At DEBUG it prints every request; that needs kafka.properties.debug besides.
    logging.getLogger(KAFKA).setLevel(level.upper())
    logging.captureWarnings(capture=True)
    sys.excepthook = lambda _kind, error, _trace: _uncaught(error, "process")
    threading.excepthook = lambda args: _uncaught(args.exc_value, f"thread {args.thread.name if args.thread else '?'}")
    sys.unraisablehook = lambda args: _uncaught(args.exc_value, "clean-up")


def _uncaught(error: BaseException | None, where: str) -> None:
    structlog.get_logger().error("unexpected error", where=where, **_error(error))


def _error(error: BaseException | None) -> dict[str, str]:
    """An error as two words and a sentence; where it was raised, in place of a traceback."""
    if error is None:
        return {}
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
    return {"error": type(error).__name__, "message": str(error), "at": place}


class _Forward(logging.Handler):
    """Lines of the standard library's logging as lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line; a broken record must not stop who wrote it."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            text = str(record.msg)
        more = _error(record.exc_info[1]) if record.exc_info else {}
        if more:
            more["message"] = f"{text}: {more['message']}"
        log = structlog.get_logger()
        if record.name == KAFKA:
            log.log(record.levelno, "kafka client", message=text)
        else:
            log.log(record.levelno, "library", logger=record.name, **{"message": text, **more})


class Repeats:
    """Drops lines of one kind beyond `BURST` in `PERIOD`; the next one that passes tells how many were left out."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._seen: dict[tuple[Any, ...], tuple[float, int]] = {}

    def __call__(self, _log: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """The line, or no line."""
        key = tuple(event.get(part) for part in ("event", "level", "kind", "reason", "shard", "logger"))
        now = self._monotonic()
        since, count = self._seen.get(key, (now, 0))
        if now - since >= PERIOD:
            if count > BURST:
                event["suppressed"] = count - BURST
            since, count = now, 0
        self._seen[key] = since, count + 1
        if count >= BURST and event.get("level") != "critical":
            raise structlog.DropEvent
        return event


def _one_line(_log: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What other people wrote may neither break the line nor steer the terminal."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[name] = "".join(one if one.isprintable() else " " if one.isspace() else "?" for one in value)
    return event


def _redacted(_log: Any, _method: str, line: Any) -> str:
    return redact(line)


class LogObserver:
    """Writes events as log lines."""

    def __init__(self, account: str) -> None:
        self._account = account

    @property
    def _log(self) -> Any:
        """Bound anew for each line: a reload may have changed the level."""
        return structlog.get_logger().bind(account=self._account)

    def waiting(self, message: str, seconds: float) -> None:
        """Nothing can start yet; the next try follows in ``seconds``."""
        self._log.warning("waiting for the source", message=message, retry_in_s=round(seconds, 1))

    def promised(self, holds: str, why: list[str]) -> None:
        """Which promise holds (strict | best-effort | demo), and why it is no better."""
        write = self._log.warning if why else self._log.info
        write("promise", holds=holds, why=why)

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


def _recovered(log: Any, event: Recovered) -> None:
    last = "none" if event.landed is None else "committed" if event.landed else "aborted"
    log.info("producer replaced", shard=event.shard, last_transaction=last)


def _yielded(log: Any, event: Yielded) -> None:
    log.warning("shard yielded", shard=event.shard, reason=event.reason)


def _reloaded(log: Any, event: Reloaded) -> None:
    write = log.info if event.applied else log.error
    write("reloaded" if event.applied else "reload refused", message=event.message)


_LINES: Final[dict[type, Callable[[Any, Any], None]]] = {
    Opened: _opened,
    Closed: _closed,
    Refused: _refused,
    Noticed: _noticed,
    Rejected: _rejected,
    Failed: _failed,
    Acquired: _acquired,
    Recovered: _recovered,
    Yielded: _yielded,
    Reloaded: _reloaded,
}
