"""One line of what ``check`` says, and what all lines together mean for the promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from connector.config.redaction import redact
from connector.errors import ConnectorError, SinkRejected

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connector.config import Config

STRICT: Final = "strict"


class Finding(NamedTuple):
    """One line of the report. ``exit_code`` is that of a failure, 0 otherwise."""

    state: str
    """pass | warn | fail"""
    subject: str
    text: str
    remedy: str = ""
    exit_code: int = 0
    weakens: bool = False
    """The whole promise cannot be kept as it is."""


def failed(subject: str, error: ConnectorError) -> Finding:
    """A failure; our errors say what and, after a semicolon, the remedy."""
    text, _, remedy = redact(str(error)).removeprefix(f"{subject}: ").partition("; ")
    return Finding("fail", subject, text, remedy, error.exit_code)


def weakness(config: Config, subject: str, text: str, remedy: str) -> Finding:
    """Something that breaks the promise: refused with guarantee: strict, said aloud otherwise."""
    if config.guarantee == STRICT:
        return Finding("fail", subject, text, remedy, SinkRejected.exit_code, weakens=True)
    return Finding("warn", subject, text, remedy, weakens=True)


def promise(config: Config, findings: Iterable[Finding]) -> tuple[str, list[str]]:
    """Which promise holds (strict | best-effort | demo), and why it is no better."""
    if config.guarantee == "demo":
        return "demo", ["the embedded demo broker keeps no promise"]
    why = [finding.text for finding in findings if finding.weakens]
    return ("best-effort", why) if why else (STRICT, [])
