"""The schema registry: a real one for the truth, a misbehaving one for the errors."""

import base64
import json
import logging
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from connector.adapters import registry as adapter
from connector.adapters import schema_files
from connector.adapters.canonical import canonical
from connector.adapters.registry import LEVEL, SchemaRegistry
from connector.config import Basic, Registry
from connector.domain.topics import Topics
from connector.errors import ConfigError, RegistryUnavailable, SchemaError
from connector.local.registry import LocalRegistry


@pytest.fixture
def topics():
    """Topics that no other test uses."""
    return unused()


def unused():
    names = Topics(account="acme", prefix=f"t{uuid.uuid4().hex[:8]}")
    return schema_files.by_topic(names, (names.gaps.replace("gaps", "metrics"),))


@pytest.fixture
def local():
    with LocalRegistry() as running:
        yield running


@pytest.fixture
def opened():
    """Makes clients, closed at the end."""
    with ExitStack() as stack:

        def make(*urls, timeout=2, **settings):
            return stack.enter_context(SchemaRegistry(Registry(urls=list(urls), timeout=timeout, **settings)))

        yield make


def evolved(name, change, monkeypatch):
    """Our schema, as another version of the connector has it."""
    schema = json.loads(schema_files.schema_text(name))
    change(schema["fields"])
    real = schema_files.schema_text
    text = json.dumps(schema)
    monkeypatch.setattr(adapter, "schema_text", lambda wanted: text if wanted == name else real(wanted))


def secret(folder: Path, text: str) -> Path:
    file = folder / "secret"
    file.write_text(text)
    file.chmod(0o600)
    return file


# A real registry.


@pytest.mark.kafka
def test_register_verify_and_register_again(registry_url, topics, opened):
    registry = opened(registry_url)
    with pytest.raises(SchemaError, match="not in the registry; run zendesk-chat-kafka provision"):
        registry.verify_registered(topics)
    assert {one.action for one in registry.register_all(topics, dry_run=True)} == {"to register"}
    with pytest.raises(SchemaError, match="not in the registry"):
        registry.verify_registered(topics)

    first = registry.register_all(topics)
    assert {one.action for one in first} == {"registered"}
    ids = registry.verify_registered(topics)
    assert ids == {one.subject: one.schema_id for one in first}
    again = opened(registry_url).register_all(topics)
    assert {(one.action, one.level) for one in again} == {("unchanged", LEVEL)}


@pytest.mark.kafka
def test_replicas_that_register_at_once(registry_url, opened):
    """The init containers of fresh pods do."""
    together = [opened(registry_url, timeout=20) for _ in range(3)]
    began = threading.Barrier(len(together), timeout=60)

    def register(registry, topics):
        began.wait()
        return registry.register_all(topics)

    with ThreadPoolExecutor(len(together)) as pool:
        for _ in range(10):
            topics = unused()
            done = list(pool.map(register, together, [topics] * len(together)))
            ids = together[0].verify_registered(topics)
            assert [{one.subject: one.schema_id for one in each} for each in done] == [ids] * len(together)
            for subject in ids:
                assert together[0]._client.get_versions(subject) == [1]
                assert together[0].level(subject) == LEVEL


@pytest.mark.kafka
def test_incompatible_schema_is_refused_with_the_registrys_words(registry_url, topics, monkeypatch, opened):
    registry = opened(registry_url)
    registry.register_all(topics)
    evolved("gap", lambda fields: fields.append({"name": "extra", "type": "string", "doc": "x"}), monkeypatch)
    judged = next(one for one in registry.register_all(topics, dry_run=True) if one.schema == "gap")
    assert judged.action == "refused"
    assert any("extra" in message for message in judged.messages)
    with pytest.raises(SchemaError, match=r"subject .*-value, gap.avsc: HTTP 409: .*extra"):
        registry.register_all(topics)
    with pytest.raises(SchemaError, match=r"no version of it equals gap.avsc; run zendesk-chat-kafka provision"):
        registry.verify_registered(topics)


@pytest.mark.kafka
def test_compatible_schema_becomes_a_version_and_the_old_one_stays_usable(registry_url, topics, monkeypatch, opened):
    registry = opened(registry_url)
    old = {one.subject: one.schema_id for one in registry.register_all(topics)}
    with monkeypatch.context() as patched:
        added = {"name": "extra", "type": ["null", "string"], "default": None, "doc": "x"}
        evolved("gap", lambda fields: fields.append(added), patched)
        newer = {one.subject: one for one in opened(registry_url).register_all(topics)}
        (changed,) = [one for one in newer.values() if one.action == "registered"]
        assert changed.schema == "gap"
        assert changed.schema_id != old[changed.subject]
    assert opened(registry_url).verify_registered(topics) == old


@pytest.mark.kafka
def test_encoded_values_are_read_by_a_plain_client(registry_url, topics, opened):
    from confluent_kafka.schema_registry import SchemaRegistryClient, topic_subject_name_strategy
    from confluent_kafka.schema_registry.avro import AvroDeserializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    registry = opened(registry_url)
    registry.register_all(topics)
    encode = registry.encoders(topics)["dead-letter"]
    record = {
        "error_id": "e",
        "account": "acme",
        "stage": "decode",
        "error_class": "not_json",
        "error_message": "m",
        "failed_at": 1700000000123,
        "payload": b"\xff",
        "payload_size": 1,
        "payload_sha256": "x",
        "processor": "p",
        "processor_version": "1",
    }
    topic = next(topic for topic, name in topics.items() if name == "dead-letter")
    with SchemaRegistryClient({"url": registry_url}) as client:
        decode = AvroDeserializer(client, conf={"subject.name.strategy": topic_subject_name_strategy})
        read = decode(encode(record), SerializationContext(topic, MessageField.VALUE))
    assert read["payload"] == b"\xff"
    assert read["failed_at"].timestamp() == 1700000000.123
    assert registry.decoder("dead-letter")(encode(record)) == {
        **dict.fromkeys(("received_at", "session_id", "frame", "series", "intended_topic")),
        "truncated": False,
        **record,
    }


# A registry that misbehaves.


def test_outage_after_start_changes_nothing(local, topics, opened):
    registry = opened(local.url)
    registry.register_all(topics)
    encoders = registry.encoders(topics)
    local.faults.status = 500
    decode = registry.decoder("metric-update")
    with pytest.raises(RegistryUnavailable):
        registry.verify_registered(topics)
    assert decode._writer(encoders["metric-update"]._header[-1])["name"] == "zendesk.chat.MetricUpdate"


@pytest.mark.parametrize(
    ("fault", "value", "kind", "what"),
    [
        ("status", 500, RegistryUnavailable, "HTTP 500: .*; try again later"),
        ("status", 429, RegistryUnavailable, "HTTP 429: .*; try again later"),
        ("status", 403, SchemaError, "HTTP 403: refused; check registry.basic or registry.token_file"),
        ("status", 422, SchemaError, "HTTP 422"),
        ("body", b"<html>", RegistryUnavailable, "JSONDecodeError.*; check registry.urls"),
        ("delay", 1.0, RegistryUnavailable, "ReadTimeout.*; check registry.urls"),
    ],
)
def test_faults(local, topics, fault, value, kind, what, opened):
    setattr(local.faults, fault, value)
    registry = opened(local.url, timeout=0.2)
    with pytest.raises(kind, match=f"registry {local.url}: subject .*{what}"):
        registry.verify_registered(topics)


def test_unreachable(opened):
    with pytest.raises(RegistryUnavailable, match=r"registry http://127\.0\.0\.1:1: .*refused; check registry\.urls"):
        opened("http://127.0.0.1:1").verify_registered({"t": "gap"})


def test_second_address_is_used(local, topics, opened):
    registry = opened("http://127.0.0.1:1", local.url, timeout=2)
    assert {one.action for one in registry.register_all(topics)} == {"registered"}


def test_basic_authentication(local, topics, tmp_path, opened):
    local.faults.authorization = "Basic " + base64.b64encode(b"me:hunter2").decode()
    with pytest.raises(SchemaError, match=r"HTTP 401: refused; check registry\.basic"):
        opened(local.url).register_all(topics)
    basic = Basic(username="me", password_file=secret(tmp_path, "hunter2\n"))
    assert opened(local.url, basic=basic).register_all(topics)


def test_bearer_authentication(local, topics, tmp_path, opened):
    local.faults.authorization = "Bearer canary"
    assert opened(local.url, token_file=secret(tmp_path, "canary\n")).register_all(topics)


def test_credentials_appear_nowhere(local, topics, tmp_path, caplog, opened):
    caplog.set_level(logging.DEBUG)
    basic = Basic(username="me", password_file=secret(tmp_path, "hunter2"))
    local.faults.status = 401
    with pytest.raises(SchemaError) as caught:
        opened(local.url, basic=basic).register_all(topics)
    text = caplog.text + str(caught.value)
    assert "hunter2" not in text
    assert base64.b64encode(b"me:hunter2").decode() not in text


def test_ca_file_that_is_none(tmp_path, opened):
    file = tmp_path / "ca.pem"
    with pytest.raises(ConfigError, match=r"registry\.ca_file: .*ca\.pem: .*; name a PEM file"):
        opened("https://localhost", ca_file=file)
    file.write_text("no certificate")
    with pytest.raises(ConfigError, match="name a PEM file"):
        opened("https://localhost", ca_file=file)


def test_level_that_the_registry_does_not_keep(local, topics, monkeypatch, opened):
    registry = opened(local.url)
    monkeypatch.setattr(registry._client, "get_compatibility", lambda subject: "BACKWARD")
    with pytest.raises(SchemaError, match="the registry does not keep level FULL_TRANSITIVE"):
        registry.register_all(topics)


def test_one_schema_under_two_ids_is_refused(local, topics, monkeypatch, opened):
    registry = opened(local.url)
    registry.register_all(topics)
    ids = registry.verify_registered(topics)
    changed = dict(ids, **{next(iter(ids)): 99})
    monkeypatch.setattr(registry, "verify_registered", lambda _: changed)
    with pytest.raises(SchemaError, match="has another id than elsewhere"):
        registry.encoders(topics)


@pytest.mark.kafka
def test_subject_at_another_level_is_raised(registry_url, topics, opened):
    registry = opened(registry_url)
    registry.register_all(topics)
    subject = next(iter(registry.verify_registered(topics)))
    registry._client.set_compatibility(subject, "NONE")
    levels = {one.subject: one.level for one in opened(registry_url).register_all(topics)}
    assert levels[subject] == "NONE"
    assert registry._client.get_compatibility(subject) == LEVEL


def test_canonical_form_ignores_documentation_only():
    schema = json.loads(schema_files.schema_text("gap"))
    same = json.loads(schema_files.schema_text("gap"))
    for field in same["fields"]:
        field["doc"] = "other"
    same["fields"][0]["type"] = {"type": "string"}
    assert canonical(json.dumps(schema)) == canonical(json.dumps(same))
    same["fields"].reverse()
    assert canonical(json.dumps(schema)) != canonical(json.dumps(same))
