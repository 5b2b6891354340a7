"""The smaller parts: partitions, decoding, exposition, options, explanations."""

import io
import json
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import fastavro
import pytest
from unit.verify.history import GAPS, METRICS, History, audit, busy, layout, logs

from connector.cli.verify import parse_since
from connector.config import Config, Registry
from connector.domain.partition import partition_for
from connector.errors import ConfigError, LocalError, RegistryUnavailable, SchemaError, SinkRejected
from connector.local.process import free_port
from connector.verify.audit import layout_of
from connector.verify.decode import Decoder, SchemaById
from connector.verify.explain import Explanation
from connector.verify.exposition import Exposition, metric_of, serve
from connector.verify.findings import KINDS, Findings
from connector.verify.murmur import partition_of
from connector.verify.shard import Owners

SCHEMA = {
    "type": "record",
    "name": "R",
    "fields": [{"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]}],
}


# Partitions.


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        # From UtilsTest.java of Apache Kafka.
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_partitions_are_those_of_kafka(key, signed):
    assert partition_of(key, 1000) == (signed & 0x7FFFFFFF) % 1000


def test_two_programs_agree_about_partitions():
    for length in range(70):
        key = bytes(range(length))
        assert partition_of(key, 12) == partition_for(key, 12)


# Decoding.


def framed(value, schema_id=7):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(dict(SCHEMA)), value)
    return b"\0" + schema_id.to_bytes(4, "big") + out.getvalue()


def test_instants_stay_milliseconds_and_a_schema_is_fetched_once():
    asked = []
    decode = Decoder(lambda schema_id: asked.append(schema_id) or SCHEMA)
    assert [decode(framed({"at": 5})), decode(framed({"at": None}))] == [{"at": 5}, {"at": None}]
    assert asked == [7]


@pytest.mark.parametrize(
    "value", [b"", b"\0\0\0\0\7", b"\1\0\0\0\7\2\2", framed({"at": 5})[:-1], framed({"at": 5}) + b"\0"]
)
def test_what_is_no_framed_avro_is_refused(value):
    with pytest.raises(ValueError, match=r"zero byte|its bytes"):
        Decoder(lambda _: SCHEMA)(value)


class Answers(BaseHTTPRequestHandler):
    seen = ()

    def do_GET(self):
        type(self).seen = (*self.seen, (self.path, self.headers.get("Authorization")))
        status = {"/schemas/ids/7": 200, "/schemas/ids/9": 404}.get(self.path, 500)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps({"schema": json.dumps(SCHEMA)}).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    Answers.seen = ()
    found = HTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=found.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{found.server_port}"
    found.shutdown()
    found.server_close()
    thread.join()


def test_the_registry_is_asked_by_id_at_the_first_address_that_answers(server, tmp_path):
    (tmp_path / "password").write_text("secret\n")
    basic = {"username": "me", "password_file": tmp_path / "password"}
    dead = f"http://127.0.0.1:{free_port()}"
    fetch = SchemaById(Registry.model_validate({"urls": [dead, server], "basic": basic}))
    assert fetch(7) == SCHEMA
    assert Answers.seen == (("/schemas/ids/7", "Basic bWU6c2VjcmV0"),)
    with pytest.raises(SchemaError, match="no schema 9"):
        fetch(9)
    with pytest.raises(RegistryUnavailable, match="HTTP 500"):
        fetch(8)


def test_a_registry_that_is_away(tmp_path):
    (tmp_path / "token").write_text("bearer-secret")
    settings = {"urls": [f"http://127.0.0.1:{free_port()}"], "token_file": tmp_path / "token"}
    with pytest.raises(RegistryUnavailable, match="refused") as raised:
        SchemaById(Registry.model_validate(settings))(7)
    assert "secret" not in str(raised.value)


# Findings, owners.


def test_findings_are_counted_and_the_first_of_a_kind_are_kept():
    findings = Findings()
    for number in range(1500):
        findings.add("lost", "s", f"hole {number}", count=2)
    findings.add("late", "s", "late")
    assert (findings.totals["lost"], len(findings.kept), findings.omitted) == (3000, 1001, 500)
    assert len(findings.fresh()) == 1001
    assert findings.fresh() == []


def test_batches_of_owners_do_not_mix():
    owners = Owners()
    assert [owners.note(*one) for one in [(5, 2), (1, 1), (9, 3), (6, 2), (2, 1), (3, 1)]] == [None] * 6
    assert owners.note(5, 1) == "batch 5 of owner epoch 1 belongs to owner epoch 2"
    assert owners.note(6, 3) == "batch 6 of owner epoch 3 belongs to owner epoch 2"


# Exposition.


def test_every_kind_has_its_counter():
    history = busy(2)
    transactions = [[made for made in one if made.topic != GAPS] for one in history.transactions]
    auditor = audit(history, transactions)
    port = free_port()
    stop = serve(Exposition(auditor), port)
    try:
        with pytest.raises(LocalError, match="choose another"):
            serve(Exposition(auditor), port)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
    finally:
        stop()
    figures = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert {f"{metric_of(kind)}_total" for kind in KINDS} < set(figures)
    assert float(figures["zendesk_chat_verify_undeclared_gaps_total"]) > 0
    assert float(figures["zendesk_chat_verify_lost_total"]) == 0
    assert float(figures["zendesk_chat_verify_updates_read_total"]) == auditor.updates
    assert "zendesk_chat_verify_oldest_unproven_age_seconds" in figures


# Options.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 910_000),
        ("1.5m", 910_000),
        ("1970-01-01T00:01Z", 60_000),
        ("1970-01-01T01:01+01:00", 60_000),
        ("1970-01-02", 86_400_000),
    ],
)
def test_since(text, expected):
    assert parse_since(text, 1000) == expected


@pytest.mark.parametrize("text", ["", "5", "yesterday", "5w"])
def test_since_that_is_no_time(text):
    with pytest.raises(ConfigError, match="write 2026-01-31T12:00Z"):
        parse_since(text, 1000)


# Topics.


def config(**topics):
    return Config.model_validate(
        {
            "account": "acme",
            "source": {"token_file": "/t"},
            "subscriptions": [{"metrics": ["agents.*"]}],
            "topics": {"prefix": "p", **topics},
            "kafka": {"bootstrap_servers": "localhost"},
            "registry": {"urls": ["http://localhost"]},
        }
    )


EXISTING = {"p.metrics": 4, "p.latest": 8, "p.gaps": 4, "p.acme.heartbeats": 4, "p.acme.offsets": 2, "other": 1}


def test_the_layout_is_that_of_the_cluster():
    found = layout_of(config(), EXISTING)
    assert (found.shards, found.metrics, found.latest) == (2, frozenset({"p.metrics"}), "p.latest")
    assert "other" not in found.partitions


def test_topics_of_departments_that_are_no_longer_configured_count():
    existing = EXISTING | {"p.m-chats.5": 4, "p.m-agents.all": 4, "p.m-chats.x": 4}
    found = layout_of(config(metrics="{prefix}.m-{family}.{department}"), existing)
    assert found.metrics == {"p.m-chats.5", "p.m-agents.all"}


@pytest.mark.parametrize("gone", ["p.metrics", "p.gaps", "p.latest", "p.acme.offsets"])
def test_a_missing_topic(gone):
    with pytest.raises(SinkRejected, match=f"topic {gone} does not exist; run"):
        layout_of(config(), {name: count for name, count in EXISTING.items() if name != gone})


def test_a_topic_of_another_size():
    with pytest.raises(SinkRejected, match=r"p\.metrics has 5 partitions, p\.gaps has 4"):
        layout_of(config(), EXISTING | {"p.metrics": 5})


# Explanations.


def explained(history, event_id):
    explanation = Explanation(event_id, layout(history))
    partitions = logs(history.transactions)
    for topics in ({METRICS}, set(layout(history).partitions) - {METRICS}):
        for (topic, partition), messages in partitions.items():
            if topic in topics and partition == explanation.partition:
                for message in messages:
                    explanation.feed(message)
    return explanation.as_json()


def test_an_update_is_explained_by_what_is_around_it():
    history = History(partitions=4, departments=2)
    for value in range(3):
        history.push(0, value)
        history.commit()
        history.disconnect()
    found = explained(history, "acme/chats.missed_chats|30|1/2/2")
    (record,) = found["records"]
    expected = {"topic": METRICS, "offset": 2, "key": "1", "session_id": "s2", "frame": 1, "batch_id": 2, "epoch": 2}
    assert {name: record[name] for name in expected} == expected
    assert found["gap_before"]["gap_id"] == "acme/chats.missed_chats|30|1/2"
    assert found["gap_after"]["gap_id"] == "acme/chats.missed_chats|30|1/3"
    assert found["heartbeat_before"]["heartbeat_seq"] == 1
    assert found["heartbeat_with_or_after"]["heartbeat_seq"] == 2


def test_an_update_that_is_not_there():
    history = History()
    history.push(0, 1)
    history.commit()
    found = explained(history, "acme/chats.missed_chats|30|1/1/7")
    assert not found["found"]
    assert found["heartbeat_before"] is None


@pytest.mark.parametrize("text", ["", "x", "other/chats.a||/1/1", "acme/chats.a||/1", "acme/chats.a||/1/x"])
def test_what_is_no_event_id(text):
    with pytest.raises(ConfigError, match="write acme/series/epoch/sequence"):
        Explanation(text, layout(History()))


def test_histories_repeat():
    assert busy(4).transactions == busy(4).transactions
