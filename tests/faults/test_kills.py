"""The owner dies, at random instants and inside a commit; the standby goes on."""

from __future__ import annotations

import random
import signal
import time

import pytest
from faults.kills import kill_once

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1200)]

INSTANTS = ("random", "random", "random", "before-commit", "random", "random", "after-commit", "random")


def test_the_owner_is_killed_eight_times(run):
    """SIGKILL of the owner"""
    chance = random.Random(1)
    for instant in INSTANTS:
        kill_once(run, instant, chance)
    run.result.aborted = run.pair.aborted()
    verdict = run.judge(known=run.pair.known)
    assert verdict.faults == []
    assert verdict.early_ms <= 2000
    assert run.result.aborted > 0, "read_uncommitted shows no aborted record: the kills hit no transaction"


def test_a_stopped_owner_comes_back_and_commits_nothing(run):
    """SIGSTOP of the owner for 12 s"""
    owner, standby = run.pair.owner(), run.pair.standby()
    run.fault()
    run.pair.signal(owner, signal.SIGSTOP)
    run.recovered(owner=standby)
    time.sleep(max(0.0, 12 - run.result.failovers[-1]))
    epoch = run.epoch()
    run.pair.signal(owner, signal.SIGCONT)
    run.pair.wait_for_commits(200)
    verdict = run.judge(known=run.pair.known)
    assert verdict.faults == []
    assert verdict.early_ms <= 2000
    rows = run.pair.audit.rows()
    since = next(at for at, one in enumerate(rows) if one.value["owner_epoch"] == epoch)
    assert {one.value["owner"] for one in rows[since:]} == {standby}


def test_sigterm_hands_over(run):
    """SIGTERM of the owner"""
    owner, standby = run.pair.owner(), run.pair.standby()
    run.fault()
    began = time.monotonic()
    run.pair.signal(owner, signal.SIGTERM)
    assert run.pair.processes[owner].wait(60) == 0
    took = time.monotonic() - began
    run.recovered(owner=standby)
    verdict = run.judge(known=run.pair.known)
    assert verdict.faults == []
    assert verdict.early_ms <= 2000
    assert took <= 10, f"exit after {took:.1f} s"


def test_a_second_sigterm_ends_at_once_while_kafka_is_away(run):
    """second SIGTERM of an owner cut off from Kafka"""
    owner, standby = run.pair.owner(), run.pair.standby()
    run.fault()
    for proxy in run.pair.cluster.proxies(owner):
        proxy.freeze()
    run.pair.signal(owner, signal.SIGTERM)
    time.sleep(1)
    began = time.monotonic()
    run.pair.signal(owner, signal.SIGTERM)
    run.pair.processes[owner].wait(60)
    assert time.monotonic() - began <= 10
    run.recovered(owner=standby)
    verdict = run.judge(known=run.pair.known)
    assert verdict.faults == []
    assert verdict.early_ms <= 2000


def test_a_standby_takes_over_while_the_registry_is_down(run):
    """registry down, then SIGKILL of the owner"""
    run.pair.cluster.registry.faults.status = 503
    run.fault()
    standby = run.pair.standby()
    run.pair.kill(run.pair.owner())
    run.recovered(owner=standby)
    verdict = run.judge(known=run.pair.known)
    assert verdict.faults == []
    assert verdict.early_ms <= 2000
