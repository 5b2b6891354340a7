"""The owner loses the source while Kafka is well."""

from __future__ import annotations

import signal
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


def test_the_source_stands_still(run):
    """SIGSTOP of the source for 4 s"""
    source = run.pair.source
    run.fault()
    source.process.send_signal(signal.SIGSTOP)
    time.sleep(4)
    source.process.send_signal(signal.SIGCONT)
    run.recovered()
    verdict = run.judge(known=run.pair.known)
    assert verdict.faults == []
    assert verdict.gaps == {}, "a source that stands still for less than the pings wait is no reason for a gap"


def test_the_source_is_killed_and_started_again(run):
    """SIGKILL of the source, started again after 2 s"""
    pair = run.pair
    pair.source.rest()
    run.fault()
    for door in pair.doors.values():
        door.down()
    pair.source.restart(2)
    pair.source.go()
    time.sleep(1)
    for door in pair.doors.values():
        door.up()
    run.recovered()
    verdict = run.judge(known=pair.known)
    assert verdict.faults == []
    assert set(verdict.gaps) == {"disconnect"}


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
