"""Reads every topic of one account while it is written: the independent consumer whose word counts."""

from __future__ import annotations

import io
import json
import struct
import threading
import time
import uuid
from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import fastavro
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

EOF = KafkaError._PARTITION_EOF
SILENCE = 10.0
"""Seconds; an owner that is well has a heartbeat in each."""


class Message(NamedTuple):
    """One committed record, and when it could be read."""

    topic: str
    partition: int
    offset: int
    key: str
    value: dict[str, Any] | None
    timestamp: int
    seen: float
    """Wall clock, seconds."""


class Audit:
    """A thread that consumes with read_committed from the beginning on; a context manager.

    Args:
        topics: by the short names under which `messages` keeps them.
        schema_of: the schema, as text, of an id in the registry.
    """

    def __init__(self, kafka: str, topics: dict[str, str], schema_of: Callable[[int], str]) -> None:
        self.messages: dict[str, list[Message]] = defaultdict(list)
        self._kafka = kafka
        self._names = {topic: name for name, topic in topics.items()}
        self._schema_of = schema_of
        self._schemas: dict[int, Any] = {}
        self._consumer = Consumer(settings(kafka, "read_committed"))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="audit", daemon=True)
        self.failure: Exception | None = None
        self.positions: dict[tuple[str, int], int] = {}
        self._places: list[tuple[str, int]] = []

    def __enter__(self) -> Self:
        self._places = places(self._consumer, self._names)
        self._assign()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def rows(self) -> list[Message]:
        """The shard rows: one for each transaction."""
        return [one for one in list(self.messages["offsets"]) if one.value["series"] == "#shard"]

    def owner(self) -> str | None:
        """Who wrote the newest transaction."""
        rows = self.rows()
        return rows[-1].value["owner"] if rows else None

    def catch_up(self, seconds: float = 60) -> None:
        """Wait until everything that is committed now was read."""
        consumer = Consumer(settings(self._kafka, "read_committed"))
        try:
            ends = {place: _end(consumer, place) for place in places(consumer, self._names)}
        finally:
            consumer.close()
        deadline = time.monotonic() + seconds
        while any(self.positions.get(place, 0) < end for place, end in ends.items()):
            if self.failure is not None:
                raise self.failure
            assert time.monotonic() < deadline, f"not read to the end within {seconds} s: {ends}"
            time.sleep(0.05)

    def _read(self) -> None:
        heard = time.monotonic()
        try:
            while not self._stop.is_set():
                messages = self._consumer.consume(500, 0.1)
                for message in messages:
                    self._take(message)
                if messages:
                    heard = time.monotonic()
                elif time.monotonic() - heard > SILENCE:
                    self._renew()
                    heard = time.monotonic()
        except Exception as error:  # noqa: BLE001 - told by whoever waits for the thread
            self.failure = error

    def _renew(self) -> None:
        """Read on with a new consumer: after all brokers died, an old one was once seen to stay silent for ever."""
        silent, self._consumer = self._consumer, Consumer(settings(self._kafka, "read_committed"))
        threading.Thread(target=silent.close, daemon=True).start()
        self._assign()

    def _assign(self) -> None:
        self._consumer.assign([TopicPartition(*place, self.positions.get(place, 0)) for place in self._places])

    def _take(self, message: Any) -> None:
        error = message.error()
        place = message.topic(), message.partition()
        if error is not None:
            if error.code() == EOF:
                self.positions[place] = message.offset()
            return
        self.positions[place] = message.offset() + 1
        raw = message.value()
        one = Message(
            message.topic(),
            message.partition(),
            message.offset(),
            message.key().decode(),
            None if raw is None else self.decode(raw),
            message.timestamp()[1],
            time.time(),
        )
        self.messages[self._names[message.topic()]].append(one)

    def decode(self, framed: bytes) -> dict[str, Any]:
        """A framed Avro value; times as milliseconds since 1970."""
        magic, schema_id = struct.unpack(">bI", framed[:5])
        assert magic == 0, framed[:20]
        if schema_id not in self._schemas:
            self._schemas[schema_id] = fastavro.parse_schema(json.loads(self._schema_of(schema_id)))
        value = fastavro.schemaless_reader(io.BytesIO(framed[5:]), self._schemas[schema_id], None)
        return {name: millis(one) if isinstance(one, datetime) else one for name, one in value.items()}


def millis(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def settings(kafka: str, isolation: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": kafka,
        "group.id": f"audit-{uuid.uuid4().hex}",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": isolation,
        "enable.partition.eof": True,
        "reconnect.backoff.max.ms": 500,
        "log_level": 0,
    }


def _end(consumer: Consumer, place: tuple[str, int]) -> int:
    """Where a partition ends now; its leadership may be on the way to another broker after a fault."""
    offsets: list[int] = []

    def asked() -> bool:
        try:
            offsets[:] = consumer.get_watermark_offsets(TopicPartition(*place), timeout=30)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION:
                raise
        return bool(offsets)

    wait_until(asked, what=f"a leader of {place}")
    return offsets[1]


def places(consumer: Consumer, topics: Iterable[str]) -> list[tuple[str, int]]:
    known = consumer.list_topics(timeout=30).topics
    return [(topic, partition) for topic in topics if topic in known for partition in known[topic].partitions]


def uncommitted(kafka: str, topic: str) -> int:
    """How many records a reader sees that does not care whether they were committed."""
    consumer = Consumer(settings(kafka, "read_uncommitted"))
    try:
        left = set(places(consumer, [topic]))
        consumer.assign([TopicPartition(*place, 0) for place in left])
        count = 0
        deadline = time.monotonic() + 60
        while left and time.monotonic() < deadline:
            for message in consumer.consume(1000, 0.2):
                if message.error() is None:
                    count += 1
                elif message.error().code() == EOF:
                    left.discard((message.topic(), message.partition()))
    finally:
        consumer.close()
    return count
