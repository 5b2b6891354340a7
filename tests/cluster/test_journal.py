"""Check 23: the comparison with the emulator's journal finds what is lost, doubled, invented or out of order."""

from __future__ import annotations

from cluster.journal import faults
from faults.audit import Message

SERIES = "chats.missed_chats|30|"
SENT = [("s1", 1, "1"), ("s1", 2, "2"), ("s1", 3, "3"), ("s2", 1, "3"), ("s2", 2, "4")]
LINES = [
    {"session": session, "frame": frame, "at": number * 1000, "values": [[SERIES, literal]]}
    for number, (session, frame, literal) in enumerate(SENT, 1)
]


def record(sequence, session, frame):
    value = {"session_id": session, "frame": frame, "series": SERIES, "sequence": sequence}
    return Message("metrics", 0, sequence, "all", value, 0, 0.0)


SPAN = {"gap_id": "g", "series": SERIES, "started_at": 2, "ended_at": 4, "reason": "handover", "epoch_after": 2}
GAP = Message("gaps", 0, 0, "all", SPAN, 0, 0.0)
# The third value was sent to a session that was ending, and is in the gap; the next session begins with its snapshot.
GOOD = [record(1, "s1", 1), record(2, "s1", 2), record(3, "s2", 1), record(4, "s2", 2)]


def test_23_what_is_in_the_topic_or_in_a_gap_is_no_fault():
    assert faults(LINES, {"metrics": GOOD, "gaps": [GAP]}) == []


def test_23_a_snapshot_that_repeats_may_be_left_out():
    whole = [record(1, "s1", 1), record(2, "s1", 2), record(3, "s1", 3), record(4, "s2", 2)]
    assert faults(LINES, {"metrics": whole, "gaps": []}) == []


def test_23_every_kind_of_fault_is_found():
    assert faults(LINES, {"metrics": GOOD, "gaps": []}) == [f"lost: ('s1', 3, '{SERIES}') 3"]
    doubled = [*GOOD, record(5, "s2", 2)]
    assert faults(LINES, {"metrics": doubled, "gaps": [GAP]}) == [f"duplicated: ('s2', 2, '{SERIES}')"]
    invented = [*GOOD, record(5, "s3", 1)]
    assert faults(LINES, {"metrics": invented, "gaps": [GAP]}) == [f"invented: ('s3', 1, '{SERIES}')"]
    torn = [*GOOD[:3], record(9, "s2", 2)]
    assert faults(LINES, {"metrics": torn, "gaps": [GAP]}) == [f"hole: {SERIES} 3 then 9"]
