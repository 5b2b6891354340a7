"""The owner loses the source while Kafka is well."""

from __future__ import annotations

import time

import pytest
from waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1200)]


def test_the_owner_alone_is_cut_off_from_the_source(run):
    """owner cut off from the source only"""
    door = run.pair.doors[run.pair.owner()]
    run.fault()
    door.down()
    time.sleep(3)
    door.up()
    run.recovered()
    verdict = run.judge(known=run.pair.known)
    assert verdict.faults == []
    assert verdict.early_ms <= 2000


def test_the_connection_to_the_source_is_half_open(run):
    """half-open connection to the source"""
    run.fault()
    run.pair.source.control("drop", mode="half-open")
    closed = run.pair.log(run.pair.owner()).count("session closed")
    wait_until(lambda: run.pair.log(run.pair.owner()).count("session closed") > closed, what="the keepalive to notice")
    run.recovered()
    verdict = run.judge(known=run.pair.known)
    assert verdict.faults == []
    assert verdict.early_ms <= 2000
