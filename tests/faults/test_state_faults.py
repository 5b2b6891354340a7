"""Somebody deletes records of offsets, the connector's memory: it puts its state together from the other topics."""

from __future__ import annotations

import contextlib

import pytest
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]


def forget(pair, share: float) -> None:
    """Kill the owner, delete so much of what its offsets hold, the oldest first, and start it again."""
    pair.kill("first")
    admin = AdminClient({"bootstrap.servers": pair.cluster.direct, "log_level": 0})
    topic = pair.topics["offsets"]
    end = max(position for (name, _), position in pair.audit.positions.items() if name == topic)
    place = TopicPartition(topic, 0, max(1, int(end * share)))
    # Kafka deletes nothing from a topic that is compacted only; a careless operator changes that first.
    set_policy(admin, topic, "compact,delete")
    wait_until(lambda: deleted(admin, place), what="the broker to know its new policy")
    set_policy(admin, topic, "compact")
    pair.start("first")


def deleted(admin: AdminClient, place: TopicPartition) -> bool:
    with contextlib.suppress(KafkaException):
        return admin.delete_records([place])[place].result(30).low_watermark == place.offset
    return False


def set_policy(admin: AdminClient, topic: str, policy: str) -> None:
    entry = ConfigEntry("cleanup.policy", policy, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    for answer in admin.incremental_alter_configs([resource]).values():
        answer.result(30)


def forgotten(pair, make_run, fault: str, share: float):
    """The verdict, and the reasons of the gaps."""
    pair.start("first")
    pair.wait_for_commits(300)
    # The world goes on meanwhile: a gap that begins too late loses what nobody heard.
    pair.settle()
    run = make_run(pair, fault)
    run.fault()
    pair.source.go()
    forget(pair, share)
    # Who forgets everything forgets how many owners there were.
    run.recovered(taken_over=pair.build == "connector")
    return run.judge()


@pytest.mark.parametrize(("share", "latest"), [(1.0, True), (0.97, False)], ids=["all", "torn-without-latest"])
def test_deleted_rows_are_rebuilt(make_pair, make_run, share, latest):
    pair = make_pair(topics={"latest_enabled": latest})
    told = f"{'all' if share == 1 else 'the oldest'} rows of offsets deleted{'' if latest else ', without latest'}"
    verdict = forgotten(pair, make_run, told, share)
    assert verdict.faults == []
    assert verdict.gaps["state_lost"]
    assert set(verdict.gaps) <= {"state_lost", "restart"}
    pair.command("verify")


def test_without_the_rebuild_sequences_begin_again(make_pair, make_run):
    """all rows of offsets deleted, without the rebuild (control)"""
    pair = make_pair(build="forgetful")
    verdict = forgotten(pair, make_run, "the same without the rebuild (control)", 1.0)
    assert verdict.duplicated
