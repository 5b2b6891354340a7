"""What one transaction costs against the pause since the last: below a limit the broker still writes its markers."""

from __future__ import annotations

import json
import statistics
import time
import uuid
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

if TYPE_CHECKING:
    from bench.rig import Rig

PAUSES = (0, 2, 5, 10, 15, 20, 25, 30, 50)
"""Milliseconds between the end of one transaction and the begin of the next."""
PARTITIONS = 12
SLOW = 0.015
"""Seconds; what takes longer waited for librdkafka's back-off of 20 ms."""


def commits(rig: Rig, transactions: int) -> list[dict[str, Any]]:
    """Milliseconds from the begin to the committed end, one small record in each partition."""
    topic = f"commits-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": rig.kafka})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
    retried: dict[str, int] = {}

    def told(text: str) -> None:
        retried["count"] = sum(broker["txretries"] for broker in json.loads(text)["brokers"].values())

    producer = Producer(
        {
            "bootstrap.servers": rig.kafka,
            "transactional.id": topic,
            "linger.ms": 0,
            "statistics.interval.ms": 100,
            "stats_cb": told,
        }
    )
    producer.init_transactions(60)
    rows = []
    for pause in PAUSES:
        before = retried.get("count", 0)
        times = [_transaction(producer, topic, pause / 1000) for _ in range(transactions + 5)][5:]
        producer.poll(0.25)
        rows.append(
            {
                "pause_ms": pause,
                "median_ms": statistics.median(times) * 1000,
                "p90_ms": statistics.quantiles(times, n=10)[-1] * 1000,
                "slowed": sum(one > SLOW for one in times) / len(times),
                "requests_retried": retried.get("count", 0) - before,
            }
        )
    return rows


def _transaction(producer: Producer, topic: str, pause: float) -> float:
    time.sleep(pause)
    began = time.monotonic()
    producer.begin_transaction()
    for partition in range(PARTITIONS):
        producer.produce(topic, value=b"x", partition=partition)
    producer.commit_transaction(30)
    return time.monotonic() - began
