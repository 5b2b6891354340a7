"""Puts a recording into a cluster: topics compared or created, schemas registered, records in transactions."""

from __future__ import annotations

import json
import time
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from confluent_kafka import Consumer, ConsumerGroupState, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from connector.adapters.admin import Admin, Topic
from connector.adapters.framing import Decoder, Encoder
from connector.adapters.reported import translate
from connector.errors import SchemaError, SinkRejected, SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from connector.adapters.recording import Recorded, RecordedSchema, Recording
    from connector.adapters.registry import SchemaRegistry
    from connector.config import Kafka

TRANSACTION: Final = 500
"""Records from which on a transaction ends; recorded transactions stay whole."""
_NOBODY: Final = (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD)
_TIMEOUT: Final = 30.0
_COMPACTED: Final = ("latest", "offsets")
_NAMES_TOPICS: Final = ("topic", "intended_topic")
"""Fields that hold the name of a topic, prefix included."""


class Replayed(NamedTuple):
    """What was done. ``schemas``: id in the recording -> id in the registry."""

    records: int
    transactions: int
    seconds: float
    schemas: dict[int, int]


class Replay:
    """One recording on its way into one cluster, under a prefix of its own.

    Args:
        shift_ms: added to every time of every record, in milliseconds; 0 keeps what was recorded.
    """

    def __init__(self, recording: Recording, kafka: Kafka, *, prefix: str, shift_ms: int = 0) -> None:
        self._recording = recording
        self._kafka = kafka
        self._prefix = prefix
        self._shift_ms = shift_ms

    @property
    def topics(self) -> tuple[Topic, ...]:
        """The topics of the recording, as they must be; recorded times must not expire."""
        recording = self._recording
        deleted = {"cleanup.policy": "delete"} | ({} if self._shift_ms else {"retention.ms": "-1"})
        return tuple(
            Topic(
                f"{self._prefix}.{name}",
                recording.shards if name.endswith(".offsets") else recording.partitions,
                {"cleanup.policy": "compact"} if name.rpartition(".")[2] in _COMPACTED else deleted,
            )
            for name in recording.counts
        )

    def prepare(self, *, provision: bool, force: bool) -> None:
        """Compare the topics, or create them; see that nobody else writes there.

        Raises:
            SinkRejected: a topic is missing or differs, somebody writes under the prefix, or it has records.
            SinkUnavailable
        """
        admin = Admin(self._kafka, strict=False)
        differences = admin.inspect(self.topics)
        there = {topic.name for topic in self.topics} - {one.topic for one in differences if one.what == "topic"}
        wrong = [one for one in differences if one.fatal and one.what != "topic"]
        if wrong:
            text = f"topic {wrong[0].topic}: {wrong[0].what} is {wrong[0].found}, not {wrong[0].expected}"
            raise SinkRejected(f"{text} as in the recording; choose another --prefix")
        missing = [topic for topic in self.topics if topic.name not in there]
        if missing and not provision:
            raise SinkRejected(f"topic {missing[0].name}: missing; create it with --provision")
        if not force:
            self._refuse_others(there)
        admin.provision(missing)

    def register(self, registry: SchemaRegistry) -> dict[int, int]:
        """The id in the registry of each id in the recording; versions that are missing are registered.

        Raises:
            SchemaError, RegistryUnavailable
        """
        ids: dict[int, int] = {}
        by_subject: dict[str, list[RecordedSchema]] = {}
        for one in sorted(self._recording.schemas, key=lambda schema: schema.version):
            for subject in one.subjects:
                by_subject.setdefault(subject, []).append(one)
        for subject, versions in by_subject.items():
            found = registry.register_versions(f"{self._prefix}.{subject}", [one.text for one in versions])
            for one, number in zip(versions, found, strict=True):
                if ids.setdefault(one.schema_id, number) != number:
                    raise SchemaError(f"subject {self._prefix}.{subject}: one schema, two ids: {number} and others")
        return ids

    def run(self, ids: dict[int, int], progress: Callable[[int], None] | None = None) -> Replayed:
        """Write every record; ``progress`` is told how many more are committed.

        Raises:
            SinkUnavailable, SinkRejected: what was not committed is aborted.
        """
        began = time.monotonic()
        rewrite = Rewriting(self._recording, ids, self._prefix, self._shift_ms)
        settings = {
            **self._kafka.connection(),
            "transactional.id": f"{self._prefix}.replay",
            "partitioner": "murmur2_random",
            "linger.ms": 5,
            "log_level": 0,
        }
        producer = Producer(settings)
        records = transactions = 0
        try:
            producer.init_transactions(_TIMEOUT)
            for batch in batches(self._recording.records()):
                self._write(producer, batch, rewrite)
                records, transactions = records + len(batch), transactions + 1
                if progress is not None:
                    progress(len(batch))
        except KafkaException as error:
            raise translate(error.args[0], "replay") from error
        return Replayed(records, transactions, round(time.monotonic() - began, 1), ids)

    def _write(self, producer: Producer, batch: list[Recorded], rewrite: Rewriting) -> None:
        producer.begin_transaction()
        try:
            for one in batch:
                producer.produce(
                    f"{self._prefix}.{one.topic}",
                    rewrite(one.value),
                    one.key,
                    one.partition,
                    timestamp=one.timestamp_ms + self._shift_ms,
                    headers=list(one.headers),
                )
            producer.commit_transaction(_TIMEOUT)
        except BaseException:
            producer.purge()
            producer.abort_transaction(_TIMEOUT)
            raise

    # Others.

    def _refuse_others(self, there: set[str]) -> None:
        group = f"{self._prefix}.{self._recording.account}"
        connection = {**self._kafka.connection(), "log_level": 0}
        admin = AdminClient(connection)
        consumer = Consumer({**connection, "group.id": f"{group}.replay"})
        try:
            if group in _active(admin):
                raise SinkRejected(f"prefix {self._prefix}: a connector is running there (group {group}); {_OTHER}")
            for topic in sorted(there):
                self._refuse_topic(consumer, topic)
        except KafkaException as error:
            raise SinkUnavailable(f"Kafka: {error.args[0].str()}; check that the brokers run") from error
        finally:
            consumer.close()

    def _refuse_topic(self, consumer: Consumer, topic: str) -> None:
        places = [TopicPartition(topic, number) for number in consumer.list_topics(topic).topics[topic].partitions]
        for place in places:
            low, high = consumer.get_watermark_offsets(place, timeout=_TIMEOUT)
            if high > low:
                raise SinkRejected(f"topic {topic}: has records; they would be there twice; {_OTHER}")


def _active(admin: AdminClient) -> set[str]:
    """The consumer groups with members, or about to have some."""
    groups = admin.list_consumer_groups(request_timeout=_TIMEOUT).result()
    if groups.errors:
        raise KafkaException(groups.errors[0])
    return {one.group_id for one in groups.valid if one.state not in _NOBODY}


_OTHER: Final = "choose another --prefix, or --force"


class Rewriting:
    """Values with the registry's schema ids, the new prefix and shifted times; else the same bytes."""

    def __init__(self, recording: Recording, ids: dict[int, int], prefix: str, shift_ms: int) -> None:
        self._ids = ids
        self._from, self._to = f"{recording.prefix}.", f"{prefix}."
        texts = {one.schema_id: one.text for one in recording.schemas}
        self._decode = Decoder(texts.__getitem__)
        self._encoders = {number: Encoder("", ids[number], text) for number, text in texts.items()}
        self._shifts = {number: dict(_times(text, shift_ms)) for number, text in texts.items()}
        self._renamed = {
            number: _fields(text).keys() & _NAMES_TOPICS if prefix != recording.prefix else set()
            for number, text in texts.items()
        }

    def __call__(self, framed: bytes | None) -> bytes | None:
        """The value as it is written."""
        if framed is None:
            return None
        number = int.from_bytes(framed[1:5], "big")
        shifts, renamed = self._shifts[number], self._renamed[number]
        if not shifts and not renamed:
            return framed[:1] + self._ids[number].to_bytes(4, "big") + framed[5:]
        value = self._decode(framed)
        for name, by in shifts.items():
            if value[name] is not None:
                value[name] += by
        for name in renamed:
            if value[name] is not None and value[name].startswith(self._from):
                value[name] = self._to + value[name].removeprefix(self._from)
        return self._encoders[number](value)


def batches(records: Iterable[Recorded]) -> Iterator[list[Recorded]]:
    """Whole recorded transactions, put together until there are enough records."""
    batch: list[Recorded] = []
    for _, group in groupby(records, key=lambda record: record.transaction):
        batch += group
        if len(batch) >= TRANSACTION:
            yield batch
            batch = []
    if batch:
        yield batch


def _fields(text: str) -> dict[str, Any]:
    return {field["name"]: field["type"] for field in json.loads(text)["fields"]}


def _times(text: str, shift_ms: int) -> Iterator[tuple[str, int]]:
    """The fields that hold a time, and by how much each moves: microseconds end in ``_us``."""
    if not shift_ms:
        return
    for name, kind in _fields(text).items():
        if "timestamp-millis" in json.dumps(kind):
            yield name, shift_ms
        elif name.endswith("_us"):
            yield name, shift_ms * 1000
