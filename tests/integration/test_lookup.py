"""The registry as a running connector asks it: the same answers and the same refusals as the client that registers."""

import asyncio
import base64
import logging
import subprocess
import sys
import uuid

import pytest

from connector.adapters import schema_files
from connector.adapters.lookup import Lookup
from connector.adapters.registry import SchemaRegistry
from connector.config import Basic, Registry
from connector.domain.topics import Topics
from connector.errors import ConfigError, RegistryUnavailable, SchemaError
from connector.local.registry import LocalRegistry


@pytest.fixture
def topics():
    """Topics that no other test uses."""
    names = Topics(account="acme", prefix=f"t{uuid.uuid4().hex[:8]}")
    return schema_files.by_topic(names, (names.gaps.replace("gaps", "metrics"),))


@pytest.fixture
def local():
    with LocalRegistry() as running:
        yield running


def registered(url, topics):
    with SchemaRegistry(Registry(urls=[url])) as registry:
        registry.register_all(topics)
        return registry.verify_registered(topics)


def look_up(topics, *urls, timeout=2, then=None, **settings):
    """The ids of the subjects; ``then`` is called with the open lookup."""

    async def ask():
        async with Lookup(Registry(urls=list(urls), timeout=timeout, **settings)) as lookup:
            found = await lookup.verify_registered(topics)
            return found if then is None else then(lookup)

    return asyncio.run(ask())


def secret(folder, text):
    file = folder / "secret"
    file.write_text(text)
    file.chmod(0o600)
    return file


@pytest.mark.kafka
def test_a_real_registry_gives_the_same_ids_to_both(registry_url, topics):
    with pytest.raises(SchemaError, match="not in the registry; run zendesk-chat-kafka provision"):
        look_up(topics, registry_url)
    ids = registered(registry_url, topics)
    assert look_up(topics, registry_url) == ids
    texts = look_up(topics, registry_url, then=lambda lookup: {lookup.schema_of(one) for one in ids.values()})
    assert len(texts) == len(set(topics.values()))


def test_every_version_is_learned_and_nothing_else(local, topics):
    subject = schema_files.subject_of(next(topic for topic, name in topics.items() if name == "gap"))
    with SchemaRegistry(Registry(urls=[local.url])) as registry:
        older = '{"type":"record","name":"Gap","fields":[]}'
        (old,) = registry.register_versions(subject, [older])
    local.store.levels[subject] = "NONE"
    local.store.register(subject, schema_files.schema_text("gap"))
    ids = look_up({subject.removesuffix("-value"): "gap"}, local.url)
    assert ids[subject] != old
    assert look_up({subject.removesuffix("-value"): "gap"}, local.url, then=lambda one: one.schema_of(old)) == older
    with pytest.raises(SchemaError, match="schema 4711 was in none of our subjects at start; restart"):
        look_up({subject.removesuffix("-value"): "gap"}, local.url, then=lambda lookup: lookup.schema_of(4711))


def test_a_subject_that_holds_another_schema_only(local, topics):
    registered(local.url, topics)
    (topic,) = (topic for topic, name in topics.items() if name == "gap")
    with pytest.raises(SchemaError, match=r"no version of it equals heartbeat\.avsc; run zendesk-chat-kafka provision"):
        look_up({topic: "heartbeat"}, local.url)


@pytest.mark.parametrize(
    ("fault", "value", "kind", "what"),
    [
        ("status", 500, RegistryUnavailable, "HTTP 500: .*; try again later"),
        ("status", 429, RegistryUnavailable, "HTTP 429: .*; try again later"),
        ("status", 403, SchemaError, "HTTP 403: refused; check registry.basic or registry.token_file"),
        ("status", 422, SchemaError, "HTTP 422"),
        ("status", 302, SchemaError, "HTTP 302"),
        ("body", b"<html>", RegistryUnavailable, "no registry's answer: .*; check registry.urls"),
        ("body", b"[1, 2", RegistryUnavailable, "no registry's answer: .*; check registry.urls"),
        ("body", b"\xff", RegistryUnavailable, "no registry's answer: .*; check registry.urls"),
        ("delay", 1.0, RegistryUnavailable, "no answer within registry.timeout; check registry.urls"),
    ],
)
def test_faults(local, topics, fault, value, kind, what):
    registered(local.url, topics)
    setattr(local.faults, fault, value)
    with pytest.raises(kind, match=f"registry {local.url}: subject .*{what}"):
        look_up(topics, local.url, timeout=0.2)


def test_unreachable():
    with pytest.raises(RegistryUnavailable, match=r"registry http://127\.0\.0\.1:1: .*; check registry\.urls"):
        look_up({"t": "gap"}, "http://127.0.0.1:1")


def test_the_second_address_is_used(local, topics):
    ids = registered(local.url, topics)
    assert look_up(topics, "http://127.0.0.1:1", local.url) == ids


def test_credentials_are_sent_and_appear_nowhere(local, topics, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    ids = registered(local.url, topics)
    local.faults.authorization = "Bearer canary"
    with pytest.raises(SchemaError, match=r"HTTP 401: refused; check registry\.basic or registry\.token_file"):
        look_up(topics, local.url)
    assert look_up(topics, local.url, token_file=secret(tmp_path, "canary\n")) == ids
    encoded = base64.b64encode(b"me:hunter2").decode()
    local.faults.authorization = f"Basic {encoded}"
    basic = Basic(username="me", password_file=secret(tmp_path, "hunter2\n"))
    assert look_up(topics, local.url, basic=basic) == ids
    local.faults.authorization = "Basic another"
    with pytest.raises(SchemaError) as caught:
        look_up(topics, local.url, basic=basic)
    text = caplog.text + str(caught.value)
    assert not [one for one in ("canary", "hunter2", encoded) if one in text]


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_ca_file_that_is_none(tmp_path, text):
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=r"registry\.ca_file: .*ca\.pem: .*; name a PEM file"):
        look_up({}, "https://localhost", ca_file=file)


def test_run_does_not_load_what_it_does_not_use():
    heavy = "confluent_kafka.schema_registry authlib httpx2 cryptography rich.progress sqlite3 opentelemetry requests"
    code = f"import sys, connector.cli.run; print(*[name for name in {heavy.split()!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
