"""Reads the progress of one shard back from Kafka, after the fence, committed records only."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from connector.domain.model import OpenGap, Progress, Series, ShardState, SourceOffset
from connector.domain.records import SHARD_ROW
from connector.errors import SinkRejected, SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from connector.domain.records import Hints

END: Final = KafkaError._PARTITION_EOF  # noqa: SLF001 - the public name of the code


class Recovery:
    """Progress of a shard: the rows of its ``offsets`` partition, then what ``metrics`` holds beyond them.

    Args:
        properties: librdkafka settings of a consumer.
        decode: framed Avro bytes to a dict, for any registered version.
        offsets: the topic; its partition ``shard`` is read.
        metrics: the metrics topics; the partitions that belong to the shard are read from the newest hint on.
        timeout: seconds without progress after which the log counts as unavailable.
    """

    def __init__(
        self,
        properties: Mapping[str, Any],
        decode: Callable[[bytes], dict[str, Any]],
        *,
        account: str,
        offsets: str,
        metrics: Sequence[str],
        shard: int,
        partitions: Sequence[int],
        timeout: float,
    ) -> None:
        self._properties = {
            **properties,
            "group.id": f"{offsets}.recovery",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
        }
        self._decode = decode
        self._account = account
        self._offsets = offsets
        self._metrics = metrics
        self._shard = shard
        self._partitions = partitions
        self._timeout = timeout

    def read(self) -> tuple[Progress, Hints]:
        """The progress, and the newest offset of each metrics partition.

        Raises:
            SinkUnavailable: no answer in time.
            SinkRejected: a topic is missing or may not be read.
        """
        consumer = Consumer(self._properties)
        try:
            return self._read(consumer)
        except KafkaException as error:
            raise self._translate(error.args[0]) from error
        finally:
            consumer.close()

    def _read(self, consumer: Consumer) -> tuple[Progress, Hints]:
        rows = self._rows(consumer)
        shard_row = rows.pop(SHARD_ROW, None)
        offsets = {Series.parse(name): _offset(row) for name, row in rows.items()}
        hints: Hints = {}
        for row in rows.values():
            if row["offset_hint"] is not None:
                place = row["topic"], row["partition"]
                hints[place] = max(hints.get(place, -1), row["offset_hint"])
        ends = self._newer(consumer, offsets, hints)
        lost = shard_row is None and self._had_past(consumer)
        return Progress(_shard_state(shard_row), offsets, lost), ends

    def _rows(self, consumer: Consumer) -> dict[str, dict[str, Any]]:
        """The newest row of each series; compaction may not have happened yet."""
        newest: dict[bytes, bytes] = {}
        start = {TopicPartition(self._offsets, self._shard): OFFSET_BEGINNING}
        for message in self._scan(consumer, start)[1]:
            newest[message.key() or b""] = message.value() or b""
        rows = (self._decode(value) for value in newest.values())
        return {row["series"]: row for row in rows if row["account"] == self._account}

    def _newer(self, consumer: Consumer, offsets: dict[Series, SourceOffset], hints: Hints) -> Hints:
        """Add what a torn transaction left in metrics without its offsets; return the end of each partition."""
        places = [TopicPartition(topic, partition) for topic in self._metrics for partition in self._partitions]
        start = {place: hints.get((place.topic, place.partition), -1) + 1 for place in places}
        known = {place for place in places if (place.topic, place.partition) in hints}
        ends, messages = self._scan(consumer, {place: start[place] for place in known})
        for message in messages:
            update = self._decode(message.value() or b"")
            if update["account"] == self._account:
                _advance(offsets, update)
        for place in set(places) - known:
            ends[place] = self._end(consumer, place)
        return {(place.topic, place.partition): end - 1 for place, end in ends.items()}

    def _had_past(self, consumer: Consumer) -> bool:
        return self._end(consumer, TopicPartition(self._offsets, self._shard)) > 0

    def _end(self, consumer: Consumer, place: TopicPartition) -> int:
        return int(consumer.get_watermark_offsets(place, timeout=self._timeout)[1])

    def _scan(
        self, consumer: Consumer, start: dict[TopicPartition, int]
    ) -> tuple[dict[TopicPartition, int], Iterator[Message]]:
        ends = {place: self._end(consumer, place) for place in start}
        wanted = {place: start[place] for place, end in ends.items() if end > max(start[place], 0)}
        return ends, self._messages(consumer, wanted, ends)

    def _messages(
        self, consumer: Consumer, start: dict[TopicPartition, int], ends: dict[TopicPartition, int]
    ) -> Iterator[Message]:
        """Committed messages up to the ends; an end is reached by position, since markers take offsets too."""
        open_places = {(place.topic, place.partition): ends[place] for place in start}
        if not open_places:
            return
        consumer.assign([TopicPartition(p.topic, p.partition, offset) for p, offset in start.items()])
        deadline = time.monotonic() + self._timeout
        while open_places:
            for message in consumer.consume(1000, timeout=0.05):
                place, offset = position(message)
                error = message.error()
                if error is None:
                    deadline = time.monotonic() + self._timeout
                    yield message
                    reached = offset + 1
                elif error.code() == END:
                    reached = offset
                else:
                    raise KafkaException(error)
                if reached >= open_places.get(place, reached + 1):
                    del open_places[place]
            if time.monotonic() > deadline:
                raise SinkUnavailable(f"Kafka: {sorted(open_places)} not readable to the end in {self._timeout:.0f} s")
        consumer.unassign()

    def _translate(self, error: KafkaError) -> SinkUnavailable | SinkRejected:
        text = f"Kafka: reading {self._offsets}: {error.str()} ({error.name()})"
        missing = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)  # noqa: SLF001
        if error.code() in missing:
            return SinkRejected(f"{text}; run `zendesk-chat-kafka provision`")
        if error.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED):
            return SinkRejected(f"{text}; grant Read on it")
        return SinkUnavailable(text)


def position(message: Message) -> tuple[tuple[str, int], int]:
    """Topic and partition, and the offset in it; the client's types allow None, a received message has them."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return (topic, partition), offset


def _offset(row: Mapping[str, Any]) -> SourceOffset:
    gap = None
    if row.get("gap_started_at") is not None:
        gap = OpenGap(row["gap_started_at"] * 1000, row["gap_reason"])
    received = row["last_received_at"]
    return SourceOffset(
        Series.parse(row["series"]),
        row["state"],
        row["epoch"],
        row["last_sequence"],
        row["last_value"],
        row["last_value_raw"],
        None if received is None else received * 1000,
        row["session_id"],
        gap,
    )


def _shard_state(row: Mapping[str, Any] | None) -> ShardState:
    if row is None:
        return ShardState()
    return ShardState(
        row["owner"],
        row["owner_epoch"],
        row["batch_id"],
        row["heartbeat_seq"] or 0,
        (row["complete_through"] or 0) * 1000,
    )


def _advance(offsets: dict[Series, SourceOffset], update: Mapping[str, Any]) -> None:
    series = Series.parse(update["series"])
    known = offsets.get(series)
    if known is None or update["sequence"] > known.sequence:
        offsets[series] = SourceOffset(
            series,
            "active",
            max(update["epoch"], known.epoch if known else 0),
            update["sequence"],
            update["value"],
            update["value_raw"],
            update["received_at_us"],
            update["session_id"],
        )
