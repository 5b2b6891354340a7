"""Reads whole topics for the tests, up to the ends of their partitions."""

from __future__ import annotations

import uuid
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, TopicPartition


class Raw(NamedTuple):
    """One record as it stands in Kafka."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes | None
    timestamp_ms: int
    headers: dict[str, bytes]


def read(kafka: str, *topics: str, isolation: str = "read_committed") -> list[Raw]:
    """Every record of the topics, in offset order by partition."""
    settings = {
        "bootstrap.servers": kafka,
        "group.id": f"read-{uuid.uuid4().hex}",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": isolation,
        "enable.partition.eof": True,
    }
    consumer = Consumer(settings)
    known = consumer.list_topics(timeout=20).topics
    places = {(topic, number) for topic in topics for number in known[topic].partitions}
    consumer.assign([TopicPartition(topic, number, 0) for topic, number in places])
    found = []
    while places:
        message = consumer.poll(30.0)
        assert message is not None, f"nothing for 30 s; still open: {places}"
        if message.error() is None:
            found.append(_raw(message))
        else:
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            places.discard((message.topic(), message.partition()))
    consumer.close()
    return sorted(found, key=lambda one: one[:3])


def _raw(message) -> Raw:
    return Raw(
        message.topic(),
        message.partition(),
        message.offset(),
        message.key(),
        message.value(),
        message.timestamp()[1],
        dict(message.headers() or ()),
    )
