"""Committed records of a topic, read and decoded for people."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from connector.adapters.registry import SchemaRegistry
from connector.errors import ConfigError, SinkRejected, SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from confluent_kafka import Message

    from connector.adapters.framing import Decoder
    from connector.config import Config

_NOT_THERE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)  # noqa: SLF001 - public name of the code
_END = KafkaError._PARTITION_EOF  # noqa: SLF001
_TIMEOUT = 15.0


class Row(NamedTuple):
    """One record; ``value`` None is a tombstone."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: str
    value: dict[str, Any] | None

    def as_json(self) -> dict[str, Any]:
        """For machines: bytes as base64 and, where they are text, as text."""
        value = self.value
        if value is not None and isinstance(value.get("payload"), bytes):
            payload: bytes = value["payload"]
            coded = base64.b64encode(payload).decode()
            value = {**value, "payload": payload.decode(errors="backslashreplace"), "payload_base64": coded}
        return {**self._asdict(), "value": value}

    def as_text(self, kind: str) -> str:
        """For people: one line."""
        at = datetime.fromtimestamp(self.timestamp_ms / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
        place = f"{self.partition}@{self.offset}"
        if self.value is None:
            return f"{at}  {place:>9}  {self.key}  (removed)"
        if kind in ("metrics", "latest"):
            return f"{at}  {place:>9}  {_update(self.value)}"
        shown = json.dumps(self.as_json()["value"], ensure_ascii=False, separators=(",", ":"))
        return f"{at}  {place:>9}  {self.key}  {shown}"


def _update(value: dict[str, Any]) -> str:
    number = "null" if value["value_raw"] is None else value["value_raw"]
    counted = f"{value['epoch']}/{value['sequence']}"
    return f"{value['series']:<32}  {number:>8} {value['unit']:<8}  {counted:>9}  {value['origin']}"


class Filter(NamedTuple):
    """Which records to show; an empty set wants all."""

    metrics: frozenset[str]
    departments: frozenset[str]
    series: frozenset[str]

    def matches(self, row: Row) -> bool:
        """True if the record is wanted; a tombstone has only its key, ``account/series``."""
        name = row.key.partition("/")[2] if row.value is None else str(row.value.get("series") or "")
        metric, _, rest = name.partition("|")
        department = rest.partition("|")[2] or ("all" if rest else "")
        return (
            (not self.series or name in self.series)
            and (not self.metrics or metric.rpartition(".")[2] in self.metrics)
            and (not self.departments or department in self.departments)
        )


class Reader:
    """Reads committed records of some topics, all partitions, with no group that anybody could disturb."""

    def __init__(self, config: Config, topics: Sequence[str], *, from_beginning: bool, follow: bool) -> None:
        self._topics = topics
        self._start = OFFSET_BEGINNING if from_beginning else OFFSET_END
        self._follow = follow
        self._registry = SchemaRegistry(config.registry)
        self._decode: Decoder = self._registry.decoder()
        settings = {
            **config.kafka.connection(),
            "group.id": f"{config.names.group}.tail",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest" if from_beginning else "latest",
            # What its own log lines say comes as an error too.
            "log_level": 0,
        }
        try:
            self._consumer = Consumer(settings)
        except KafkaException as error:
            raise ConfigError(f"kafka.properties: {error.args[0].str()}; see librdkafka's CONFIGURATION.md") from None

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()
        self._registry.close()

    def rows(self) -> Iterator[Row]:
        """Records as they come; without end if the reader follows.

        Raises:
            SinkRejected: a topic is missing or may not be read.
            SinkUnavailable, SchemaError, RegistryUnavailable
        """
        try:
            places = [place for topic in self._topics for place in self._partitions(topic)]
            self._consumer.assign(places)
            yield from self._read({(place.topic, place.partition) for place in places})
        except KafkaException as error:
            raise _translate(error.args[0], ", ".join(self._topics)) from error

    def _partitions(self, topic: str) -> list[TopicPartition]:
        described = self._consumer.list_topics(topic, timeout=_TIMEOUT).topics[topic]
        if described.error is not None:
            raise KafkaException(described.error)
        return [TopicPartition(topic, partition, self._start) for partition in described.partitions]

    def _read(self, open_places: set[tuple[str, int]]) -> Iterator[Row]:
        while open_places:
            message = self._consumer.poll(0.5)
            if message is None:
                continue
            error = message.error()
            if error is None:
                yield self._row(message)
            elif error.code() != _END:
                raise KafkaException(error)
            elif not self._follow:
                open_places.discard((message.topic(), message.partition()))

    def _row(self, message: Message) -> Row:
        value, key = message.value(), message.key()
        return Row(
            str(message.topic()),
            message.partition() or 0,
            message.offset() or 0,
            message.timestamp()[1],
            "" if key is None else bytes(key).decode(errors="backslashreplace"),
            None if value is None else self._decode(bytes(value)),
        )


def _translate(error: KafkaError, topics: str) -> SinkRejected | SinkUnavailable:
    text = f"Kafka: {topics}: {error.str()} ({error.name()})"
    if error.code() in _NOT_THERE:
        return SinkRejected(f"{text}; run zendesk-chat-kafka provision")
    if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        return SinkRejected(f"{text}; grant Read on it")
    return SinkUnavailable(f"{text}; check kafka.bootstrap_servers and that the brokers run")
