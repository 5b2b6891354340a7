"""What librdkafka says, in our words: its errors by their codes, and the log lines that tell of lost connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError, KafkaException

from connector.errors import ConnectorError, RecordRefused, SinkFenced, SinkRejected, SinkUnavailable

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

FENCED: Final = frozenset(
    {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}  # noqa: SLF001 - public names
)
REFUSED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,  # noqa: SLF001
        KafkaError.UNSUPPORTED_VERSION,
    }
)
TOO_LARGE: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
    }
)
"""What is wrong with a record itself: sending it again changes nothing."""

BROKEN: Final = frozenset({"FAIL", "REQTMOUT"})
"""What librdkafka calls its lines about a lost connection and an overdue answer."""
INFO: Final = 6
"""The level, as of syslog, at which librdkafka tells of a lost connection."""


def translate(error: KafkaError, doing: str) -> ConnectorError:
    """One error of librdkafka as ours, by what it says of itself; the only place that reads its flags.

    Whatever is not known to be final ends the transaction and the producer: the log tells what happened.
    """
    text = f"Kafka: {doing}: {error.str()} ({error.name()})"
    if error.code() in FENCED:
        return SinkFenced(f"{text}; another producer uses this transactional id")
    if error.code() in REFUSED:
        return SinkRejected(f"{text}; zendesk-chat-kafka check names the permission that is missing")
    if error.code() in TOO_LARGE:
        return RecordRefused(text)
    return SinkUnavailable(text)


def reason_of(error: BaseException) -> KafkaError:
    """What librdkafka raised.

    confluent_kafka raises a fatal error inside a callback and goes on with the next: a log line that follows in the
    same call turns it into a SystemError, with the fatal one as its cause, or with none. Then only the log can tell.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KafkaException):
            reason: KafkaError = cause.args[0]
            return reason
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, SystemError):
        return KafkaError(KafkaError._FATAL, str(error), False, True, False)  # noqa: SLF001
    raise error


class Heard:
    """librdkafka's log lines on their way to a logger, overheard for lost connections.

    Its error callback is not called for a connection that the other side closed: only a log line tells.
    """

    def __init__(self, logger: logging.Logger, hear: Callable[[str], None]) -> None:
        self._logger = logger
        self._hear = hear

    def log(self, level: int, template: str, kind: str, client: str, text: str) -> None:
        """One line, as confluent_kafka passes it on."""
        if kind in BROKEN:
            self._hear(text)
        self._logger.log(level, template, kind, client, text)
