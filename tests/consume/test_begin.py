"""Before the engines: `latest` is compacted, and an owner is dead. With the first of these tests the engines start.

What is tested next runs beside them, and test_engines.py then asks what they found.
"""

from __future__ import annotations

from consume import digest
from consume.arrivals import decoded
from consume.compaction import ROLL
from consume.reading import read
from consume.streams import retired


def test_compacted_latest_holds_one_record_of_each_series(compacted, runs):
    raw = [one for one in read(compacted.kafka, f"{compacted.prefix}.latest") if one.key != ROLL]
    rows = decoded(compacted, [one.value for one in raw if one.value is not None])
    assert digest.report("latest, compacted", rows, 0) == compacted.expected["latest"]
    gone = {key.encode() for key in retired()}
    assert len(gone) > 10
    assert not gone & {one.key for one in raw if one.value is not None}


def test_before_compaction_latest_holds_more(golden):
    raw = read(golden.kafka, f"{golden.prefix}.latest")
    assert len(raw) > 10 * golden.expected["latest"]["rows"]


def test_the_kill_left_records_that_nobody_may_see(death):
    print(f"stall of a committed reader after kill -9, another owner started at once: {death.stall:.1f} s")
    assert death.extras > 4, "more than the aborted ends that the test wrote itself"
