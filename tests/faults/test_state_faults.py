"""Somebody deletes records of offsets, the connector's memory: it puts its state together from the other topics."""

from __future__ import annotations

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]


def forget(pair, share: float) -> None:
    """Kill the owner, delete so much of what its offsets hold, the oldest first, and start it again."""
    pair.kill("first")
    admin = AdminClient({"bootstrap.servers": pair.cluster.direct, "log_level": 0})
    topic = pair.topics["offsets"]
    end = max(position for (name, _), position in pair.audit.positions.items() if name == topic)
    place = TopicPartition(topic, 0, max(1, int(end * share)))
    assert admin.delete_records([place])[place].result(30).low_watermark == place.offset
    pair.start("first")


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
    run.recovered(taken_over=True)
    return run.judge()


@pytest.mark.parametrize("latest", [True, False], ids=["latest", "without-latest"])
@pytest.mark.parametrize("share", [1.0, 0.97], ids=["all", "torn"])
def test_deleted_rows_are_rebuilt(make_pair, make_run, share, latest):
    pair = make_pair(topics={"latest_enabled": latest})
    told = f"{'all' if share == 1 else 'the oldest'} rows of offsets deleted{'' if latest else ', without latest'}"
    verdict = forgotten(pair, make_run, told, share)
    assert verdict.faults == []
    assert verdict.gaps["state_lost"]
    assert set(verdict.gaps) <= {"state_lost", "restart"}
    assert "0 findings" in pair.command("verify").stdout


def test_without_the_rebuild_sequences_begin_again(make_pair, make_run):
    """all rows of offsets deleted, without the rebuild (control)"""
    pair = make_pair(build="forgetful")
    verdict = forgotten(pair, make_run, "the same without the rebuild (control)", 1.0)
    assert verdict.duplicated
