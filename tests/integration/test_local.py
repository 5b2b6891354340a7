"""Each server of this machine starts, works and stops."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from connector.errors import LocalError
from connector.local import maven
from connector.local.kafka import Kafka
from connector.local.noida import Noida
from connector.local.process import Process, free_port, listening, uninterrupted
from connector.local.registry import LocalRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = json.dumps({"type": "record", "name": "A", "fields": [{"name": "x", "type": "long"}]})
OTHER = json.dumps({"type": "record", "name": "A", "fields": [{"name": "x", "type": "string"}]})


@pytest.fixture(scope="module")
def noida() -> Iterator[str]:
    with Noida() as broker:
        yield broker.bootstrap


@pytest.fixture
def registry() -> Iterator[LocalRegistry]:
    with LocalRegistry() as local:
        yield local


# Brokers: the same story on the demo's and on the real one.


@pytest.fixture(params=["noida", pytest.param("kafka_bootstrap", marks=pytest.mark.kafka)])
def bootstrap(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def topic(bootstrap: str) -> str:
    name = f"local.{time.time_ns()}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, 3, 1, config={"cleanup.policy": "compact"})])[name].result(20)
    return name


def producer(bootstrap: str, transactional_id: str) -> Producer:
    made = Producer({"bootstrap.servers": bootstrap, "transactional.id": transactional_id, "log_level": 0})
    made.init_transactions(20)
    return made


def committed(bootstrap: str, topic: str) -> list[Any]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(3)])
    records, ends, deadline = [], 0, time.monotonic() + 20
    while ends < 3:
        assert time.monotonic() < deadline
        record = consumer.poll(1)
        if record is not None and record.error() is None:
            records.append(record)
        elif record is not None:
            assert record.error().code() == KafkaError._PARTITION_EOF
            ends += 1
    consumer.close()
    return records


def test_only_committed_records_are_read(bootstrap: str, topic: str) -> None:
    source = producer(bootstrap, topic)
    source.begin_transaction()
    source.produce(topic, key=b"k", value=b"kept", headers=[("ce_id", b"1")], timestamp=1_700_000_000_000 + 1)
    source.commit_transaction(20)
    source.begin_transaction()
    source.produce(topic, key=b"k", value=b"aborted")
    source.flush(20)
    source.abort_transaction(20)
    source.begin_transaction()
    source.produce(topic, key=b"k", value=b"open")
    source.flush(20)

    (record,) = committed(bootstrap, topic)

    assert (record.key(), record.value(), record.headers()) == (b"k", b"kept", [("ce_id", b"1")])
    assert record.timestamp() == (1, 1_700_000_000_001)
    source.abort_transaction(20)


def test_second_producer_fences_the_first(bootstrap: str, topic: str) -> None:
    first = producer(bootstrap, topic)
    first.begin_transaction()
    first.produce(topic, key=b"k", value=b"zombie")
    first.flush(20)
    producer(bootstrap, topic)

    with pytest.raises(KafkaException) as failure:
        first.commit_transaction(20)

    assert failure.value.args[0].code() == KafkaError._FENCED
    assert committed(bootstrap, topic) == []


def test_topics_are_described_and_offsets_listed(bootstrap: str, topic: str) -> None:
    source = producer(bootstrap, topic)
    source.begin_transaction()
    source.produce(topic, key=b"k", value=b"one", partition=2)
    source.commit_transaction(20)
    admin = AdminClient({"bootstrap.servers": bootstrap})

    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    described = admin.describe_configs([resource])[resource].result(20)
    where = TopicPartition(topic, 2)
    listed = admin.list_offsets({where: OffsetSpec.latest()}, isolation_level=IsolationLevel.READ_COMMITTED)

    assert described["cleanup.policy"].value == "compact"
    assert listed[where].result(20).offset == 2  # the record and its commit marker


def test_group_members_share_the_partitions(bootstrap: str, topic: str) -> None:
    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": topic,
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 500,
    }
    members = [Consumer(settings) for _ in range(2)]
    for member in members:
        member.subscribe([topic])
    _poll_until(members, lambda: sorted(len(m.assignment()) for m in members) == [1, 2])

    left = members.pop()
    left.close()
    _poll_until(members, lambda: len(members[0].assignment()) == 3)
    members[0].close()


def _poll_until(members: list[Consumer], done: Any) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline, [m.assignment() for m in members]
        for member in members:
            member.poll(0.1)


@pytest.mark.kafka
def test_real_broker_creates_no_topics(kafka_bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    admin.list_topics("never-created", timeout=10)
    assert "never-created" not in admin.list_topics(timeout=10).topics


@pytest.mark.kafka
def test_broker_pauses_dies_and_comes_back_with_its_data() -> None:
    with Kafka(properties={"num.partitions": "7", "broker.session.timeout.ms": "4000"}) as kafka:
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
        kafka.controller.pause()
        with pytest.raises(KafkaException):
            admin.list_topics(timeout=1)
        kafka.controller.resume()
        admin.create_topics([NewTopic("t")])["t"].result(30)
        kafka.controller.kill()
        assert not listening(kafka.controller.ports.client)
        kafka.controller.start()
        kafka.wait_until_ready()
        assert len(admin.list_topics("t", timeout=30).topics["t"].partitions) == 7
    assert not kafka.folder.exists()


@pytest.mark.kafka
def test_refused_property_is_named() -> None:
    kafka = Kafka(properties={"log.retention.ms": "soon"})
    with pytest.raises(LocalError, match=r"log\.retention\.ms"):
        kafka.start()
    kafka.stop()


@pytest.mark.kafka
def test_clients_are_told_the_proxys_port() -> None:
    kafka = Kafka(brokers=3, separate_controller=True, advertise=lambda node_id, _port: 40_000 + node_id)
    assert kafka.bootstrap == "127.0.0.1:40001,127.0.0.1:40002,127.0.0.1:40003"
    assert [node.id for node in kafka.nodes] == [100, 1, 2, 3]
    kafka.stop()


# Registries: the same story on the demo's and on the real one.


@pytest.fixture(params=["local", pytest.param("real", marks=pytest.mark.kafka)])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "real":
        return str(request.getfixturevalue("registry_url"))
    return str(request.getfixturevalue("registry").url)


def call(url: str, body: object = None, *, method: str | None = None, **headers: str) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/vnd.schemaregistry.v1+json", **headers}
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            content = error.read()
        return error.code, json.loads(content or b"null")


def test_schema_is_registered_and_found(url: str) -> None:
    subject = f"{url}/subjects/s{time.time_ns()}-value"
    status, registered = call(f"{subject}/versions", {"schema": SCHEMA})
    schema_id = registered["id"]

    assert status == 200
    assert call(f"{subject}/versions", {"schema": SCHEMA})[1]["id"] == schema_id
    assert call(subject, {"schema": SCHEMA})[1]["id"] == schema_id
    assert call(f"{subject}/versions") == (200, [1])
    latest = call(f"{subject}/versions/latest")[1]
    assert (latest["version"], latest["id"], json.loads(latest["schema"])) == (1, schema_id, json.loads(SCHEMA))
    assert json.loads(call(f"{url}/schemas/ids/{schema_id}")[1]["schema"]) == json.loads(SCHEMA)
    assert subject.rsplit("/", 1)[1] in call(f"{url}/subjects")[1]


def test_registry_says_what_is_missing(url: str) -> None:
    subject = f"{url}/subjects/s{time.time_ns()}-value"
    assert call(subject, {"schema": SCHEMA})[1]["error_code"] == 40401
    assert call(f"{subject}/versions/latest")[1]["error_code"] == 40401
    call(f"{subject}/versions", {"schema": SCHEMA})
    assert call(subject, {"schema": OTHER})[1]["error_code"] == 40403
    assert call(f"{url}/schemas/ids/999999")[1]["error_code"] == 40403
    assert call(f"{url}/associations/resources/-/t")[0] == 404
    assert call(f"{subject}/versions", {"schema": "{"})[1]["error_code"] == 42201


def test_compatibility_level_is_kept(url: str) -> None:
    name = f"s{time.time_ns()}-value"
    call(f"{url}/subjects/{name}/versions", {"schema": SCHEMA})
    assert call(f"{url}/config/{name}", {"compatibility": "FULL_TRANSITIVE"}, method="PUT")[0] == 200
    assert call(f"{url}/config/{name}")[1] == {"compatibilityLevel": "FULL_TRANSITIVE"}
    compatible = call(f"{url}/compatibility/subjects/{name}/versions/latest", {"schema": SCHEMA})
    assert compatible == (200, {"is_compatible": True})


def test_local_registry_misbehaves_on_demand(registry: LocalRegistry) -> None:
    registry.faults.status = 503
    assert call(f"{registry.url}/subjects")[0] == 503
    registry.faults.status = None
    registry.faults.body = b'{"id": "seven"}'
    assert call(f"{registry.url}/schemas/ids/1") == (200, {"id": "seven"})
    registry.faults.body = None
    registry.faults.delay = 0.2
    began = time.monotonic()
    assert call(f"{registry.url}/subjects") == (200, [])
    assert time.monotonic() - began >= 0.2
    assert registry.requests == ["GET /subjects", "GET /schemas/ids/1", "GET /subjects"]


def test_local_registry_asks_for_credentials(registry: LocalRegistry) -> None:
    registry.faults.authorization = "Basic " + base64.b64encode(b"user:word").decode()
    assert call(f"{registry.url}/subjects")[0] == 401
    assert call(f"{registry.url}/subjects", Authorization=registry.faults.authorization)[0] == 200


# Processes.


def test_noida_is_gone_after_stop() -> None:
    began = time.monotonic()
    with Noida() as broker:
        port = int(broker.bootstrap.rsplit(":", 1)[1])
        print(f"noida-db accepts connections after {(time.monotonic() - began) * 1000:.0f} ms")
        assert listening(port)
    assert not listening(port)


def test_noida_missing_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(LocalError, match="--broker kafka"):
        Noida()


def test_noida_without_executable_bit_still_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda _path, _mode: False)
    with Noida() as broker:
        assert broker.process.alive


def test_java_missing_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LocalError, match="openjdk-17-jre-headless"):
        maven.java()


def test_failed_download_leaves_no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mvn").write_text("#!/bin/sh\necho '[ERROR] no such artifact'\nexit 1\n")
    (tmp_path / "mvn").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(LocalError, match="no such artifact"):
        maven.kafka_jars()
    assert list((tmp_path / "cache" / "zendesk-chat-kafka").iterdir()) == []


def test_program_that_ends_is_reported_with_its_last_words(tmp_path: Path) -> None:
    process = Process("thing", ["/bin/sh", "-c", "echo no luck"], log=tmp_path / "log", folder=tmp_path)
    process.start()
    with pytest.raises(LocalError, match="no luck"):
        process.wait_until(lambda: False, seconds=10)
    process.stop()


def test_program_that_is_never_ready_is_reported(tmp_path: Path) -> None:
    process = Process("thing", ["/bin/sleep", "60"], log=tmp_path / "log", folder=tmp_path)
    process.start()
    with pytest.raises(LocalError, match="not ready after"):
        process.wait_until(lambda: False, seconds=0.2)
    process.stop()


def test_server_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    port = free_port()
    server = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    program = f"""
import os, signal
from pathlib import Path
from connector.local.process import Process, listening
folder = Path({str(tmp_path)!r})
process = Process("web", {server!r}, log=folder / "log", folder=folder)
process.start()
process.wait_until(lambda: listening({port}), seconds=20)
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert ended.returncode == -9, ended.stderr
    deadline = time.monotonic() + 10
    while listening(port):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_signal_waits_until_what_is_made_has_its_owner() -> None:
    made = []

    @uninterrupted()
    def make() -> None:
        signal.raise_signal(signal.SIGINT)
        made.append("server")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            make()
        assert made == ["server"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
