"""An independent consumer of what the connector wrote: its own client, its own Avro decoding, read_committed."""

from __future__ import annotations

import io
import json
import math
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import fastavro
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from connector.demo.brokers import metrics_topic
from connector.errors import LocalError, SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from confluent_kafka import Message

    from connector.demo.comparison import Identity
    from connector.domain.topics import Topics

_MEMORY: Final = 2.0
"""Seconds over which a rate forgets."""
_TIMEOUT: Final = 10.0
_FRAMING: Final = 5
"""Bytes before each value: a zero and the schema's id."""


@dataclass
class Pace:
    """A rate that fades: events per second over the last few seconds."""

    rate: float = 0.0
    at: float = 0.0

    def count(self, now: float) -> None:
        """One more event."""
        self.rate, self.at = self.per_second(now) + 1 / _MEMORY, now

    def per_second(self, now: float) -> float:
        """The rate at this moment."""
        return self.rate * math.exp((self.at - now) / _MEMORY)


@dataclass
class Row:
    """The newest record of one series."""

    department: str
    value: str = ""
    sequence: int = 0
    received: float = 0.0
    """Seconds since 1970."""
    pace: Pace = field(default_factory=Pace)


@dataclass
class Seen:
    """Everything read so far."""

    rows: dict[str, Row] = field(default_factory=dict)
    identities: Counter[Identity] = field(default_factory=Counter)
    consumed: int = 0
    gaps: set[str] = field(default_factory=set)
    dead_letters: int = 0
    complete: dict[int, float] = field(default_factory=dict)
    """By partition, seconds since 1970 up to which the heartbeats vouch for everything."""
    pace: Pace = field(default_factory=Pace)

    def complete_through(self, partitions: int) -> float | None:
        """The moment up to which all partitions are complete; None before each has a heartbeat."""
        return min(self.complete.values()) if len(self.complete) == partitions else None


class Reader:
    """Reads every partition from its beginning, in no group.

    Args:
        connection: librdkafka settings.
        registry: base URL of the schema registry.
        partitions: of each topic.
    """

    def __init__(self, connection: Mapping[str, Any], names: Topics, registry: str, partitions: int) -> None:
        self.seen = Seen()
        self._registry = registry
        self._schemas: dict[int, Any] = {}
        self._take = {
            metrics_topic(names): self._update,
            names.gaps: self._gap,
            names.dead_letters: self._dead_letter,
            names.heartbeats: self._heartbeat,
        }
        self._places = [TopicPartition(topic, number, 0) for topic in self._take for number in range(partitions)]
        self._reached: dict[tuple[str, int], int] = {}
        self._consumer = Consumer(
            {
                **connection,
                "group.id": "demo-reader",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
                "fetch.error.backoff.ms": 20,
                "topic.metadata.refresh.fast.interval.ms": 50,
                "log_level": 0,
            }
        )
        self.assigned = False
        """The topics were seen, and are read."""

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()

    def read(self, seconds: float) -> None:
        """Take what comes within that time, or sooner.

        Raises:
            SinkUnavailable: the broker is gone.
        """
        if not self.assigned and not self._assign():
            time.sleep(seconds)
            return
        for message in self._consumer.consume(1000, seconds):
            error = message.error()
            place = str(message.topic()), message.partition() or 0
            if error is None:
                self._take[place[0]](message)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the public name of the code
                self._reached[place] = message.offset() or 0
            elif not error.retriable():
                raise SinkUnavailable(f"the demo's reader: {error.str()}; start the demo again")

    def read_to_end(self) -> None:
        """Read what is committed by now.

        Raises:
            LocalError: it takes too long.
        """
        try:
            ends = {place: self._end(place) for place in self._places}
        except KafkaException as error:
            raise SinkUnavailable(f"the demo's reader: {error.args[0].str()}; start the demo again") from error
        deadline = time.monotonic() + 6 * _TIMEOUT
        while any(self._reached.get((place.topic, place.partition), 0) < end for place, end in ends.items()):
            self.read(0.1)
            if time.monotonic() > deadline:
                raise LocalError("the demo's reader did not come to the end; lower --rate")

    def _assign(self) -> bool:
        """Begin as soon as the topics are there."""
        try:
            there = self._consumer.list_topics(timeout=1.0).topics
        except KafkaException:
            return False
        if all(place.topic in there and place.partition in there[place.topic].partitions for place in self._places):
            self._consumer.assign(self._places)
            self.assigned = True
        return self.assigned

    def _end(self, place: TopicPartition) -> int:
        return int(self._consumer.get_watermark_offsets(place, timeout=_TIMEOUT)[1])

    # One record of each topic.

    def _update(self, message: Message) -> None:
        value = self._decode(message)
        now = time.monotonic()
        seen, series = self.seen, value["series"]
        seen.consumed += 1
        seen.identities[value["session_id"], value["frame"], series] += 1
        seen.pace.count(now)
        row = seen.rows.get(series)
        if row is None:
            row = seen.rows[series] = Row(_text(message.key()))
        row.value = "null" if value["value_raw"] is None else str(value["value_raw"])
        row.sequence, row.received = value["sequence"], message.timestamp()[1] / 1000
        row.pace.count(now)

    def _gap(self, message: Message) -> None:
        self.seen.gaps.add(self._decode(message)["gap_id"])

    def _dead_letter(self, _message: Message) -> None:
        self.seen.dead_letters += 1

    def _heartbeat(self, message: Message) -> None:
        # Its timestamp is complete_through; decoding it all the same proves that it can be.
        self.seen.complete[self._decode(message)["partition"]] = message.timestamp()[1] / 1000

    def _decode(self, message: Message) -> dict[str, Any]:
        data = bytes(message.value() or b"")
        schema = self._schema(int.from_bytes(data[1:_FRAMING], "big"))
        record: dict[str, Any] = fastavro.schemaless_reader(io.BytesIO(data[_FRAMING:]), schema, None)  # type: ignore[assignment]
        return record

    def _schema(self, schema_id: int) -> Any:
        if schema_id not in self._schemas:
            # The registry listens on loopback, whatever proxy the environment names.
            direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with direct.open(f"{self._registry}/schemas/ids/{schema_id}", timeout=_TIMEOUT) as answer:
                self._schemas[schema_id] = fastavro.parse_schema(json.loads(json.load(answer)["schema"]))
        return self._schemas[schema_id]


def _text(key: bytes | str | None) -> str:
    return key.decode() if isinstance(key, bytes) else str(key)
