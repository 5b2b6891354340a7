"""Runs Flink's windows through silence and an outage.

Event time is made up, so an outage of an hour takes no time here; the waits are Flink's own (idle after 2 s, heartbeats
settled after 5 s). Three queries read the same topics at the same time: the example as it stands, and two controls.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import time
import uuid
from typing import NamedTuple

import fastavro
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from consume import engines
from consume.golden import SAMPLES, Golden
from consume.readme import EXAMPLES

from connector.adapters.registry import SchemaRegistry
from connector.config import Registry

PARTITIONS = 2
MINUTE = 60_000
START = 1_793_610_000_000
"""A full minute, ms."""
BEAT_SECONDS = 0.5
SILENCE_SECONDS = float(os.environ.get("SILENCE_SECONDS", "5"))
"""How long the silence goes on after the windows closed."""


def recorded(topic):
    """Some record of the recorded hour, by version 1."""
    with gzip.open(SAMPLES / "hour.jsonl.gz", "rt", encoding="utf-8") as file:
        return next(one["json"] for one in map(json.loads, file) if one["topic"] == topic)


class Source:
    """Writes updates and heartbeats of made-up times, in transactions."""

    def __init__(self, kafka, registry):
        self.prefix = f"tide{uuid.uuid4().hex[:8]}"
        self.golden = Golden(self.prefix, kafka, registry, {}, {})
        self._templates = {"metrics": recorded("metrics"), "acme.heartbeats": recorded("acme.heartbeats")}
        names = {"metrics": "metric-update.v1", "acme.heartbeats": "heartbeat.v1"}
        texts = {topic: (SAMPLES / "schemas" / f"{name}.avsc").read_text() for topic, name in names.items()}
        with SchemaRegistry(Registry(urls=[registry])) as client:
            ids = {
                topic: client.register_versions(f"{self.prefix}.{topic}-value", [text])[0]
                for topic, text in texts.items()
            }
        self._schemas = {
            topic: (ids[topic], fastavro.parse_schema(json.loads(text), named_schemas={}))
            for topic, text in texts.items()
        }
        topics = [NewTopic(f"{self.prefix}.{name}", PARTITIONS, 1, config={"retention.ms": "-1"}) for name in names]
        admin = AdminClient({"bootstrap.servers": kafka})
        for future in admin.create_topics(topics).values():
            future.result(20)
        self._producer = Producer({"bootstrap.servers": kafka, "transactional.id": self.prefix, "log_level": 0})
        self._producer.init_transactions(30)
        self.sent = 0
        self._beats = 0

    def write(self, updates=(), *, through=None, emitted=None):
        """One transaction: updates received at these instants, and a heartbeat of each partition."""
        self._producer.begin_transaction()
        for at in updates:
            self.sent += 1
            fields = {"received_at": at, "sequence": self.sent, "event_id": f"made-up/{self.sent}"}
            self._produce("metrics", self.sent % PARTITIONS, fields, at)
        if through is not None:
            self._beats += 1
            for number in range(PARTITIONS):
                fields = {"complete_through": through, "emitted_at": emitted or through, "heartbeat_seq": self._beats}
                self._produce("acme.heartbeats", number, fields | {"partition": number}, through)
        self._producer.commit_transaction(30)

    def _produce(self, topic, partition, fields, at):
        number, schema = self._schemas[topic]
        value = io.BytesIO()
        fastavro.schemaless_writer(value, schema, self._templates[topic] | fields)
        framed = b"\0" + number.to_bytes(4, "big") + value.getvalue()
        self._producer.produce(f"{self.prefix}.{topic}", framed, str(partition), partition, timestamp=at)


def controls(folder):
    """The example without heartbeats, and with heartbeats whose watermark follows emitted_at, as files of SQL."""
    tables = (EXAMPLES / "flink" / "tables.sql").read_text()
    averages = (EXAMPLES / "flink" / "averages.sql").read_text()
    beats = re.search(r"CREATE TABLE heartbeats \(.*?\n\);\n", tables, re.DOTALL).group()
    emitted = beats.replace("TABLE heartbeats", "TABLE emitted").replace(
        "WATERMARK FOR complete_through AS Settled(complete_through)",
        "WATERMARK FOR emitted_at AS emitted_at - INTERVAL '5' SECOND",
    )
    assert emitted.count("WATERMARK FOR emitted_at") == 1
    by_emitted = (
        averages.replace("VIEW updates", "VIEW by_emitted")
        .replace("TABLE updates", "TABLE by_emitted")
        .replace("'averages'", "'emitted'")
        .replace("SELECT complete_through", "SELECT emitted_at")
        .replace("FROM heartbeats", "FROM emitted")
    )
    without = re.sub(r"UNION ALL\n.*?;", ";", averages, flags=re.DOTALL)
    without = (
        without.replace("VIEW updates", "VIEW alone")
        .replace("TABLE updates", "TABLE alone")
        .replace("'averages'", "'alone'")
    )
    assert "heartbeats\n" not in without
    (folder / "controls.sql").write_text(f"{emitted}\n{by_emitted}\n{without}")
    return folder / "controls.sql"


def counted(lines, view):
    """Updates in the windows that closed."""
    return sum(row["updates"] for _, row in engines.views(list(lines))[view])


def beat_until(source, condition, now, step, what):
    """A heartbeat every half second, each `step` later, until the condition holds; the event time then."""
    deadline = time.monotonic() + engines.LIMIT + SILENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        now += step
        source.write(through=now)
        time.sleep(BEAT_SECONDS)
    return now


class Tide(NamedTuple):
    """What the three queries counted, of so many updates sent."""

    sent: int
    """Before the silence."""
    in_silence: dict[str, int]
    """Updates in windows that closed before the silence was over, by query."""
    backlog: int
    """Updates sent after the outage."""
    late: dict[str, int]
    """Updates that never were in a window, by query."""


def run(kafka, registry, folder):
    """Updates, silence, an outage of an hour, a backlog; the page's command reads all the while."""
    source = Source(kafka, registry)
    env = engines.java_environment(source.golden, folder, IDLE="2 s")
    command = f"{engines.FLINK_TIMED} {controls(folder)}"
    for at in range(START, START + 5 * MINUTE, 10_000):
        source.write([at, at + 1, at + 2, at + 3], through=at + 5_000)
    now, before = START + 5 * MINUTE, source.sent
    with engines.running(command, env, engines.place("flink", folder)) as printed:
        # Silence: only heartbeats.
        now = beat_until(source, lambda: counted(printed, "averages") == before, now, MINUTE, "windows close")
        engines.wait_until(lambda: counted(printed, "alone"), "windows before the last one, closed by updates")
        over = time.monotonic() + SILENCE_SECONDS
        now = beat_until(source, lambda: time.monotonic() > over, now, 1_000, "the end of the silence")
        in_silence = {view: counted(printed, view) for view in ("averages", "alone")}

        # An outage of an hour: neither updates nor heartbeats. Then the heartbeats are seen before the backlog.
        backlog = range(now + 1_000, now + 60 * MINUTE, 30_000)
        through, now = now, now + 60 * MINUTE
        source.write(through=through, emitted=now)
        time.sleep(1)
        source.write(through=now)
        time.sleep(1.5)
        source.write(backlog)
        now = beat_until(source, lambda: counted(printed, "averages") >= source.sent, now, MINUTE, "the backlog")
        late = {view: source.sent - counted(printed, view) for view in ("averages", "emitted")}
    return Tide(before, in_silence, len(backlog), late)
