"""The audit of real topics: a plain transactional producer writes the histories, aborted transactions in between."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from pathlib import Path

import fastavro
import pytest
import yaml
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from typer import Typer
from typer.testing import CliRunner
from unit.verify.history import EPOCH, GAPS, HEARTBEATS, LATEST, METRICS, OFFSETS, History, busy

from connector.cli.verify import verify
from connector.config import load
from connector.errors import SinkUnavailable
from connector.local.process import free_port
from connector.verify.audit import Audit

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
NAMES = {
    METRICS: "metric-update",
    LATEST: "metric-update",
    GAPS: "gap",
    HEARTBEATS: "heartbeat",
    OFFSETS: "source-offset",
}
COMMAND = Typer()
COMMAND.command()(verify)


class Cluster:
    """Topics of one account for one history, and a producer that writes it."""

    def __init__(self, bootstrap, registry, history, folder):
        self.bootstrap = bootstrap
        self.prefix = f"v{uuid.uuid4().hex[:8]}"
        self.history = history
        self.config = folder / "verify.yaml"
        self.config.write_text(yaml.safe_dump(self.settings(registry)))
        admin = AdminClient({"bootstrap.servers": bootstrap})
        counts = dict.fromkeys((METRICS, LATEST, GAPS, HEARTBEATS), history.partitions) | {OFFSETS: len(history.shards)}
        topics = [NewTopic(self.topic(name), count, 1) for name, count in counts.items()]
        for future in admin.create_topics(topics).values():
            future.result()
        self.schemas = {name: registered(registry, self.topic(name), schema) for name, schema in NAMES.items()}
        self.producer = self.new_producer("history")

    def settings(self, registry):
        return {
            "account": "acme",
            "guarantee": "best-effort",
            "source": {"token_file": "/t"},
            "subscriptions": [{"metrics": ["agents.*"]}],
            "topics": {"prefix": self.prefix},
            "kafka": {"bootstrap_servers": self.bootstrap, "min_insync_replicas": 1, "transaction_timeout": "2s"},
            "registry": {"urls": [registry]},
        }

    def topic(self, name):
        return self.prefix + name.removeprefix("p")

    def new_producer(self, name):
        settings = {"bootstrap.servers": self.bootstrap, "transactional.id": f"{self.prefix}.{name}", "linger.ms": 0}
        producer = Producer(settings)
        producer.init_transactions(30)
        return producer

    def write(self, transactions=None, *, aborted_every=4):
        """Every so often a transaction is tried, aborted, and written again; the last thing is an aborted one."""
        transactions = self.history.transactions if transactions is None else transactions
        for number, one in enumerate(transactions):
            if number % aborted_every == 0:
                self.transaction(one, commit=False)
            self.transaction(one, commit=True)
        if transactions:
            self.transaction([made for one in transactions[-20:] for made in one], commit=False)

    def transaction(self, records, *, commit):
        self.producer.begin_transaction()
        for made in records:
            self.produce(self.producer, made)
        assert self.producer.flush(30) == 0
        if commit:
            self.producer.commit_transaction(30)
        else:
            self.producer.abort_transaction(30)

    def produce(self, producer, made):
        value = None if made.value is None else self.framed(made)
        producer.produce(
            self.topic(made.topic),
            value,
            made.key.encode(),
            made.partition,
            timestamp=made.timestamp,
            headers=made.headers,
        )

    def framed(self, made):
        schema_id, schema = self.schemas[made.topic]
        value = dict(made.value)
        if value.get("topic") in NAMES:
            value["topic"] = self.topic(value["topic"])
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, value)
        return b"\0" + schema_id.to_bytes(4, "big") + out.getvalue()

    def verify(self, *arguments):
        """Exit code and JSON document."""
        done = CliRunner().invoke(COMMAND, ["--config", str(self.config), "--json", *arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, json.loads(done.stdout)


def registered(registry, topic, name):
    text = (SCHEMAS / f"{name}.avsc").read_text()
    request = urllib.request.Request(
        f"{registry}/subjects/{topic}-value/versions",
        data=json.dumps({"schema": text}).encode(),
        headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["id"], fastavro.parse_schema(json.loads(text))


@pytest.fixture
def cluster(kafka_bootstrap, registry_url, tmp_path):
    return lambda history: Cluster(kafka_bootstrap, registry_url, history, tmp_path)


def now():
    return int(time.time() * 1000)


def recent(seed):
    """A busy history that ends about now, since retention looks at timestamps."""
    length = busy(seed).now - EPOCH
    return busy(seed, start=now() - length - 60_000)


def test_a_clean_account_with_aborted_transactions(cluster):
    history = recent(11)
    topics = cluster(history)
    topics.write()
    code, result = topics.verify()
    assert (code, result["details"]) == (0, [])
    expected = sum(made.topic == METRICS for one in history.transactions for made in one)
    assert result["updates"] == expected > 20
    assert result["compared_through_batch"] == {str(at): shard.batch for at, shard in enumerate(history.shards)}
    assert result["cannot_see"]


def test_nothing_was_ever_written(cluster):
    code, result = cluster(History()).verify()
    assert (code, result["updates"], result["proven_through_ms"]) == (0, 0, None)


def test_only_aborted_transactions(cluster):
    """The partitions hold aborted records and markers and nothing else; the reader ends all the same."""
    history = recent(12)
    topics = cluster(history)
    for one in history.transactions[:10]:
        topics.transaction(one, commit=False)
    code, result = topics.verify()
    assert (code, result["updates"]) == (0, 0)


def without(history, topic, number):
    """The history without one record of a topic, of a transaction in its middle."""
    transactions = [list(one) for one in history.transactions]
    places = [(at, made) for at, one in enumerate(transactions) for made in one if made.topic == topic]
    at, made = places[number]
    transactions[at].remove(made)
    return transactions, made


def test_faults_are_found_on_real_topics(cluster):
    history = recent(13)
    series = "chats.missed_chats|30|1"
    places = [made for one in history.transactions for made in one if made.topic == METRICS]
    of_series = [made for made in places if made.value["series"] == series]
    transactions = [
        [made for made in one for _ in range(2 if made is of_series[-1] else 1) if made is not of_series[2]]
        for one in history.transactions
    ]
    topics = cluster(history)
    topics.write(transactions)
    code, result = topics.verify()
    assert code == 10
    assert result["findings"]["lost"] == 1
    assert result["findings"]["duplicated"] == 1
    lost = next(one for one in result["details"] if one["kind"] == "lost")
    assert (lost["subject"], lost["text"]) == (series, f"sequence {of_series[2].value['sequence']} missing")
    assert lost["place"].startswith(f"{topics.prefix}.metrics[")


def test_the_table_for_people(cluster):
    history = recent(14)
    transactions, _ = without(history, HEARTBEATS, 20)
    topics = cluster(history)
    topics.write(transactions)
    done = CliRunner().invoke(COMMAND, ["--config", str(topics.config)])
    assert done.exit_code == 10
    assert "heartbeat_hole" in done.stdout
    assert "What an audit of Kafka cannot see:" in done.stdout
    assert "\x1b" not in done.stdout


def test_since_takes_what_it_finds_as_baseline(cluster):
    history = recent(15)
    transactions, lost = without(history, METRICS, 3)
    topics = cluster(history)
    topics.write(transactions)
    assert topics.verify()[0] == 10
    since = lost.timestamp + 2000
    code, result = topics.verify("--since", str(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since / 1000 + 1))))
    assert (code, result["details"]) == (0, [])
    assert 0 < result["updates"] < sum(made.topic == METRICS for one in transactions for made in one)


def test_an_update_is_explained(cluster):
    history = recent(16)
    topics = cluster(history)
    topics.write()
    wanted = [made for one in history.transactions for made in one if made.topic == METRICS][-1]
    code, found = topics.verify("--explain", wanted.value["event_id"])
    assert (code, found["found"]) == (0, True)
    assert found["records"][0]["frame"] == wanted.value["frame"]
    assert found["records"][0]["offset"] > 0
    code, found = topics.verify("--explain", wanted.value["event_id"] + "99")
    assert (code, found["found"]) == (10, False)


def test_an_open_transaction_is_waited_for(cluster):
    """Its records stand before the high watermark: the audit ends when their fate is decided, not before."""
    history = recent(17)
    topics = cluster(history)
    topics.write(history.transactions[:-2])
    late = topics.new_producer("late")
    late.begin_transaction()
    for made in history.transactions[-2]:
        topics.produce(late, made)
    late.flush(30)
    timer = threading.Timer(2, late.commit_transaction)
    began = time.monotonic()
    timer.start()
    code, result = topics.verify()
    timer.join()
    assert time.monotonic() - began >= 2
    assert (code, result["details"]) == (0, [])


def test_a_transaction_that_hangs_is_no_clean_result(cluster):
    history = recent(18)
    topics = cluster(history)
    topics.write()
    hanging = topics.new_producer("hanging")
    hanging.begin_transaction()
    for made in history.transactions[-1]:
        topics.produce(hanging, made)
    hanging.flush(30)
    audit = Audit(load(topics.config, {}))
    audit.reader.patience = 2
    with pytest.raises(SinkUnavailable, match="transaction hanging"):
        audit.start()
    audit.close()
    hanging.abort_transaction(30)


def test_watching_finds_a_fault_when_it_happens(cluster):
    history = recent(19)
    half = len(history.transactions) // 2
    transactions, lost = [list(one) for one in history.transactions], None
    for at in range(half, len(transactions)):
        updates = [made for made in transactions[at] if made.topic == METRICS]
        if updates and lost is None:
            lost = updates[0]
            transactions[at].remove(lost)
    topics = cluster(history)
    topics.write(transactions[:half])
    port = free_port()
    program = "from typer import Typer; from connector.cli.verify import verify; a = Typer(); a.command()(verify); a()"
    arguments = ["--config", str(topics.config), "--json", "--watch", "--interval", "0.2", "--port", str(port)]
    watcher = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True, env=os.environ.copy()
    )
    try:
        started = json.loads(watcher.stdout.readline())
        assert (started["event"], started["clean"]) == ("started", True)
        topics.write(transactions[half:])
        finding = json.loads(watcher.stdout.readline())
        assert finding["event"] == "finding"
        time.sleep(1)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            figures = answer.read().decode()
    finally:
        watcher.send_signal(signal.SIGTERM)
        output = watcher.communicate(timeout=30)[0]
    kinds = {finding["kind"]} | {json.loads(line)["kind"] for line in output.splitlines()}
    assert kinds & {"lost", "offset_ahead"}
    assert "zendesk_chat_verify_lost_total" in figures
    assert watcher.returncode == 10
