"""Every version of every schema, judged in all pairs and both ways by Avro in Java and by the real registry."""

from __future__ import annotations

import json
import uuid
from itertools import product

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError
from evolution import avro, rules
from evolution.candidates import NULLABLE, PLANTED, first, second

from connector.adapters.schema_files import NAMES, schema_text


@pytest.fixture(scope="module")
def client(registry_url):
    opened = SchemaRegistryClient({"url": registry_url})
    yield opened
    opened.close()


def history(name):
    """The released versions, the present one, and one that may come."""
    versions = {f"{name} {number}": schema for number, schema in enumerate(rules.released(name), 1)}
    present = json.loads(schema_text(name))
    versions[f"{name} present"] = present
    if name == "metric-update":
        versions[f"{name} recorded"] = second()
    versions[f"{name} next"] = {**present, "fields": [*present["fields"], NULLABLE]}
    return versions


def judged(client, reader, writer):
    """Whether the registry lets ``reader`` follow ``writer`` as a schema that reads it."""
    subject = f"j{uuid.uuid4().hex}-value"
    client.register_schema(subject, Schema(json.dumps(writer), "AVRO"))
    client.set_compatibility(subject, "BACKWARD")
    return client.test_compatibility(subject, Schema(json.dumps(reader), "AVRO"))


@pytest.mark.parametrize("name", NAMES)
def test_all_versions_read_each_other_by_avro_in_java(name, kafka_bootstrap, tmp_path):
    versions = history(name)
    verdicts = avro.judged(versions, tmp_path)
    assert set(verdicts) == set(product(versions, versions))
    assert [pair for pair, compatible in verdicts.items() if not compatible] == []


@pytest.mark.parametrize("name", NAMES)
def test_all_versions_read_each_other_by_the_registry(name, client):
    versions = history(name)
    pairs = product(versions, versions)
    assert [pair for pair in pairs if not judged(client, versions[pair[0]], versions[pair[1]])] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_registry_takes_the_history_as_full_transitive(name, client):
    subject = f"h{uuid.uuid4().hex}-value"
    versions = list(history(name).values())
    client.register_schema(subject, Schema(json.dumps(versions[0]), "AVRO"))
    client.set_compatibility(subject, "FULL_TRANSITIVE")
    for schema in versions[1:]:
        client.register_schema(subject, Schema(json.dumps(schema), "AVRO"))
    dropped = {**versions[0], "fields": [one for one in versions[0]["fields"] if one["name"] != "account"]}
    with pytest.raises(SchemaRegistryError):
        client.register_schema(subject, Schema(json.dumps(dropped), "AVRO"))


def test_both_judges_say_of_planted_changes_what_is_expected(client, tmp_path, kafka_bootstrap):
    """Negative control of the judges; and why rules beyond theirs are needed: they allow most of these changes."""
    schemas = {"first": first(), **{name: planted[0] for name, planted in PLANTED.items()}}
    by_avro = avro.judged(schemas, tmp_path)
    wrong = {}
    for name, (schema, _, reads, is_read) in PLANTED.items():
        verdicts = {
            "avro reads": (by_avro[name, "first"], reads),
            "avro is read": (by_avro["first", name], is_read),
            "registry reads": (judged(client, schema, first()), reads),
            "registry is read": (judged(client, first(), schema), is_read),
        }
        wrong |= {(name, what): found for what, (found, expected) in verdicts.items() if found != expected}
    assert wrong == {}
