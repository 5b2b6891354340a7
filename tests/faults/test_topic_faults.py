"""The topics themselves fail: one is deleted, one refuses a record."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from faults.audit import Audit
from faults.pair import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

SMALL = 3000
"""Bytes of the largest batch that the topics still take."""


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
    assert "run `zendesk-chat-kafka provision`" in pair.log("first")
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
    pair = make_pair(kafka={"properties": {"batch.size": 2000}})
    pair.start("first")
    pair.wait_for_commits()
    admin = AdminClient({"bootstrap.servers": pair.cluster.direct, "log_level": 0})
    limit = ConfigEntry("max.message.bytes", str(SMALL), incremental_operation=AlterConfigOpType.SET)
    resources = [
        ConfigResource(ConfigResource.Type.TOPIC, pair.topics[name], incremental_configs=[limit])
        for name in ("metrics", "latest")
    ]
    for answer in admin.incremental_alter_configs(resources).values():
        answer.result(30)
    run = make_run(pair, "message too large")
    run.fault()
    literal = "1." + "0" * 5000
    pair.source.control("value", series="chats.assigned_chats||", raw=literal)
    pair.source.control("value", series="chats.assigned_chats||", raw="7")
    wait_until(lambda: pair.audit.messages["dead-letters"], what=f"a dead letter: {pair.log('first')[-3000:]}")
    run.recovered()
    verdict = run.judge()
    letters = [one.value for one in pair.audit.messages["dead-letters"]]
    assert [(one["stage"], one["payload"].decode()) for one in letters] == [("publish", literal)]
    assert verdict.faults == []
