"""Reads partitions of committed records to their ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connector.errors import SinkRejected, SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

Place = tuple[str, int]
"""Topic and partition."""

END: Final = KafkaError._PARTITION_EOF  # noqa: SLF001 - the public name of the code
MISSING: Final = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)  # noqa: SLF001
DENIED: Final = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)


def position(message: Message) -> tuple[Place, int]:
    """Where a message is, and its offset; the client's types allow None, a received message has them."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return (topic, partition), offset


class Scan:
    """A consumer without a group, open for the length of a ``with``.

    Args:
        properties: librdkafka settings of a consumer.
        name: what it calls itself; only shown.
        timeout: seconds without progress after which Kafka counts as away.
    """

    def __init__(self, properties: Mapping[str, Any], *, name: str, timeout: float) -> None:
        self._timeout = timeout
        self._consumer = Consumer(
            {
                **properties,
                "group.id": name,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()
        if isinstance(error, KafkaException):
            raise _translate(error.args[0]) from error

    def bounds(self, place: Place) -> tuple[int, int]:
        """First offset that is kept, and the one after the newest record or marker."""
        low, high = self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=self._timeout)
        return int(low), int(high)

    def require(self, places: Iterable[Place]) -> None:
        """Look whether the partitions are there.

        Raises:
            SinkRejected: one is missing; it is named.
        """
        for place in places:
            try:
                self.bounds(place)
            except KafkaException as error:
                if error.args[0].code() not in MISSING:
                    raise
                raise SinkRejected(f"Kafka: topic {place[0]} is missing; run zendesk-chat-kafka provision") from error

    def read(self, starts: Mapping[Place, int]) -> Iterator[Message]:
        """Committed messages from the given offsets to the ends as they are now.

        Raises:
            SinkUnavailable: an end was not reached in time, since a transaction of somebody else is open.
        """
        left = {}
        for place, start in starts.items():
            low, high = self.bounds(place)
            if high > max(low, start):
                left[place] = high
        if not left:
            return
        self._consumer.assign([TopicPartition(*place, max(starts[place], 0)) for place in left])
        deadline = time.monotonic() + self._timeout
        while left:
            for message in self._consumer.consume(1000, timeout=0.05):
                place, offset = position(message)
                error = message.error()
                if error is None:
                    deadline = time.monotonic() + self._timeout
                    yield message
                    offset += 1
                elif error.code() != END:
                    raise KafkaException(error)
                # Markers take offsets too: the end is reached by position, not by the newest record.
                if place in left and offset >= left[place]:
                    del left[place]
            if time.monotonic() > deadline:
                raise SinkUnavailable(f"Kafka: {sorted(left)} not readable to the end in {self._timeout:.0f} s")
        self._consumer.unassign()


def _translate(error: KafkaError) -> SinkUnavailable | SinkRejected:
    text = f"Kafka: reading progress back: {error.str()} ({error.name()})"
    if error.code() in MISSING:
        return SinkRejected(f"{text}; run zendesk-chat-kafka provision")
    if error.code() in DENIED:
        return SinkRejected(f"{text}; grant Read on the topics and Describe on the group")
    return SinkUnavailable(text)
