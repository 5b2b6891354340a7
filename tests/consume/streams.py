"""Runs the Kafka Streams example: the recorded hour, and the same under other accounts in adverse orders of arrival."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from acceptance.stage import new_consumer, partitions_of
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from consume import digest, engines
from consume.arrivals import Again, recorded
from consume.compaction import expected_left, remove
from consume.reading import read

if TYPE_CHECKING:
    from consume.golden import Golden

OUTPUTS = {"metrics-with-gaps": "delete", "series-state": "compact"}
LATE, EARLY, ORPHAN = "late", "early", "orphan"
"""Accounts: all updates before any gap, all gaps before any update, updates whose gaps were removed."""


class Streamed(NamedTuple):
    """What the program wrote."""

    printed: str
    """Its topology."""
    rows: list[dict[str, Any]]
    """metrics-with-gaps of all accounts."""
    held: list[dict[str, Any]]
    """What was there of LATE before its gaps came."""
    orphans: list[dict[str, Any]]
    """What was there of ORPHAN before the time of grace was over."""
    state: dict[str, dict[str, Any]]
    """series-state, by key."""
    left: dict[str, dict[str, Any]]
    """The same after tombstones were written to `latest`."""
    seconds: float
    """Until the recorded hour was there."""


class Output:
    """What was written to metrics-with-gaps so far: committed records only."""

    def __init__(self, golden: Golden) -> None:
        topic = f"{golden.prefix}.metrics-with-gaps"
        self._consumer = new_consumer(golden.kafka)
        self._consumer.assign([TopicPartition(topic, one, 0) for one in partitions_of(self._consumer, topic)])
        self._rows: list[dict[str, Any]] = []

    def rows(self) -> list[dict[str, Any]]:
        """All until now."""
        messages = self._consumer.consume(10_000, 0.2)
        self._rows += [json.loads(message.value()) for message in messages if message.error() is None]
        return self._rows

    def wait(self, account: str, count: int, what: str) -> None:
        """Until so many rows of an account are there."""
        engines.wait_until(lambda: len(of(self.rows(), account)) >= count, what)

    def close(self) -> None:
        self._consumer.close()


def run(golden: Golden, folder: Any) -> Streamed:
    """Run the page's commands; in the end again, with a time of grace that ends."""
    make_topics(golden)
    there = engines.place("streams", folder)
    env = engines.java_environment(golden, folder)
    printed = engines.finish(engines.STREAMS_DESCRIBE, env, there)
    output, again = Output(golden), Again(golden)
    updates = recorded("metrics")
    first = len([one for one in updates if one["json"]["epoch"] == 1])
    again.write("metrics", LATE)
    orphans = again.write("metrics", ORPHAN, only=lambda row: row["epoch"] <= 2)
    began = time.monotonic()
    with contextlib.closing(output):
        with engines.running(engines.STREAMS, {**env, "GRACE_SECONDS": "3600"}, there):
            output.wait("acme", len(updates), "the recorded hour")
            seconds = time.monotonic() - began
            output.wait(LATE, first, "updates of the first epoch")
            output.wait(ORPHAN, first, "updates without a gap")
            held = list(output.rows())
            again.write("gaps", LATE)
            again.write("gaps", EARLY)
            output.wait(LATE, len(updates), "updates whose gaps came late")
            again.write("metrics", EARLY)
            output.wait(EARLY, len(updates), "updates whose gaps came early")
            engines.wait_until(lambda: stated(golden) == golden.expected["latest"], "the state of every series")
            engines.wait_until(lambda: gaps_of(table(golden)) == newest_gaps(), "the newest gap of every series")
            state = table(golden)
            remove(golden)
            engines.wait_until(lambda: stated(golden) == expected_left(), "the state without the series removed")
        with engines.running(engines.STREAMS, {**env, "GRACE_SECONDS": "1"}, there):
            output.wait(ORPHAN, orphans, "updates whose gaps never come")
        return Streamed(printed, output.rows(), of(held, LATE), of(held, ORPHAN), state, table(golden), seconds)


def make_topics(golden):
    admin = AdminClient({"bootstrap.servers": golden.kafka})
    count = len(admin.list_topics(timeout=20).topics[f"{golden.prefix}.metrics"].partitions)
    topics = [
        NewTopic(f"{golden.prefix}.{name}", count, 1, config={"cleanup.policy": policy, "retention.ms": "-1"})
        for name, policy in OUTPUTS.items()
    ]
    for future in admin.create_topics(topics).values():
        future.result(20)


def of(found, account):
    return [row for row in found if row["account"] == account]


def stated(golden):
    found = list(table(golden).values())
    return {"rows": len(found), "digest": digest.digest(found)}


def table(golden):
    """What a compacted topic of JSON says now."""
    newest = {raw.key.decode(): raw.value for raw in read(golden.kafka, f"{golden.prefix}.series-state")}
    return {key: json.loads(value) for key, value in newest.items() if value is not None}


def newest_values():
    """Key of `latest` to its newest record; None: a tombstone."""
    return {one["key"]: one["value"] for one in recorded("latest")}


def retired():
    """Series that ended with a tombstone."""
    return {key for key, value in newest_values().items() if value is None}


def newest_gaps():
    """Series to its newest gap, final where it ended, of the series that `latest` still has."""
    found = {}
    for one in recorded("gaps"):
        found[f"{one['json']['account']}/{one['json']['series']}"] = (one["json"]["gap_id"], one["json"]["ended_at"])
    gone = retired()
    return {key: gap for key, gap in found.items() if key not in gone}


def gaps_of(states):
    """Of series that have one: the newest gap."""
    return {key: (state["gap"]["gap_id"], state["gap"]["ended_at"]) for key, state in states.items() if state["gap"]}
