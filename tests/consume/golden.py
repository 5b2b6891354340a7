"""The golden set: the recorded hour, loaded into the real broker and registry, for every reader to read."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from consume.reading import read
from waiting import wait_until

from connector.adapters.recording import Recording
from connector.adapters.registry import SchemaRegistry
from connector.adapters.replay import Replay
from connector.config import Kafka, Registry

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


class Golden(NamedTuple):
    """Where the recorded hour is. ``expected``: rows and digest of ``metrics`` and of compacted ``latest``."""

    prefix: str
    kafka: str
    registry: str
    expected: dict[str, dict[str, Any]]
    ids: dict[int, int]
    """Schema id in the recording -> id in the registry."""

    @property
    def environment(self) -> dict[str, str]:
        """What the examples read."""
        return {"KAFKA_BOOTSTRAP_SERVERS": self.kafka, "SCHEMA_REGISTRY_URL": self.registry, "PREFIX": self.prefix}


def load(kafka: str, registry: str, prefix: str | None = None) -> Golden:
    """Load the recorded hour under a prefix of its own."""
    prefix = prefix or f"golden{uuid.uuid4().hex[:8]}"
    recording = Recording(SAMPLES)
    settings = Kafka(bootstrap_servers=kafka, replication_factor=1, min_insync_replicas=1)
    replay = Replay(recording, settings, prefix=prefix)
    replay.prepare(provision=True, force=False)
    with SchemaRegistry(Registry(urls=[registry])) as client:
        ids = replay.register(client)
    replay.run(ids)
    expected = json.loads((SAMPLES / "recording.json").read_text())["expected"]
    return Golden(prefix, kafka, registry, expected, ids)


def narrow(golden: Golden) -> None:
    """Give `latest` one partition, which is the default of new topics; the recorded hour has as many as of metrics."""
    topic = f"{golden.prefix}.latest"
    records = read(golden.kafka, topic)
    admin = AdminClient({"bootstrap.servers": golden.kafka})
    admin.delete_topics([topic])[topic].result(20)
    new = NewTopic(topic, 1, 1, config={"cleanup.policy": "compact"})
    wait_until(lambda: made(admin, new), what=f"{topic} is made anew")
    producer = Producer({"bootstrap.servers": golden.kafka})
    for one in records:
        producer.produce(topic, one.value, one.key, timestamp=one.timestamp_ms, headers=list(one.headers.items()))
    assert producer.flush(30) == 0


def made(admin: AdminClient, topic: NewTopic) -> bool:
    """Whether it could be created: a topic that is being deleted is there for a moment more."""
    try:
        admin.create_topics([topic])[topic.topic].result(20)
    except KafkaException:
        return False
    return True
