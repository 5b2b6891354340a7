"""Makes a broker compact topics now."""

from __future__ import annotations

import time
from collections import defaultdict

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from consume.engines import wait_until
from consume.reading import read

ROLL = b"acme/#roll"
"""A key that no series has."""


def compact(kafka, *topics):
    """Make the broker compact topics: a new segment, nothing spared, tombstones gone at once."""
    admin = AdminClient({"bootstrap.servers": kafka})
    alter(admin, ConfigResource.Type.BROKER, "1", {"log.cleaner.backoff.ms": "500"})
    settings = {"segment.ms": "1000", "min.cleanable.dirty.ratio": "0.001", "delete.retention.ms": "0"}
    for topic in topics:
        alter(admin, ConfigResource.Type.TOPIC, topic, settings)
    time.sleep(1.1)
    wait_until(lambda: rolled(kafka, topics), f"{topics} are compacted", seconds=120)


def alter(admin, kind, name, settings):
    entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in settings.items()]
    for future in admin.incremental_alter_configs([ConfigResource(kind, name, incremental_configs=entries)]).values():
        future.result(20)


def rolled(kafka, topics):
    """The newest segment is never compacted, so tombstones of a key that nobody has make a new one."""
    producer = Producer({"bootstrap.servers": kafka})
    for topic in topics:
        for partition in producer.list_topics(topic, timeout=20).topics[topic].partitions:
            producer.produce(topic, None, ROLL, partition)
    producer.flush(20)
    time.sleep(1.1)
    keys = defaultdict(list)
    for raw in read(kafka, *topics):
        if raw.key != ROLL:
            keys[raw.topic].append(raw.key)
    return all(len(found) == len(set(found)) for found in keys.values())
