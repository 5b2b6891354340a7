"""The topics themselves fail: one is deleted, one refuses a record."""

from __future__ import annotations

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from faults.audit import Audit
from waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

LONG = "1." + "7482910563" * 6
"""A number that makes a record 60 bytes longer than others."""
ROOM = 61 + 12 + 25
"""Bytes of a batch with one record besides key, value and headers, and what an ordinary record may vary."""


def test_a_topic_is_deleted_and_provisioned_again(make_pair, make_run):
    """topic deleted"""
    pair = make_pair()
    process = pair.start("first")
    pair.wait_for_commits()
    run = make_run(pair, "topic deleted")
    pair.settle()
    run.fault()
    topic = pair.topics["metrics"]
    admin = AdminClient({"bootstrap.servers": pair.cluster.direct, "log_level": 0})
    admin.delete_topics([topic])[topic].result(30)
    wait_until(lambda: topic not in admin.list_topics(timeout=10).topics, what="the topic to vanish")
    pair.source.go()
    assert process.wait(120) != 0
    assert "run zendesk-chat-kafka provision" in pair.log("first")
    pair.command("provision")
    reread(pair)
    pair.start("first")
    run.recovered()
    verdict = run.judge()
    assert verdict.faults == []


def reread(pair):
    """A new auditor, who also knows what the deleted topic held."""
    old = pair.audit
    old.__exit__()
    schemas = pair.cluster.registry.store.schemas
    pair.audit = Audit(pair.cluster.direct, pair.topics, lambda number: schemas[number - 1])
    before = [one._replace(offset=one.offset - 10**9) for one in old.messages["metrics"]]
    pair.audit.messages["metrics"].extend(before)
    pair.audit.__enter__()


def test_a_record_that_is_too_large_is_set_aside_and_the_rest_flows(make_pair, make_run):
    """message too large"""
    pair = make_pair(kafka={"properties": {"batch.size": 1, "compression.type": "none"}})
    pair.start("first")
    pair.wait_for_commits(200)
    pair.settle()
    # The longest name of all, so that its ordinary records are the largest.
    series = max(pair.source.series, key=len)
    admin = AdminClient({"bootstrap.servers": pair.cluster.direct, "log_level": 0})
    resources = []
    for name in ("metrics", "latest"):
        limit = str(largest(pair.cluster.direct, pair.topics[name]) + ROOM)
        entry = ConfigEntry("max.message.bytes", limit, incremental_operation=AlterConfigOpType.SET)
        resources.append(ConfigResource(ConfigResource.Type.TOPIC, pair.topics[name], incremental_configs=[entry]))
    for answer in admin.incremental_alter_configs(resources).values():
        answer.result(30)
    run = make_run(pair, "message too large")
    run.fault()
    pair.source.go()
    pair.source.control("value", series=series, raw=LONG)
    pair.source.control("value", series=series, raw="7")
    wait_until(lambda: pair.audit.messages["dead-letters"], what=f"a dead letter: {pair.log('first')[-3000:]}")
    run.recovered()
    verdict = run.judge()
    letters = [one.value for one in pair.audit.messages["dead-letters"]]
    assert [(one["stage"], one["series"], one["payload"].decode()) for one in letters] == [("publish", series, LONG)]
    assert verdict.faults == []


def largest(kafka, topic):
    """Bytes of the largest record so far, headers included."""
    settings = {
        "bootstrap.servers": kafka, "group.id": "sizes", "enable.partition.eof": True, "enable.auto.commit": False,
        "auto.offset.reset": "earliest", "log_level": 0,
    }  # fmt: skip
    consumer = Consumer(settings)
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, one, OFFSET_BEGINNING) for one in partitions])
    sizes, ended = [], 0
    while ended < len(partitions):
        message = consumer.poll(10)
        assert message is not None
        if message.error() is not None:
            ended += 1
            continue
        headers = sum(len(name) + len(value) + 2 for name, value in message.headers() or ())
        sizes.append(len(message.key()) + len(message.value() or b"") + headers)
    consumer.close()
    return max(sizes)
