"""Reads committed records from Kafka up to real partition ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from connector.errors import SinkRejected, SinkUnavailable
from connector.verify.findings import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from connector.config import Config
    from connector.verify.decode import Decoder

_EOF: Final = KafkaError._PARTITION_EOF  # noqa: SLF001 - the public name of the code
_MISSING: Final = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)  # noqa: SLF001
_PASSING: Final = (
    KafkaError._TRANSPORT,  # noqa: SLF001
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.OFFSET_NOT_AVAILABLE,
)
_EARLIEST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_REFUSED: Final = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)

Partition = tuple[str, int]
Ends = dict[Partition, int]


class Reader:
    """One consumer, assigned by hand; it joins no group and commits nothing.

    An end is the high watermark, asked for before reading; it is reached by position, since aborted records and
    markers take offsets too. A transaction that stays open for ``patience`` seconds blocks a partition for good.
    """

    def __init__(self, config: Config, decode: Decoder) -> None:
        connection = config.kafka.connection()
        self.patience = 2 * config.kafka.transaction_timeout + 10
        self._timeout = 30.0
        self._decode = decode
        self._admin = AdminClient(connection)
        self._consumer = Consumer(
            {
                **connection,
                "group.id": f"{config.names.group}.verify",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
                "queued.max.messages.kbytes": 16384,
            }
        )
        self._reached: Ends = {}

    def close(self) -> None:
        """Let the consumer go."""
        self._consumer.close()

    def topics(self) -> dict[str, int]:
        """Every topic that may be seen, with its number of partitions."""
        try:
            found = self._admin.list_topics(timeout=self._timeout).topics
        except KafkaException as error:
            raise translate(error.args[0], "listing the topics") from error
        return {name: len(topic.partitions) for name, topic in found.items() if topic.error is None}

    def add(self, partitions: Iterable[Partition], since_ms: int | None = None) -> None:
        """Read these partitions too, from their beginning or from an instant on."""
        starts = dict.fromkeys(partitions, OFFSET_BEGINNING)
        if since_ms is not None:
            found = self._offsets(starts, OffsetSpec.for_timestamp(since_ms))
            starts = {place: offset if offset >= 0 else OFFSET_END for place, offset in found.items()}
        self._reached |= dict.fromkeys(starts, 0)
        self._consumer.incremental_assign([TopicPartition(*place, offset) for place, offset in starts.items()])

    def truncated(self, partitions: Collection[Partition]) -> set[Partition]:
        """Those of the partitions whose oldest records are gone."""
        return {place for place, offset in self._offsets(partitions, _EARLIEST).items() if offset > 0}

    def read(self, feed: Callable[[Message], None], progress: Callable[[int, int], None] | None = None) -> None:
        """Feed every committed record of every partition up to its end as of now; what follows may be fed too.

        ``progress`` is told offsets done and offsets in all.

        Raises:
            SinkUnavailable: Kafka does not answer, or an open transaction blocks a partition.
        """
        ends = self._offsets(self._reached, _LATEST)
        behind = {place for place, end in ends.items() if self._reached[place] < end}
        deadline = time.monotonic() + self.patience
        while behind:
            messages = self._consumer.consume(1000, timeout=0.1)
            for message in messages:
                place = self._take(message, feed)
                if place in behind and message.error() is None:
                    deadline = time.monotonic() + self.patience
                if place in behind and self._reached[place] >= ends[place]:
                    behind.discard(place)
            if progress is not None:
                progress(sum(min(self._reached[place], end) for place, end in ends.items()), sum(ends.values()))
            if time.monotonic() > deadline:
                raise self._blocked(behind)

    def _take(self, message: KafkaMessage, feed: Callable[[Message], None]) -> Partition:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        error = message.error()
        if error is None:
            assert topic is not None
            assert partition is not None
            assert offset is not None
            feed(self._decoded(message, topic, partition, offset))
            self._reached[topic, partition] = offset + 1
        elif error.code() == _EOF:
            assert offset is not None
            self._reached[topic, partition] = max(offset, self._reached[topic, partition])  # type: ignore[index]
        elif not _passing(error):
            raise translate(error, "reading")
        return topic, partition  # type: ignore[return-value]

    def _decoded(self, message: KafkaMessage, topic: str, partition: int, offset: int) -> Message:
        payload = message.value()
        value: dict[str, Any] | None = None
        problem = None
        if payload is not None:
            try:
                value = self._decode(payload)
            except ValueError as error:
                problem = str(error)
        timestamp = message.timestamp()[1]
        headers: Any = message.headers()
        return Message(topic, partition, offset, message.key(), value, timestamp, headers, problem)

    def _offsets(self, partitions: Iterable[Partition], spec: Any) -> Ends:
        """Offsets of all records, uncommitted ones included: the true ends. Waits while leaders change."""
        asked = {TopicPartition(*place): spec for place in partitions}
        deadline = time.monotonic() + self._timeout
        while True:
            futures = self._admin.list_offsets(
                asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=self._timeout
            )
            try:
                return {(place.topic, place.partition): future.result().offset for place, future in futures.items()}
            except KafkaException as error:
                if not _passing(error.args[0]) or time.monotonic() > deadline:
                    raise translate(error.args[0], "asking for offsets") from error
                time.sleep(0.2)

    def _blocked(self, behind: Iterable[Partition]) -> SinkUnavailable:
        places = ", ".join(f"{topic}[{partition}]@{self._reached[topic, partition]}" for topic, partition in behind)
        return SinkUnavailable(
            f"Kafka: {places}: nothing readable for {self.patience:.0f} s though the partition goes on; is Kafka away,"
            " or a transaction hanging (kafka-transactions.sh find-hanging)?"
        )


def _passing(error: KafkaError) -> bool:
    """True for what a cluster says while it changes; the deadlines bound how long it may go on."""
    return bool(error.retriable()) or error.code() in _PASSING


def translate(error: KafkaError, doing: str) -> SinkRejected | SinkUnavailable:
    """One error of librdkafka as ours."""
    text = f"Kafka: {doing}: {error.str()} ({error.name()})"
    if error.code() in _MISSING:
        return SinkRejected(f"{text}; run zendesk-chat-kafka provision")
    if error.code() in _REFUSED:
        return SinkRejected(f"{text}; grant Read and Describe")
    return SinkUnavailable(text)


def places_of(topics: Iterable[str], partitions: Mapping[str, int]) -> list[Partition]:
    """Every partition of some topics."""
    return [(topic, at) for topic in topics for at in range(partitions[topic])]
