"""Items of a batch as Kafka records."""

from __future__ import annotations

import pytest

from connector.domain.batcher import RECORD_BYTES, Batcher
from connector.domain.events import Rejected
from connector.domain.headers import FORMS
from connector.domain.model import Batch, Entry, Retired, Series, ShardState, SourceOffset
from connector.domain.queue import Queue
from connector.domain.records import Recorder
from connector.domain.topics import Topics

A = Series("chats", "missed_chats", 30, 5)
STATE = ShardState("me", 1, 7, 3, 9_000)


def recorder(headers="minimal", latest="{prefix}.latest"):
    topics = Topics(account="acme", prefix="z", latest=latest)
    return Recorder(
        topics,
        account="acme",
        owner="me",
        version="1",
        shard=0,
        shards=1,
        partitions=4,
        heartbeat_ms=1000,
        headers=headers,
        payload_bytes=4,
    )


def entry(sequence, value=1.0):
    return Entry(A, 1, sequence, value, "1", "update", 1_700_000_000_123_456, "s", sequence)


def records(items, **options):
    return list(recorder(**options).transaction(Batch(0, tuple(items), 9_000), STATE, 10_000, {("z.metrics", 2): 41}))


def of(found, topic):
    return [record for record in found if record.topic == topic]


def test_latest_and_offsets_have_one_record_per_series_and_batch():
    found = records([entry(1), entry(2, 2.0)])
    assert [record.value["sequence"] for record in of(found, "z.metrics")] == [1, 2]
    assert [record.value["value"] for record in of(found, "z.latest")] == [2.0]
    row, shard = (record.value for record in of(found, "z.acme.offsets"))
    assert (row["last_sequence"], row["batch_records"], row["offset_hint"]) == (2, 2, 41)
    assert (shard["series"], shard["batch_id"], shard["batch_records_total"]) == ("#shard", 7, 2)


def test_without_latest_there_is_none():
    assert not of(records([entry(1)], latest=None), "z.latest")


def test_a_retired_series_has_a_tombstone_and_no_value_after_it():
    found = records([entry(1), Retired(SourceOffset(A, "removed", 1, 1), 5_000)])
    assert [record.value for record in of(found, "z.latest")] == [None]


def test_a_long_payload_is_cut_and_says_so():
    (letter,) = of(records([Rejected("nesting", "m", b"123456", (A,), "s", 1, 1_000)]), "z.dead-letters")
    assert (letter.value["payload"], letter.value["payload_size"], letter.value["truncated"]) == (b"1234", 6, True)
    assert letter.key == b"5"


def test_a_dead_letter_of_unknown_series_has_the_key_unknown():
    (letter,) = of(records([Rejected("nesting", "m", b"1", (), "s", 1, 1_000)]), "z.dead-letters")
    assert (letter.key, letter.value["series"]) == (b"unknown", None)


def test_full_headers_add_time_subject_sequence_schema_and_content_type():
    (record,) = of(records([entry(12)], headers="full"), "z.metrics")
    headers = dict(record.headers)
    assert headers["ce_id"] == b"acme/chats.missed_chats|30|5/1/12"
    assert headers["ce_time"] == b"2023-11-14T22:13:20.123456+00:00"
    assert headers["ce_sequence"] == b"00000000000000000012"
    assert headers["ce_subject"] == b"chats.missed_chats|30|5"
    assert {"ce_dataschema", "content-type"} <= set(headers)


@pytest.mark.parametrize(("form", "names"), [("none", None), ("minimal", 4), ("full", 9)])
def test_each_form_of_headers_has_its_length(form, names):
    headers = FORMS[form]("acme")("gap", "id", "subject", 1, 1)
    assert headers is None if names is None else len(headers) == names


def batcher(**options):
    settings = {"min_interval": 0.1, "max_records": 3, "max_bytes": 10 * RECORD_BYTES, "heartbeat": 1.0}
    return Batcher(**(settings | options))


def test_a_transaction_is_due_when_something_waits_and_the_interval_has_passed():
    one = batcher()
    assert one.due(1, now=5.0)
    assert one.begin(5.0)
    assert not one.due(1, now=5.05)
    assert one.due(1, now=5.1)
    assert not one.due(0, now=5.5)
    assert one.due(0, now=6.0)


def test_heartbeats_keep_their_schedule_and_skip_what_was_missed():
    one = batcher()
    assert [one.begin(now) for now in (0.0, 0.5, 1.05, 1.5, 2.0, 9.0, 9.5, 10.0)] == [
        *(True, False, True, False, True),
        *(True, False, True),
    ]


def queue_of(items):
    queue = Queue(room=100)
    for item in items:
        queue.append(item)
    return queue


def test_a_batch_is_bounded_in_records_and_bytes_but_never_empty():
    assert len(batcher().take(queue_of(entry(number) for number in range(9)))) == 3
    big = Rejected("nesting", "m", b"x" * 20 * RECORD_BYTES, (), "s", 1, 1)
    assert batcher().take(queue_of([big, entry(1)])) == (big,)
    assert batcher(max_bytes=2 * RECORD_BYTES).take(queue_of([entry(1), entry(2), entry(3)])) == (entry(1), entry(2))
    assert batcher().take(queue_of([])) == ()
