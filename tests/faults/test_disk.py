"""What waits on disk while Kafka is away outlives the process."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

AWAY = 6.0


def outage_and_kill(pair, run) -> int:
    """Cut the owner off from Kafka, kill it after a while, start it again; values that the source sent meanwhile."""
    pair.start("first")
    pair.wait_for_commits(200)
    run.fault()
    cut = time.time_ns() // 1000
    for proxy in pair.cluster.proxies("first"):
        proxy.freeze()
    time.sleep(AWAY)
    pair.kill("first")
    dead = time.time_ns() // 1000
    for proxy in pair.cluster.proxies("first"):
        proxy.heal()
    pair.start("first")
    run.recovered(taken_over=True)
    return sum(cut < line["at"] < dead for line in pair.source.lines() if line.get("values"))


def published_while_away(pair, cut_s: float) -> int:
    """Updates that were received and committed, but not by then."""
    metrics = pair.audit.messages["metrics"]
    longest = max(pairwise([one.seen for one in metrics]), key=lambda pair: pair[1] - pair[0])
    return sum(one.seen >= longest[1] and one.value["received_at"] < (cut_s + AWAY) * 1000 for one in metrics)


def test_what_was_synced_outlives_a_kill(make_pair, make_run, tmp_path):
    """SIGKILL while Kafka is away, with the journal"""
    folder = tmp_path / "journal"
    folder.mkdir()
    pair = make_pair(buffer={"disk": {"path": str(folder), "sync_interval": "100ms"}})
    run = make_run(pair, "SIGKILL while Kafka is away, journal on disk")
    sent = outage_and_kill(pair, run)
    verdict = run.judge()
    assert verdict.faults == []
    saved = published_while_away(pair, run._at)
    print(f"\n{saved} of {sent} values outlived the process")
    assert saved > 0.7 * sent


def test_without_a_journal_a_kill_takes_what_waited_into_the_gap(make_pair, make_run):
    """SIGKILL while Kafka is away, without a journal (control)"""
    pair = make_pair()
    run = make_run(pair, "the same without the journal")
    outage_and_kill(pair, run)
    assert run.judge().faults == []
    assert published_while_away(pair, run._at) < 200
