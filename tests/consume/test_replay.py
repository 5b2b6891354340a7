"""``replay``: what was recorded is what a reader finds; nobody's topics are written over."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
import uuid
from collections import Counter, defaultdict
from pathlib import Path

import pytest
import yaml
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import SchemaRegistryClient
from consume import digest
from consume.reading import read

from connector.adapters.framing import Decoder
from connector.verify.murmur import partition_of

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
GIVEN = ("KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL")
DELETED = ("metrics", "gaps", "dead-letters", "acme.heartbeats")


def command(*arguments):
    program = [sys.executable, "-m", "connector", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name not in GIVEN}
    return subprocess.run(program, capture_output=True, text=True, timeout=120, check=False, env=environment)


def replay(kafka, registry, prefix, *options):
    return command("replay", f"--bootstrap-servers={kafka}", f"--registry={registry}", f"--prefix={prefix}", *options)


@pytest.fixture(scope="module")
def recorded():
    with gzip.open(SAMPLES / "hour.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.fixture(scope="module")
def decode(registry_url):
    client = SchemaRegistryClient({"url": registry_url})
    yield Decoder(lambda number: client.get_schema(number).schema_str)
    client.close()


@pytest.fixture
def prefix():
    return f"r{uuid.uuid4().hex[:8]}"


def configured(kafka, registry, prefix, folder):
    file = folder / "connector.yaml"
    configuration = {
        "account": "acme",
        "guarantee": "best-effort",
        "source": {"token_file": "/nowhere"},
        "subscriptions": [{"metrics": ["agents.*"]}],
        "kafka": {
            "bootstrap_servers": kafka, "replication_factor": 1, "min_insync_replicas": 1, "partitions": 4,
        },
        "registry": {"urls": [registry]},
        "topics": {"prefix": prefix},
    }  # fmt: skip
    file.write_text(yaml.safe_dump(configuration))
    return file


def audit(*where):
    return command("verify", "--config", configured(*where), "--json")


def test_what_was_recorded_is_what_is_read(golden, recorded, decode):
    expected = defaultdict(list)
    for one in recorded:
        expected[one["topic"]].append(one)
    for name in DELETED:
        found = read(golden.kafka, f"{golden.prefix}.{name}")
        assert len(found) == len(expected[name])
        by_partition = defaultdict(list)
        for one in expected[name]:
            by_partition[one["partition"]].append(one)
        for number, records in by_partition.items():
            mine = [one for one in found if one.partition == number]
            assert [one.key.decode() for one in mine] == [one["key"] for one in records]
            assert [one.timestamp_ms for one in mine] == [one["timestamp_ms"] for one in records]
            assert [{k: v.decode() for k, v in one.headers.items()} for one in mine] == [r["headers"] for r in records]
            if name == "metrics":
                assert [decode(one.value) for one in mine] == [one["json"] for one in records]


def test_keys_are_on_the_partitions_of_murmur2(golden):
    found = read(golden.kafka, *(f"{golden.prefix}.{name}" for name in ("metrics", "latest", "gaps")))
    assert {one.partition for one in found} == {0, 1, 2, 3}
    assert [one for one in found if one.partition != partition_of(one.key, 4)] == []


def test_the_rows_have_the_expected_digest(golden, decode):
    rows = [decode(one.value) for one in read(golden.kafka, f"{golden.prefix}.metrics")]
    assert (len(rows), digest.digest(rows)) == tuple(golden.expected["metrics"].values())
    newest = {one.key: one.value for one in read(golden.kafka, f"{golden.prefix}.latest")}
    latest = [decode(value) for value in newest.values() if value is not None]
    assert (len(latest), digest.digest(latest)) == tuple(golden.expected["latest"].values())
    versions = Counter(int.from_bytes(one.value[1:5], "big") for one in read(golden.kafka, f"{golden.prefix}.metrics"))
    assert set(versions) == {golden.ids[1], golden.ids[6]}
    assert min(versions.values()) > 100


def test_the_audit_finds_nothing_in_it(golden, tmp_path):
    done = audit(golden.kafka, golden.registry, golden.prefix, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["clean"] is True


def test_it_ends_now_if_it_is_told_to(kafka_bootstrap, registry_url, prefix, recorded, decode, tmp_path):
    before = time.time() * 1000
    done = replay(kafka_bootstrap, registry_url, prefix, "--provision", "--now", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert sum(result["topics"].values()) == result["records"] == len(recorded)
    found = read(kafka_bootstrap, f"{prefix}.metrics", f"{prefix}.acme.heartbeats", f"{prefix}.dead-letters")
    assert before - 60_000 < max(one.timestamp_ms for one in found) <= time.time() * 1000
    for one in found:
        value = decode(one.value)
        if one.topic.endswith(".metrics"):
            assert value["received_at"] == one.timestamp_ms
            assert value["received_at_us"] // 1000 == one.timestamp_ms
        elif one.topic.endswith(".heartbeats"):
            assert value["complete_through"] == one.timestamp_ms
        else:
            assert value["intended_topic"] in (None, f"{prefix}.metrics")
    assert audit(kafka_bootstrap, registry_url, prefix, tmp_path).returncode == 0


def test_it_writes_where_nothing_is_only(kafka_bootstrap, registry_url, golden, prefix):
    missing = replay(kafka_bootstrap, registry_url, prefix)
    assert missing.returncode == 4
    assert "missing; create it with --provision" in missing.stderr
    again = replay(kafka_bootstrap, registry_url, golden.prefix)
    assert again.returncode == 4
    assert "has records; they would be there twice; choose another --prefix, or --force" in again.stderr


def test_it_takes_the_servers_of_a_configuration(kafka_bootstrap, registry_url, prefix, tmp_path):
    file = configured(kafka_bootstrap, registry_url, "other", tmp_path)
    done = command("replay", "--config", file, "--prefix", prefix, "--provision")
    assert done.returncode == 0, done.stderr
    assert f"{prefix}.metrics" in done.stdout
    assert len(read(kafka_bootstrap, f"{prefix}.metrics")) == 3213


def test_it_refuses_topics_of_another_shape(kafka_bootstrap, registry_url, prefix):
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    admin.create_topics([NewTopic(f"{prefix}.metrics", 3, 1)])[f"{prefix}.metrics"].result()
    done = replay(kafka_bootstrap, registry_url, prefix, "--provision")
    assert done.returncode == 4
    assert f"topic {prefix}.metrics: partition count is 3, not 4 as in the recording" in done.stderr


def test_it_refuses_a_prefix_in_which_a_connector_runs(kafka_bootstrap, registry_url, prefix):
    topic = f"{prefix}.acme.control"
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()
    replica = Consumer(
        {"bootstrap.servers": kafka_bootstrap, "group.id": f"{prefix}.acme", "auto.offset.reset": "earliest"}
    )
    replica.subscribe([topic])
    deadline = time.monotonic() + 60
    while not replica.assignment():
        replica.poll(0.2)
        assert time.monotonic() < deadline
    done = replay(kafka_bootstrap, registry_url, prefix, "--provision")
    replica.close()
    assert done.returncode == 4
    assert f"a connector is running there (group {prefix}.acme)" in done.stderr
    assert replay(kafka_bootstrap, registry_url, prefix, "--provision").returncode == 0


def test_it_says_what_it_lacks(tmp_path):
    assert "where to?" in command("replay", "--bootstrap-servers=localhost:1").stderr
    done = command("replay", tmp_path, "--bootstrap-servers=localhost:1", "--registry=http://localhost:1")
    assert done.returncode == 2
    assert f"{tmp_path}: no recording" in done.stderr
