"""Real producers on a real broker: murmur2_random puts keys where Java puts them, librdkafka's default does not."""

from __future__ import annotations

import uuid

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from vectors import java

COUNTS = (1, 2, 3, 4, 12, 64)


@pytest.fixture(scope="module")
def topics(kafka_bootstrap):
    """A topic for each number of partitions."""
    made = {count: f"v{uuid.uuid4().hex[:8]}.{count}" for count in COUNTS}
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    new = [NewTopic(name, count, 1) for count, name in made.items()]
    for future in admin.create_topics(new).values():
        future.result()
    return made


def landed(kafka, topics, **settings):
    """(key, partitions) -> the partition that the record went to."""
    found = {}
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 20, **settings})
    for count, topic in topics.items():
        for key in java.partitions():

            def delivered(error, message, place=(key, count)):
                assert error is None
                found[place] = message.partition()

            producer.produce(topic, b"x", key.encode(), on_delivery=delivered)
    assert producer.flush(60) == 0
    return found


def wrong(found):
    vectors = java.partitions()
    return [(key, count) for (key, count), partition in found.items() if partition != vectors[key][count - 1]]


def test_the_committed_vectors_are_those_of_kafka_clients(kafka_bootstrap):
    assert java.computed() == java.partitions()


def test_murmur2_random_puts_every_key_where_java_does(kafka_bootstrap, topics):
    found = landed(kafka_bootstrap, topics, partitioner="murmur2_random")
    assert len(found) == len(java.partitions()) * len(COUNTS)
    assert wrong(found) == []


def test_the_default_partitioner_does_not(kafka_bootstrap, topics):
    found = landed(kafka_bootstrap, topics)
    share = len(wrong(found)) / len(found)
    print(f"librdkafka's default partitioner: {share:.0%} of the keys elsewhere")
    assert share > 0.5
