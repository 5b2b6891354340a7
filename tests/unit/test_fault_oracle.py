"""The judge of the fault tests has to find what is planted, and nothing on a clean run."""

import pytest
from faults.audit import Message
from faults.long import CONTROL, KILLS, wrong
from faults.oracle import judge
from faults.results import Result

SERIES = "chats.active_chats||"
SECOND = 1_000_000


def message(topic, offset, **value):
    return Message(topic, 0, offset, SERIES, value, 0, 0.0)


def metric(sequence, epoch, session, frame, value):
    where = {"series": SERIES, "session_id": session, "frame": frame}
    numbers = {"sequence": sequence, "epoch": epoch, "event_id": f"{epoch}/{sequence}"}
    return message("metrics", sequence, **where, **numbers, value=value)


def gap(ended_at):
    numbers = {"epoch_before": 1, "epoch_after": 2, "last_sequence_before": 3, "first_sequence_after": 4}
    values = {"value_before": 3.0, "value_after": 5.0, "resynced": True}
    times = {"started_at": 3_500, "ended_at": ended_at}
    return message("gaps", 0, series=SERIES, gap_id="1", reason="disconnect", **numbers, **values, **times)


def beat(number, received):
    rest = dict.fromkeys(("repeats_suppressed_total", "dead_letters_total", "dropped_total", "waiting"), 0)
    counters = {"values_received_total": received, "records_total": received, **rest}
    return message("heartbeats", number, heartbeat_seq=number, complete_through=number * 1000, **counters)


@pytest.fixture
def lines():
    """Values 1, 2 and 3 on one session; 4 is missed; the next session begins with 5, then brings 6."""
    journal = []
    sent = {1: ("a", 1), 2: ("a", 2), 3: ("a", 3), 4: None, 5: ("b", 1), 6: ("b", 2)}
    for value, frame in sent.items():
        at = value * SECOND
        journal.append({"event": "value", "series": SERIES, "at": at, "value": str(value)})
        if frame is not None:
            session, number = frame
            values = [(SERIES, str(value))]
            journal.append({"event": "frame", "session": session, "frame": number, "at": at + 10, "values": values})
    return journal


@pytest.fixture
def topics():
    metrics = [metric(n, 1, "a", n, float(n)) for n in (1, 2, 3)]
    metrics += [metric(4, 2, "b", 1, 5.0), metric(5, 2, "b", 2, 6.0)]
    rows = [message("offsets", number, series="#shard", batch_id=number) for number in (1, 2, 3)]
    return {
        "metrics": metrics,
        "gaps": [gap(5_100)],
        "dead-letters": [],
        "offsets": rows,
        "heartbeats": [beat(number, number) for number in (1, 2, 3)],
    }


def test_a_clean_run_has_no_findings(lines, topics):
    verdict = judge(lines, topics)
    assert verdict.faults == []
    assert verdict.gaps == {"disconnect": 1}
    assert verdict.early_ms == 500


def value_dropped(topics):
    del topics["metrics"][1]


def last_value_dropped(topics):
    del topics["metrics"][-1]


def record_repeated(topics):
    topics["metrics"].append(topics["metrics"][-1]._replace(offset=9))


def value_invented(topics):
    topics["metrics"].append(metric(6, 2, "b", 3, 7.0))


def records_exchanged(topics):
    first, second = topics["metrics"][:2]
    topics["metrics"][:2] = [second._replace(offset=first.offset), first._replace(offset=second.offset)]


def gap_missing(topics):
    topics["gaps"].clear()


def gap_left_open(topics):
    topics["gaps"][:] = [gap(None)]


def gap_begins_too_late(topics):
    topics["gaps"][0].value["started_at"] = 4_500


def end_of_the_gap_has_no_record(topics):
    topics["gaps"][0].value["value_after"] = 9.0


def gap_declared_twice(topics):
    again = gap(5_100)
    again.value["gap_id"] = "2"
    topics["gaps"].append(again)


def batch_missing(topics):
    del topics["offsets"][1]


def heartbeat_missing(topics):
    del topics["heartbeats"][1]


def counters_do_not_balance(topics):
    topics["heartbeats"][2].value["records_total"] = 1


def completeness_falls(topics):
    topics["heartbeats"][2].value["complete_through"] = 1


FAULTS = {
    value_dropped: "lost",
    last_value_dropped: "lost",
    value_invented: "lost",
    gap_begins_too_late: "lost",
    end_of_the_gap_has_no_record: "lost",
    record_repeated: "duplicated",
    records_exchanged: "reordered",
    gap_missing: "undeclared",
    gap_left_open: "undeclared",
    gap_declared_twice: "undeclared",
    batch_missing: "undeclared",
    heartbeat_missing: "undeclared",
    counters_do_not_balance: "undeclared",
    completeness_falls: "undeclared",
}


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_what_is_planted_is_found(lines, topics, plant):
    plant(topics)
    assert getattr(judge(lines, topics), FAULTS[plant])


def test_a_value_that_was_published_on_two_sessions_is_found(lines, topics):
    """No frame, event or number twice: only the journal tells that both are the same value."""
    at = 3 * SECOND + 550_000
    again = {"event": "frame", "session": "b", "frame": 1, "at": at, "values": [(SERIES, "3")]}
    lines[6:] = [again]
    topics["metrics"][3:] = [metric(4, 2, "b", 1, 3.0)]
    topics["gaps"] = [gap(3_600)]
    topics["gaps"][0].value["value_after"] = 3.0
    verdict = judge(lines, topics)
    assert [one[:25] for one in verdict.faults] == ["published on two sessions"]
    # Left out, as an equal snapshot is, there is nothing to find.
    del topics["metrics"][3:]
    assert judge(lines, topics).faults == []


# The sums of the long proofs.


@pytest.mark.parametrize("kind", ["lost", "duplicated", "reordered", "undeclared"])
def test_one_finding_in_the_long_proofs_is_a_failure(kind):
    assert wrong(Result(KILLS, runs=200, early_ms=2000)) == []
    assert wrong(Result(KILLS, runs=200, **{kind: 1})) == [f"{KILLS}: 1 {kind}"]


def test_a_gap_that_begins_too_early_is_a_failure_where_kafka_was_well():
    assert len(wrong(Result(KILLS, runs=10, early_ms=2001))) == 1
    assert wrong(Result("all brokers down for 60 s", runs=10, early_ms=7000)) == []


def test_a_control_that_loses_nothing_is_a_failure():
    assert wrong(Result(CONTROL, runs=5, lost=262, undeclared=96)) == []
    assert len(wrong(Result(CONTROL, runs=5))) == 1
