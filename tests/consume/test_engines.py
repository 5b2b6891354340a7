"""One golden set, six readers, the same rows: Python's own is in test_python.py, the other five are here.

They run one after another on a copy whose `latest` is compacted, so that the three views of it can be compared too.
"""

from __future__ import annotations

import gzip
import io
import json
import time
import uuid
from pathlib import Path

import fastavro
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic
from consume import digest, engines
from consume.conftest import SAMPLES, load
from consume.reading import read

PARTITIONS = 4
STILL_OPEN = "acme/agents.agents_invisible||36000012345685"


def report(reader, rows, began):
    print(f"{reader}: {len(rows)} rows in {time.monotonic() - began:.1f} s")
    return {"rows": len(rows), "digest": digest.digest(rows)}


@pytest.fixture(scope="module")
def compacted(kafka_bootstrap, registry_url):
    """The recorded hour; the broker has compacted `latest`."""
    golden = load(kafka_bootstrap, registry_url, f"compacted{uuid.uuid4().hex[:8]}")
    compact(golden.kafka, f"{golden.prefix}.latest")
    return golden


def compact(kafka, topic):
    """Make the broker compact a topic now: a new segment, nothing spared, tombstones gone at once."""
    admin = AdminClient({"bootstrap.servers": kafka})
    alter(admin, ConfigResource.Type.BROKER, "1", {"log.cleaner.backoff.ms": "1000"})
    settings = {"segment.ms": "1000", "min.cleanable.dirty.ratio": "0.001", "delete.retention.ms": "0"}
    alter(admin, ConfigResource.Type.TOPIC, topic, settings)
    time.sleep(1.1)
    engines.wait_until(lambda: rolled(kafka, topic), f"{topic} is compacted", seconds=120)


def alter(admin, kind, name, settings):
    entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in settings.items()]
    for future in admin.incremental_alter_configs([ConfigResource(kind, name, incremental_configs=entries)]).values():
        future.result(20)


def rolled(kafka, topic):
    """The newest segment is never compacted, so tombstones of a key that nobody has make a new one."""
    producer = Producer({"bootstrap.servers": kafka})
    for partition in range(PARTITIONS):
        producer.produce(topic, None, "acme/#roll", partition)
    producer.flush(20)
    time.sleep(1.1)
    keys = [raw.key for raw in read(kafka, topic) if raw.key != b"acme/#roll"]
    return len(keys) == len(set(keys))


def retired():
    last = {one["key"]: one["value"] for one in recorded("latest")}
    return {key for key, value in last.items() if value is None}


def decoded(golden, values):
    """Framed values with the schemas of the recording, without any registry client."""
    recording = json.loads((SAMPLES / "recording.json").read_text())
    files = {one["id"]: one["file"] for one in recording["schemas"]}
    parsed = {
        golden.ids[number]: fastavro.parse_schema(json.loads((SAMPLES / file).read_text()), named_schemas={})
        for number, file in files.items()
    }
    return [
        fastavro.schemaless_reader(io.BytesIO(value[5:]), parsed[int.from_bytes(value[1:5], "big")], None)
        for value in values
    ]


def test_compacted_latest_holds_one_record_of_each_series(compacted):
    raw = [one for one in read(compacted.kafka, f"{compacted.prefix}.latest") if one.key != b"acme/#roll"]
    rows = decoded(compacted, [one.value for one in raw if one.value is not None])
    assert report("latest, compacted", rows, time.monotonic()) == compacted.expected["latest"]
    gone = {key.encode() for key in retired()}
    assert len(gone) > 10
    assert not gone & {one.key for one in raw if one.value is not None}


def test_before_compaction_latest_holds_more(golden):
    raw = read(golden.kafka, f"{golden.prefix}.latest")
    assert len(raw) > 10 * golden.expected["latest"]["rows"]


def test_console_consumer(compacted):
    began = time.monotonic()
    values = engines.console(compacted, f"{compacted.prefix}.metrics")
    assert report("console consumer", decoded(compacted, values), began) == compacted.expected["metrics"]


def test_kafka_streams(compacted, tmp_path):
    outputs = {"metrics-with-gaps": "delete", "series-state": "compact"}
    make_topics(compacted, outputs)
    began = time.monotonic()
    env = engines.environment(compacted, tmp_path)
    expected = compacted.expected
    with engines.running(engines.streams_command(), env):
        engines.wait_until(lambda: len(values(compacted, "metrics-with-gaps")) >= expected["metrics"]["rows"], "rows")
        rows = values(compacted, "metrics-with-gaps")
        assert report("streams", rows, began) == expected["metrics"]
        engines.wait_until(lambda: state_of(compacted) == expected["latest"], "the state of every series")
        engines.wait_until(lambda: gaps_of(table(compacted)) == newest_gaps(), "the newest gap of every series")
    check_gaps(rows)
    assert [key for key, (_, ended) in newest_gaps().items() if ended is None] == [STILL_OPEN]


def recorded(topic):
    with gzip.open(SAMPLES / "hour.jsonl.gz", "rt", encoding="utf-8") as file:
        return [one for one in map(json.loads, file) if one["topic"] == topic]


def check_gaps(rows):
    """An update has the gap that its epoch began with, or none."""
    gaps = {one["json"]["gap_id"] for one in recorded("gaps")}
    joined = [row for row in rows if row["gap"] is not None]
    known = [row for row in rows if f"{row['account']}/{row['series']}/{row['epoch']}" in gaps]
    print(f"streams: {len(joined)} updates joined with their gap, of {len(known)}")
    assert joined
    for row in joined:
        assert row["gap"]["gap_id"] == f"{row['account']}/{row['series']}/{row['epoch']}"


def newest_gaps():
    """Series to its newest gap, final where it ended, of the series that `latest` still has."""
    found = {}
    for one in recorded("gaps"):
        found[f"{one['json']['account']}/{one['json']['series']}"] = (one["json"]["gap_id"], one["json"]["ended_at"])
    return {key: gap for key, gap in found.items() if key not in retired()}


def gaps_of(states):
    return {key: (state["gap"]["gap_id"], state["gap"]["ended_at"]) for key, state in states.items() if state["gap"]}


def make_topics(golden, names):
    topics = [
        NewTopic(f"{golden.prefix}.{name}", PARTITIONS, 1, config={"cleanup.policy": policy, "retention.ms": "-1"})
        for name, policy in names.items()
    ]
    admin = AdminClient({"bootstrap.servers": golden.kafka})
    for future in admin.create_topics(topics).values():
        future.result(20)


def values(golden, name):
    return [json.loads(raw.value) for raw in read(golden.kafka, f"{golden.prefix}.{name}")]


def table(golden):
    """What a compacted topic of JSON says now."""
    newest = {raw.key.decode(): raw.value for raw in read(golden.kafka, f"{golden.prefix}.series-state")}
    return {key: json.loads(value) for key, value in newest.items() if value is not None}


def state_of(golden):
    rows = list(table(golden).values())
    return {"rows": len(rows), "digest": digest.digest(rows)}


def test_streams_describes_its_topology(compacted, tmp_path):
    printed = engines.finish(engines.streams_command("--describe"), engines.environment(compacted, tmp_path))
    assert "gaps-by-series-repartition" in printed
    assert "metrics-by-series-repartition" in printed
    readme = (Path(__file__).parents[2] / "examples" / "streams" / "topology.txt").read_text()
    assert printed.replace(compacted.prefix, "zendesk.chat") == readme


def test_flink(compacted, tmp_path):
    began = time.monotonic()
    rows, views = engines.flink(compacted, tmp_path, "tables.sql", "rows.sql", "latest.sql", "averages.sql")
    assert report("flink", rows, began) == compacted.expected["metrics"]
    latest = list(engines.newest(views["latest"]).values())
    assert report("flink, latest", latest, began) == compacted.expected["latest"]
    check_averages(views["averages"], rows)


def check_averages(changes, rows):
    assert {op for op, _ in changes} == {"+I"}
    assert sum(row["updates"] for _, row in changes) == len(rows)
    for _, row in changes:
        assert row["window_start"] < row["window_end"]
    assert any(row["average"] is not None for _, row in changes)


def test_spark(compacted, tmp_path):
    began = time.monotonic()
    rows, averages = engines.spark(compacted, tmp_path)
    assert report("spark", rows, began) == compacted.expected["metrics"]
    assert averages
    assert all(row["updates"] > 0 for row in averages)


def test_pyiceberg(compacted, tmp_path):
    began = time.monotonic()
    printed, rows = engines.lakehouse(compacted, tmp_path)
    assert report("pyiceberg", rows, began) == compacted.expected["metrics"]
    assert "department_id" in printed
    printed, again = engines.lakehouse(compacted, tmp_path)
    assert printed.startswith("0 rows copied"), "a second call goes on where the table ends"
    assert len(again) == len(rows)
