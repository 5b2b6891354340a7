"""Before the engines: `latest` is compacted, and an owner is dead. With the first of these tests the engines start.

What is tested next runs beside them, and test_engines.py then asks what they found.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from consume.arrivals import decoded
from consume.compaction import ROLL, expected_left, removed
from consume.promised import promised, seen
from consume.reading import read
from consume.report import compare
from consume.streams import retired
from figures import tell


def test_compacted_latest_holds_one_record_of_each_series(compacted, runs):
    raw = [one for one in read(compacted.kafka, f"{compacted.prefix}.latest") if one.key != ROLL]
    rows = decoded(compacted, [one.value for one in raw if one.value is not None])
    assert compare("confluent-kafka", rows, 0, compacted.expected["latest"], ", latest compacted")
    gone = {key.encode() for key in retired()}
    assert len(gone) > 10
    assert not gone & {one.key for one in raw if one.value is not None}


def test_before_compaction_latest_holds_more(golden):
    raw = read(golden.kafka, f"{golden.prefix}.latest")
    assert len(raw) > 10 * golden.expected["latest"]["rows"]


def test_the_kill_left_records_that_nobody_may_see(death):
    tell(f"stall of a committed reader after kill -9, another owner started at once: {death.stall:.1f} s")
    assert death.extras > 4, "more than the aborted ends that the test wrote itself"
    assert len(death.promised) > 300
    assert seen(death.rows) == death.promised


def test_a_tombstone_removes_a_series_that_was_compacted(bereft):
    newest = {one.key: one.value for one in read(bereft.kafka, f"{bereft.prefix}.latest") if one.key != ROLL}
    left = decoded(bereft, [value for value in newest.values() if value is not None])
    assert compare("confluent-kafka", left, 0, expected_left(), ", latest after tombstones")
    assert len(removed()) == 5
    assert {key.decode() for key, value in newest.items() if value is None} - retired() == set(removed())


# What is promised after a kill, by hand: two values of the first session are published, two are not.

FRAMES = [
    {"at": at * 1_000_000, "session": session, "frame": frame, "values": [["s", literal]]}
    for at, session, frame, literal in [
        (1, "a", 1, "0"), (2, "a", 2, "1"), (4, "a", 3, "2"), (5, "a", 4, "3"), (8, "b", 1, "1"), (9, "b", 2, "1"),
    ]
]  # fmt: skip


def gap(started=3, published=2, ended=8):
    at = {"started_at": datetime.fromtimestamp(started, UTC), "ended_at": datetime.fromtimestamp(ended, UTC)}
    return [{"series": "s", "epoch_after": 2, "last_sequence_before": published, **at}]


def demanded(gaps, died=6):
    return [(one.session, one.frame) for one in promised(FRAMES, gaps, died)]


def test_what_is_promised_after_a_kill():
    assert demanded(gap()) == [("a", 1), ("a", 2), ("b", 2)]
    assert demanded(gap(published=3)) == [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2)]


def test_a_gap_excuses_nothing_that_was_sent_before_it_began():
    assert demanded(gap(started=5, published=2)) == [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2)]


def test_a_gap_at_another_time_than_the_kill_excuses_nothing():
    for wrong in (gap(started=7), gap(ended=5)):
        with pytest.raises(AssertionError):
            demanded(wrong)
    with pytest.raises(AssertionError):
        demanded([])
