"""The AsyncAPI document says what the configuration, the schemas and the records say."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from connector.adapters.admin import topics_of
from connector.adapters.asyncapi import KINDS, document
from connector.adapters.schema_files import NAMES, schema_text
from connector.config import Config
from connector.domain.headers import FORMS

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
GIVEN = {
    "account": "acme",
    "source": {"token_file": "/nowhere"},
    "subscriptions": [{"metrics": ["chats.*", "agents.*"], "windows": [30]}],
    "kafka": {"bootstrap_servers": "b1:9092, b2:9092"},
    "registry": {"urls": ["https://registry:8081"]},
}


def described(**more):
    config = Config.model_validate({**GIVEN, **more})
    return config, document(config, config.metrics_topics())


def test_every_topic_with_records_has_a_channel_as_it_is_created():
    config, made = described(kafka={"bootstrap_servers": "b1:9092", "partitions": 6, "shards": 2})
    topics = {topic.name: topic for topic in topics_of(config, config.metrics_topics())}
    channels = {channel["address"]: channel["bindings"]["kafka"] for channel in made["channels"].values()}
    assert set(topics) - set(channels) == {config.names.control}
    for name, binding in channels.items():
        assert binding["partitions"] == topics[name].partitions
        settings = binding["topicConfiguration"]
        assert settings["cleanup.policy"] == [topics[name].settings["cleanup.policy"]]
        assert str(settings.get("retention.ms", "")) == topics[name].settings.get("retention.ms", "")


def test_every_schema_is_in_it_as_it_is_registered():
    _, made = described()
    schemas = [message["payload"]["schema"] for message in made["components"]["messages"].values()]
    assert sorted(map(json.dumps, schemas)) == sorted(json.dumps(json.loads(schema_text(name))) for name in NAMES)


@pytest.mark.parametrize("form", ["minimal", "full", "none"])
def test_the_headers_are_those_that_are_written(form):
    _, made = described(headers=form)
    for kind in KINDS.values():
        headers = made["components"]["messages"][kind.message].get("headers")
        written = FORMS[form]("acme")(kind.event, "i", "s", 1, 1) if kind.event else None
        assert (headers or {"required": []})["required"] == [name for name, _ in written or ()]


def test_the_recorded_headers_are_as_described():
    _, made = described()
    messages = {kind.message: made["components"]["messages"][kind.message] for kind in KINDS.values()}
    by_topic = {"metrics": "MetricUpdate", "gaps": "Gap", "dead-letters": "DeadLetter", "acme.heartbeats": "Heartbeat"}
    with gzip.open(SAMPLES / "hour.jsonl.gz", "rt", encoding="utf-8") as file:
        for record in map(json.loads, file):
            if record["topic"] in by_topic:
                properties = messages[by_topic[record["topic"]]]["headers"]["properties"]
                assert set(properties) == set(record["headers"])
                constant = {name: one["const"] for name, one in properties.items() if "const" in one}
                assert constant == {name: record["headers"][name] for name in constant}


def test_every_bootstrap_server_is_named_and_nothing_secret():
    _, made = described()
    assert [server["host"] for server in made["servers"].values()] == ["b1:9092", "b2:9092"]
    assert {server["protocol"] for server in made["servers"].values()} == {"kafka"}
    secured = {"bootstrap_servers": "b1:9093", "properties": {"security.protocol": "SASL_SSL"}}
    _, made = described(kafka={**secured, "property_files": {"sasl.password": "/run/secret"}})
    assert {server["protocol"] for server in made["servers"].values()} == {"kafka-secure"}
    assert "/run/secret" not in json.dumps(made)


def test_a_topic_that_is_switched_off_is_not_in_it():
    _, made = described(topics={"latest_enabled": False})
    assert not any(channel["address"].endswith("latest") for channel in made["channels"].values())
