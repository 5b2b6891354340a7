"""What each stage costs, microseconds per update: CPU of those in this process, and time of those on the broker."""

from __future__ import annotations

import statistics
import time
import uuid
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from bench.blaster import BLOCK
from bench.instructions import RECEIVED_US, Route, frames_of, record_of
from bench.series import series
from connector.adapters.framing import Encoder
from connector.domain.model import Batch, ShardState
from connector.domain.records import METRIC_UPDATE
from connector.protocol.messages import decode_usual

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.rig import Rig

REPEATS = 15


def cost(work: Callable[[], None]) -> float:
    """The least CPU time of a thread for one update of the block."""
    found = []
    for _ in range(REPEATS):
        began = time.thread_time()
        work()
        found.append(time.thread_time() - began)
    return min(found) / BLOCK * 1e6


def stages() -> list[dict[str, Any]]:
    """Rows of the report."""
    followed = series(108)
    frames = frames_of(followed)
    route = Route(followed)
    events = [event for frame in frames for event in route.session.receive(frame, now=0.0, wall_us=RECEIVED_US)]
    for event in events:
        route.ledger.admit(event)
    items = tuple(route.ledger.queue)
    records = [record_of(followed[at % len(followed)], at) for at in range(BLOCK)]
    compiled = Encoder(METRIC_UPDATE, 1)

    def receive() -> None:
        for frame in frames:
            route.session.receive(frame, now=0.0, wall_us=RECEIVED_US)

    def admit() -> None:
        for event in events:
            route.ledger.admit(event)
        route.ledger.queue.release(len(events))

    def transaction() -> None:
        for record in route.recorder.transaction(Batch(0, items, 0), ShardState("b", 1, 1, 1, 0), RECEIVED_US, {}):
            if type(record.value) is dict:
                route.encoders[record.schema](record.value)

    work = {
        "decode, the usual frame": lambda: each(decode_usual, frames),
        "decode and session": receive,
        "ledger": admit,
        "records and encoding, latest and offsets included": transaction,
        "for comparison: one record by the compiled encoder": lambda: each(compiled, records),
        "for comparison: one record by fastavro": lambda: each(compiled.reference, records),
    }
    return [{"stage": name, "us_per_update": cost(one)} for name, one in work.items()]


def broker_stages(rig: Rig) -> list[dict[str, Any]]:
    """A batch of `BLOCK` updates, encoded beforehand, as transactions one after the other; medians.

    CPU is that of the whole process, librdkafka's threads included; time is what the sink's thread waits.
    """
    messages, updates = _messages()
    prefix = f"stages-{uuid.uuid4().hex[:8]}-"
    admin = AdminClient({"bootstrap.servers": rig.kafka})
    topics = [NewTopic(prefix + name, 12, 1) for name in {topic for topic, *_ in messages}]
    for created in admin.create_topics(topics).values():
        created.result(30)
    producer = Producer({"bootstrap.servers": rig.kafka, "transactional.id": prefix, "linger.ms": 0})
    producer.init_transactions(60)
    found = [_timed(producer, prefix, messages) for _ in range(REPEATS + 3)][3:]
    names = ("produce, handed to librdkafka", "delivery, until all is acknowledged", "commit")
    return [
        {
            "stage": f"{name} ({len(messages) / updates:.2f} records an update)",
            "us_per_update": statistics.median(one[at][0] for one in found) / updates * 1e6,
            "elapsed_us_per_update": statistics.median(one[at][1] for one in found) / updates * 1e6,
        }
        for at, name in enumerate(names)
    ]


def _messages() -> tuple[list[Any], int]:
    """What the producer gets for a block of updates, and how many updates that is."""
    followed = series(108)
    route = Route(followed)
    for frame in frames_of(followed):
        for event in route.session.receive(frame, now=0.0, wall_us=RECEIVED_US):
            route.ledger.admit(event)
    items = tuple(route.ledger.queue)
    made = route.recorder.transaction(Batch(0, items, 0), ShardState("b", 1, 1, 1, 0), RECEIVED_US, {})
    encode = route.encoders
    return [
        (topic, encode[schema](value) if type(value) is dict else value, key, partition, headers)
        for topic, partition, key, schema, value, _, headers in made
    ], len(items)


def _timed(producer: Producer, prefix: str, messages: list[Any]) -> list[tuple[float, float]]:
    """CPU and time of each step of one transaction, seconds."""
    marks = []

    def mark() -> None:
        marks.append((time.process_time(), time.monotonic()))

    producer.begin_transaction()
    mark()
    for topic, value, key, partition, headers in messages:
        producer.produce(prefix + topic, value, key, partition, headers=headers)
    mark()
    producer.flush(30)
    mark()
    producer.commit_transaction(30)
    mark()
    return [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(marks)]


def each(work: Callable[[Any], object], values: list[Any]) -> None:
    """Call it with every value."""
    for value in values:
        work(value)
