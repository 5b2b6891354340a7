"""Tries transactions for real, beside the connector and without touching what it owns."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from connector.adapters.log import kafka_logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from confluent_kafka import Message

TRIES: Final = 7
TIMEOUT: Final = 15.0


class Probe:
    """A producer with an id of its own, so that it fences no owner; its records go to a topic that nobody reads.

    The methods block and raise KafkaException.

    Args:
        properties: librdkafka settings of a client.
        transactional_id: covered by the same prefix as the ids of the shards.
    """

    def __init__(self, properties: Mapping[str, Any], transactional_id: str) -> None:
        self._refused: KafkaError | None = None
        self._producer = Producer(
            {
                **properties,
                "transactional.id": transactional_id,
                "transaction.timeout.ms": int(TIMEOUT * 1000),
                "linger.ms": 0,
                "log_level": 0,
                "logger": kafka_logger(),
                "error_cb": _ignored,
                "on_delivery": self._delivered,
            }
        )

    def begin(self) -> None:
        """Take the transactional id, as the owner of a shard does."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                self._producer.init_transactions(5.0)
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > deadline:
                    raise
            else:
                return

    def commit_time(self, topic: str, partition: int) -> float:
        """Median seconds of a transaction of one small record; the first one, which warms up, does not count."""
        return statistics.median([self._transaction(topic, partition) for _ in range(TRIES)][1:])

    def _transaction(self, topic: str, partition: int) -> float:
        began = time.monotonic()
        self._producer.begin_transaction()
        self._producer.produce(topic, b"", b"check", partition)
        self._producer.flush(TIMEOUT)
        # After a refused record this raises the reason, and never commits.
        self._producer.commit_transaction(TIMEOUT)
        if self._refused is not None:
            raise KafkaException(self._refused)
        return time.monotonic() - began

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        self._refused = error or self._refused


def _ignored(_error: KafkaError) -> None:
    """What matters is raised by the call that it concerns."""
