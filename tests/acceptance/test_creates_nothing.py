"""On a broker that makes every topic it is asked for, as Kafka does by default: the connector makes none."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from stage import Stage
from waiting import wait_until

from connector.local.kafka import Kafka
from connector.local.registry import LocalRegistry

pytestmark = pytest.mark.kafka

NAMES = ["metrics", "latest", "gaps", "dead-letters", "heartbeats", "offsets"]
PROVOKE = {"gaps": ("drop", {}), "dead-letters": ("raw", {"text": "not json"})}
"""What makes a record of a topic that is not written all the time."""


@pytest.fixture(scope="module")
def eager():
    """A broker of that kind."""
    with Kafka(properties={"auto.create.topics.enable": "true"}) as kafka:
        yield kafka.bootstrap


@pytest.fixture
def stage(eager, tmp_path):
    with LocalRegistry() as registry:
        found = Stage(tmp_path, eager, registry.url)
        try:
            yield found.start_emulator().write_config().provision()
        finally:
            found.close()


def topics_of(stage):
    listed = AdminClient({"bootstrap.servers": stage.kafka}).list_topics(timeout=30).topics
    return {name for name in listed if name.startswith(stage.prefix)}


def delete(stage, *names):
    admin = AdminClient({"bootstrap.servers": stage.kafka})
    for done in admin.delete_topics(list(names)).values():
        done.result(30)
    wait_until(lambda: not topics_of(stage) & set(names), 30, "the topics to vanish")


def test_control_the_broker_makes_what_others_ask_for(stage):
    producer = Producer({"bootstrap.servers": stage.kafka})
    producer.produce(f"{stage.prefix}.other", b"x")
    producer.flush(30)
    assert f"{stage.prefix}.other" in topics_of(stage)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_topic_is_named_and_not_made(stage, name):
    missing = stage.topics[name]
    delete(stage, missing)
    connector = stage.start_connector()
    assert connector.wait(60) == 4, stage.log()
    assert missing in stage.log()
    assert "missing; run zendesk-chat-kafka provision" in stage.log()
    assert missing not in topics_of(stage)


def test_check_and_dry_run_make_nothing(stage):
    delete(stage, *topics_of(stage))
    for command in (["check"], ["provision", "--dry-run"], ["verify"]):
        stage.command(*command, "--config", str(stage.config_file), check=False)
    assert topics_of(stage) == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_topic_that_is_deleted_meanwhile_is_named_and_stays_deleted(stage, name):
    stage.write_config(kafka={"transaction_timeout": "5s"})
    connector = stage.start_connector()
    wait_until(lambda: stage.control("stats")["frames"] > 300, 60, "some frames")
    delete(stage, stage.topics[name])
    if name in PROVOKE:
        command, arguments = PROVOKE[name]
        stage.control(command, **arguments)
    assert connector.wait(120) == 4, stage.log()
    assert f"topic {stage.topics[name]} is missing; run zendesk-chat-kafka provision" in stage.log()
    assert stage.topics[name] not in topics_of(stage)
