"""Makes a broker compact topics now."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from consume import digest
from consume.engines import wait_until
from consume.golden import SAMPLES, Golden
from consume.reading import read

ROLL = b"acme/#roll"
"""A key that no series has."""

REMOVED_EVERY = 18
"""Of the series that `latest` still has, every so many-th is removed by the tests."""


def removed() -> list[str]:
    """Keys of `latest` that the tests remove, though nobody did in the recorded hour."""
    return sorted(key_of(row) for row in compacted_rows())[::REMOVED_EVERY]


def expected_left() -> dict[str, Any]:
    """Rows and digest of what is left then."""
    gone = removed()
    rows = [row for row in compacted_rows() if key_of(row) not in gone]
    return {"rows": len(rows), "digest": digest.digest(rows)}


def compacted_rows() -> list[dict[str, Any]]:
    """What `latest` holds once it is compacted."""
    return list(digest.read(str(SAMPLES / "expected.latest.jsonl.gz")))


def key_of(row: dict[str, Any]) -> str:
    return f"{row['account']}/{row['series']}"


def remove(golden: Golden) -> None:
    """Write the tombstones, each to the partition of its key."""
    producer = Producer({"bootstrap.servers": golden.kafka, "partitioner": "murmur2_random"})
    for key in removed():
        producer.produce(f"{golden.prefix}.latest", None, key)
    assert producer.flush(20) == 0


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
