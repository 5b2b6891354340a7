"""What waits on disk while Kafka is away outlives the process."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from faults.oracle import identity

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

AWAY = 6.0
STILL_A_MEMBER = 4.0
"""Seconds without Kafka after which the group still knows its member."""
UNSYNCED = 1.5
"""Seconds of the newest values that may be lost: the interval of 0.1 s, and what a busy machine adds to it."""


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
    dead = run.killed_us = time.time_ns() // 1000
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


def missing(pair, run) -> list[float]:
    """How old each value was at the kill that was received before it and is not in the topic."""
    have = {identity(one) for one in pair.audit.messages["metrics"]}
    killed = run.killed_us
    return [
        (killed - line["at"]) / 1e6
        for line in pair.source.lines()
        if line["event"] == "frame" and line["at"] < killed
        for series, _ in line.get("values", ())
        if line["at"] > run.began_us and (line["session"], line["frame"], series) not in have
    ]


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
    late = max(missing(pair, run), default=0)
    print(f"\n{saved} of {sent} values outlived the process; of those that did not, the oldest was {late:.2f} s old")
    assert saved > 0.7 * sent
    assert late < UNSYNCED


def test_without_room_each_gap_tells_how_many_values_were_given_up(make_pair, make_run):
    """Kafka away for longer than the buffer holds"""
    pair = make_pair(buffer={"max_updates": 100})
    pair.start("first")
    pair.wait_for_commits(200)
    run = make_run(pair, "Kafka away, and room for 100 updates")
    run.fault()
    for proxy in pair.cluster.proxies("first"):
        proxy.freeze()
    time.sleep(STILL_A_MEMBER)
    for proxy in pair.cluster.proxies("first"):
        proxy.heal()
    run.recovered()
    assert run.judge().faults == []
    gaps = [one.value for one in pair.audit.messages["gaps"] if one.value["ended_at"] is not None]
    told = sum(one["updates_dropped"] or 0 for one in gaps)
    print(f"\n{told} values given up, as {len(gaps)} gaps tell")
    assert {one["reason"] for one in gaps} == {"overflow"}
    # What ends a gap and is equal to what was known before it needs no record.
    equal = sum(one["resynced"] and one["value_after"] == one["value_before"] for one in gaps)
    assert told + equal == len(given_up(pair)) > len(pair.source.series)


def given_up(pair) -> list[tuple[str, int, str]]:
    """Values that were delivered and are not in the topic."""
    have = {identity(one) for one in pair.audit.messages["metrics"]}
    frames = [line for line in pair.source.lines() if line["event"] == "frame"]
    sent = [(line["session"], line["frame"], series) for line in frames for series, _ in line.get("values", ())]
    return [one for one in sent if one not in have]


def test_without_a_journal_a_kill_takes_what_waited_into_the_gap(make_pair, make_run):
    """SIGKILL while Kafka is away, without a journal (control)"""
    pair = make_pair()
    run = make_run(pair, "the same without the journal")
    outage_and_kill(pair, run)
    assert run.judge().faults == []
    assert published_while_away(pair, run._at) < 200
