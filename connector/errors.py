"""Every error of the connector, by what to do next.

ConnectorError
├── RETRY   try again after a while (new session, new producer)
│   ├── SourceUnavailable   the source cannot be reached, closed or throttled us
│   ├── SinkUnavailable     Kafka cannot be reached or aborted the transaction
│   │   └── RecordRefused   one record of it will never be accepted: find it, set it aside
│   └── RegistryUnavailable the schema registry cannot be reached
├── STANDBY                 ownership was lost: stop publishing, wait for it again
│   └── SinkFenced
└── STOP    a person has to act; the process ends with `exit_code`
    ├── ConfigError         2
    ├── SourceRejected      3   token or permission refused
    ├── SinkRejected        4   topic, ACL or cluster setting that cannot work
    ├── SchemaError         5   registry subject missing or different
    └── LocalError          6   a server, file or port on this machine
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar


class Recovery(Enum):
    """What the supervisor does after an error."""

    RETRY = "retry"
    STANDBY = "standby"
    STOP = "stop"


class ConnectorError(Exception):
    """An error with one line for the user: the place, what is wrong, the remedy."""

    recovery: ClassVar[Recovery] = Recovery.STOP
    exit_code: ClassVar[int] = 1


class SourceUnavailable(ConnectorError):
    """The source cannot be reached, closed the session or throttled us."""

    recovery = Recovery.RETRY

    def __init__(self, message: str, *, reason: str = "disconnect", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        """Gap reason: disconnect | throttled | auth."""
        self.retry_after = retry_after
        """Seconds that the source asked us to wait, if it did."""


class SinkUnavailable(ConnectorError):
    """Kafka cannot be reached, or the transaction was aborted; recover, then publish again."""

    recovery = Recovery.RETRY


class RecordRefused(SinkUnavailable):
    """Kafka refuses a record of the transaction for good: too large, say."""


class RegistryUnavailable(ConnectorError):
    """The schema registry cannot be reached."""

    recovery = Recovery.RETRY
    exit_code = 5


class SinkFenced(ConnectorError):
    """Another producer took over the transactional id: this replica is no longer the owner."""

    recovery = Recovery.STANDBY
    exit_code = 4


class ConfigError(ConnectorError):
    """The configuration cannot be used."""

    exit_code = 2


class SourceRejected(ConnectorError):
    """The source refuses the token or the permission."""

    exit_code = 3


class SinkRejected(ConnectorError):
    """A topic, an ACL or a cluster setting makes publishing impossible."""

    exit_code = 4


class SchemaError(ConnectorError):
    """A registry subject is missing, different or incompatible."""

    exit_code = 5


class LocalError(ConnectorError):
    """A program, file or port on this machine is missing or busy."""

    exit_code = 6
