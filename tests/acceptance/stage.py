"""A whole deployment on this machine: emulator and connector as processes of their own, a real broker and registry.

What an independent consumer (confluent-kafka and its own Avro deserializer) reads back is compared with the
emulator's journal, the ground truth.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import leaks
import yaml
from confluent_kafka import OFFSET_END, Consumer, KafkaError, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient, topic_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from connector.adapters.admin import Admin, topics_of
from connector.adapters.registry import SchemaRegistry
from connector.adapters.schema_files import by_topic
from connector.cli.provision import metrics_topics
from connector.config import load

COMMAND = [sys.executable, "-m", "connector"]


class Message(NamedTuple):
    """One record as a consumer sees it."""

    topic: str
    partition: int
    offset: int
    key: str
    value: dict[str, Any] | None
    timestamp: int
    headers: dict[str, str]


class Journal(NamedTuple):
    """The emulator's journal, by session and frame."""

    frames: list[dict[str, Any]]

    def values(self, sessions=None):
        """(session, frame, series) -> JSON literal, of every update frame."""
        return {
            (line["session"], line["frame"], series): literal
            for line in self.frames
            if sessions is None or line["session"] in sessions
            for series, literal in line.get("values") or ()
        }

    def of_kind(self, kind):
        return [line for line in self.frames if line["kind"] == kind]


@dataclass
class Stage:
    """One account with its own topic prefix, so that many stages share a broker."""

    folder: Path
    kafka: str
    registry: str
    departments: int = 3
    rate: float | None = 200.0
    switches: dict[str, Any] = field(default_factory=dict)
    emulator_options: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    tls: bool = False

    def __post_init__(self):
        self.prefix = f"t{uuid.uuid4().hex[:10]}"
        self.journal_file = self.folder / "journal.jsonl"
        self.config_file = self.folder / "connector.yaml"
        self.token_file = self.folder / "token"
        self.processes: list[subprocess.Popen] = []
        self.files = []
        self.client = SchemaRegistryClient({"url": self.registry})
        self.decode = AvroDeserializer(self.client, conf={"subject.name.strategy": topic_subject_name_strategy})
        self.emulator = None
        self.secrets: dict[str, str] = {}
        self.ready: dict[str, Any] = {}

    # Processes.

    def start_emulator(self):
        switches = [f"--switch={name}={value}" for name, value in self.switches.items()]
        rate = [] if self.rate is None else [f"--rate={self.rate}"]
        command = [
            *COMMAND, "emulate", "--port=0", "--json", f"--journal={self.journal_file}",
            f"--departments={self.departments}", *rate, *switches, *self.emulator_options,
            *([f"--tls={self.folder / 'tls'}"] if self.tls else []),
        ]  # fmt: skip
        self.emulator = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log("emulator"), text=True)
        self.processes.append(self.emulator)
        self.ready = json.loads(self.emulator.stdout.readline())
        self.secrets["token"] = f"canary-token-{uuid.uuid4().hex}+/="
        self.control("token", token=self.secrets["token"], role="owner")
        self.token_file.write_text(self.secrets["token"])
        self.token_file.chmod(0o600)
        return self

    def control(self, command, **arguments):
        """Steer the emulator."""
        url = f"{self.ready['control']}/{command}"
        data = None if command == "stats" else json.dumps(arguments).encode()
        trust = ssl.create_default_context(cafile=self.ready["ca"]) if self.tls else None
        with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=10, context=trust) as answer:
            return json.load(answer)

    def write_config(self, **overrides):
        departments_url = f"{self.ready['http']}/api/v2/departments"
        config = {
            "account": "acme",
            "source": {
                "url": self.ready["url"],
                "departments_url": departments_url,
                "token_file": str(self.token_file),
                "allow_plain_loopback": True,
                "subscribe_rate": 2000,
                "backoff": {"initial": "50ms", "maximum": "500ms"},
                "auth_backoff": "500ms",
                "probe_interval": "250ms",
            },
            "subscriptions": [
                {
                    "metrics": ["chats.*", "agents.*"],
                    "windows": [30, 60],
                    "departments": ["all", *self.ready["departments"]],
                }
            ],
            "kafka": {
                "bootstrap_servers": self.kafka,
                "partitions": 4,
                "replication_factor": 1,
                "min_insync_replicas": 1,
            },
            "topics": {"prefix": self.prefix},
            "registry": {"urls": [self.registry]},
            "heartbeat": {"interval": "250ms"},
            "http": {"port": 0},
            "guarantee": "best-effort",
            "log": {"format": "json", "level": "debug"},
        }
        for part in (self.config, overrides):
            merge(config, part)
        self.config_file.write_text(yaml.safe_dump(config))
        return self

    def command(self, *arguments, check=True, timeout=60):
        """Run one command of the product to its end."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=self._environment(),
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def provision(self):
        """What `provision` does, without a process for it."""
        config = load(self.config_file, self.environment)
        metrics = metrics_topics(config)
        Admin(config.kafka, strict=False).provision(topics_of(config, metrics))
        with SchemaRegistry(config.registry) as registry:
            registry.register_all(by_topic(config.names, metrics))
        return self

    def start_connector(self, name="connector", module="connector", **environment):
        command = [sys.executable, "-m", module, "run", "--config", str(self.config_file)]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=self._log(name), env=self._environment() | environment
        )
        self.processes.append(process)
        return process

    def stop(self, process, timeout=30):
        """SIGTERM; the exit code. The time is a ceiling for a hang, not a measure."""
        with contextlib.suppress(OSError):
            environment = Path("/proc", str(process.pid), "environ").read_bytes()
            leaks.search(self.secrets, {f"{self.folder}: environment": environment})
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout)

    def alive(self):
        """True; a process that ended by an error of its own fails the test at once, with its last words."""
        ended = [process.args for process in self.processes if (process.poll() or 0) > 0]
        assert not ended, f"{ended} ended: {self.log()[-2000:]}"
        return True

    def close(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
        self.client.close()
        if self.token_file.exists():
            self.secrets["newest token"] = self.token_file.read_text()
        logs = (path for path in self.folder.glob("*.log") if path.stem != "emulator")
        leaks.search(self.secrets, {str(path): path.read_bytes() for path in logs})
        for file in self.files:
            file.close()

    def log(self, name="connector"):
        file = self.folder / f"{name}.log"
        return file.read_text() if file.exists() else ""

    def _log(self, name):
        file = (self.folder / f"{name}.log").open("ab")
        self.files.append(file)
        return file

    def _environment(self):
        return {**os.environ, **self.environment}

    # Topics.

    @property
    def topics(self):
        return {
            "metrics": f"{self.prefix}.metrics",
            "latest": f"{self.prefix}.latest",
            "gaps": f"{self.prefix}.gaps",
            "dead-letters": f"{self.prefix}.dead-letters",
            "heartbeats": f"{self.prefix}.acme.heartbeats",
            "offsets": f"{self.prefix}.acme.offsets",
        }

    def read(self, name, isolation="read_committed"):
        """Every record of one topic, decoded, in offset order by partition."""
        topic = self.topics.get(name, name)
        raw = []
        found = read_topic(self.kafka, self.decode, topic, isolation, raw)
        leaks.search(self.secrets, {f"{self.folder}: {topic}": b"\n".join(raw)})
        return found

    def journal(self):
        lines = [json.loads(line) for line in self.journal_file.read_text().splitlines()]
        return Journal([line for line in lines if line["event"] == "frame"])

    def sent(self):
        """Update frames sent so far, by the emulator's own count."""
        return self.control("stats")

    def settle(self, seconds=60):
        """Let the world stand still, then wait until a heartbeat of every partition has passed it."""
        self.control("pause")
        time.sleep(0.1)
        quiet = time.time() * 1000
        consumer = new_consumer(self.kafka)
        behind = partitions_of(consumer, self.topics["heartbeats"])
        consumer.assign([TopicPartition(self.topics["heartbeats"], number, OFFSET_END) for number in behind])
        deadline = time.monotonic() + seconds
        while behind and time.monotonic() < deadline:
            message = consumer.poll(0.1)
            # The timestamp of a heartbeat is its complete_through.
            if message is not None and not message.error() and message.timestamp()[1] > quiet:
                behind.discard(message.partition())
        consumer.close()
        assert not behind, f"not within {seconds} s: heartbeats of partitions {behind}: {self.log()[-2000:]}"


def merge(into, other):
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def new_consumer(kafka, isolation="read_committed"):
    """An independent reader that assigns its partitions itself."""
    return Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": f"read-{uuid.uuid4().hex}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
        }
    )


def partitions_of(consumer, topic):
    return set(consumer.list_topics(topic, timeout=20).topics[topic].partitions)


def read_topic(kafka, decode, topic, isolation="read_committed", raw=None):
    """An independent reader: ends on real partition ends. ``raw`` collects the values as they are in Kafka."""
    raw = [] if raw is None else raw
    consumer = new_consumer(kafka, isolation)
    context = SerializationContext(topic, MessageField.VALUE)
    open_ends = {}
    for number in partitions_of(consumer, topic):
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=20)
        if high > low:
            open_ends[number] = high
    consumer.assign([TopicPartition(topic, number, 0) for number in open_ends])
    found = defaultdict(list)
    deadline = time.monotonic() + 60
    while open_ends and time.monotonic() < deadline:
        for message in consumer.consume(2000, 0.05):
            if message.error():
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                if message.offset() >= open_ends.get(message.partition(), 0):
                    open_ends.pop(message.partition(), None)
                continue
            content = message.value()
            raw.append(content or b"")
            value = None if content is None else decode(content, context)
            headers = {name: text.decode() for name, text in message.headers() or ()}
            key = message.key().decode()
            found[message.partition()].append(
                Message(topic, message.partition(), message.offset(), key, value, message.timestamp()[1], headers)
            )
    consumer.close()
    assert not open_ends, f"{topic}: {open_ends} not reached"
    return [message for number in sorted(found) for message in found[number]]
