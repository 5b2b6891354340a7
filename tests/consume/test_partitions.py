"""Real producers on a real broker: murmur2_random puts keys where Java puts them, librdkafka's default does not."""

from __future__ import annotations

import uuid

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from figures import tell
from vectors import java
from waiting import wait_until

COUNTS = java.COUNTS


@pytest.fixture
def topic(kafka_bootstrap):
    """A topic of one partition, to grow."""
    name = f"v{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result()
    return name


def landed(kafka, topic, counts=COUNTS, **settings):
    """(key, partitions) -> the partition that the record went to, while the topic grows."""
    admin = AdminClient({"bootstrap.servers": kafka})
    found = {}
    for count in counts:
        if count > 1:
            admin.create_partitions([NewPartitions(topic, count)])[topic].result()
        wait_until(lambda count=count: len(admin.list_topics(topic, timeout=20).topics[topic].partitions) == count)
        # A producer of its own, so that it knows of all partitions.
        producer = Producer({"bootstrap.servers": kafka, "linger.ms": 5, **settings})
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


def test_murmur2_random_puts_every_key_where_java_does_for_1_to_64_partitions(kafka_bootstrap, topic):
    found = landed(kafka_bootstrap, topic, partitioner="murmur2_random")
    assert len(found) == len(java.partitions()) * 64
    assert wrong(found) == []


def test_the_default_partitioner_does_not(kafka_bootstrap, topic):
    found = landed(kafka_bootstrap, topic, (1, 2, 12, 64))
    share = len(wrong(found)) / len(found)
    tell(f"librdkafka's default partitioner: {share:.0%} of the keys elsewhere")
    assert share > 0.5
