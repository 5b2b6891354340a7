"""The ledger: sequences, snapshots, epochs and gaps."""

from __future__ import annotations

import pytest

from connector.domain.events import Rejected, Updated
from connector.domain.ledger import Ledger, unpublished
from connector.domain.model import (
    Entry,
    GapClosed,
    GapOpened,
    OpenGap,
    Progress,
    Retired,
    Series,
    ShardState,
    SourceOffset,
    Subscribed,
)
from connector.domain.queue import Queue

A = Series("chats", "missed_chats", 30, 5)
B = Series("chats", "incoming_chats")


def update(value, at=1_000, series=A, frame=1):
    raw = None if value is None else str(value)
    return Updated(series, value, raw, "s1", frame, at)


def ledger_with(*values, series=A, **options):
    ledger = Ledger(Queue(room=1000), **options)
    ledger.subscribe([series])
    for value in values:
        ledger.admit(update(value, series=series))
    return ledger


def entries(ledger):
    return [item for item in ledger.queue if isinstance(item, Entry)]


def of(ledger, kind):
    return [item for item in ledger.queue if isinstance(item, kind)]


def test_the_first_value_ever_is_initial_and_sequences_count_from_one():
    ledger = ledger_with(1, 2, 2, None)
    assert [(e.sequence, e.origin, e.value) for e in entries(ledger)] == [
        (1, "initial", 1),
        (2, "update", 2),
        (3, "update", 2),
        (4, "update", None),
    ]
    assert {e.epoch for e in entries(ledger)} == {1}


def test_a_new_series_has_a_row_before_its_first_value():
    assert of(ledger_with(), Subscribed) == [Subscribed(SourceOffset(A, "active", 1, 0))]


def test_repeats_are_records_unless_switched_off():
    ledger = ledger_with(1, 1, 2, 1, collapse_repeats=True)
    assert [e.value for e in entries(ledger)] == [1, 2, 1]
    assert ledger.suppressed == 1


def test_a_session_end_opens_one_gap_per_series_and_the_next_value_closes_it():
    ledger = ledger_with(1, 2)
    ledger.close(OpenGap(5_000, "disconnect"))
    ledger.close(OpenGap(6_000, "disconnect"))
    ledger.subscribe([A])
    ledger.admit(update(7, at=9_000))
    assert [gap.gap.started_us for gap in of(ledger, GapOpened)] == [5_000]
    (closed,) = of(ledger, GapClosed)
    assert (closed.offset.epoch, closed.offset.sequence, closed.ended_us) == (2, 2, 9_000)
    assert (closed.value_before, closed.value_after, closed.resynced) == (2, 7, True)
    assert (entries(ledger)[-1].origin, entries(ledger)[-1].sequence, entries(ledger)[-1].epoch) == ("resync", 3, 2)


def test_an_equal_snapshot_closes_the_gap_without_a_record():
    ledger = ledger_with(1, 2)
    ledger.close(OpenGap(5_000, "disconnect"))
    ledger.subscribe([A])
    assert not ledger.admit(update(2, at=9_000))
    assert len(of(ledger, GapClosed)) == 1
    assert len(entries(ledger)) == 2
    assert ledger.suppressed == 1
    ledger.admit(update(3))
    assert (entries(ledger)[-1].sequence, entries(ledger)[-1].epoch, entries(ledger)[-1].origin) == (3, 2, "update")


def test_a_snapshot_is_compared_with_what_still_waits_not_with_what_is_committed():
    """1 is committed, 2 waits; the snapshot 1 is a change back, and losing it would lose the last change."""
    ledger = ledger_with(1)
    ledger.queue.release(len(ledger.queue))  # committed
    ledger.admit(update(2))
    ledger.close(OpenGap(5_000, "disconnect"))
    ledger.subscribe([A])
    assert ledger.admit(update(1, at=9_000))
    assert [e.value for e in entries(ledger)] == [2, 1]


def test_a_series_without_any_value_has_a_gap_too():
    ledger = ledger_with()
    ledger.close(OpenGap(5_000, "disconnect"))
    ledger.subscribe([A])
    ledger.admit(update(3, at=9_000))
    (closed,) = of(ledger, GapClosed)
    assert (closed.offset.epoch, closed.offset.sequence) == (2, 0)
    assert [(e.sequence, e.origin, e.epoch) for e in entries(ledger)] == [(1, "initial", 2)]


def test_a_rejected_value_opens_a_gap_from_its_receipt_to_the_next_value():
    ledger = ledger_with(1)
    ledger.reject(Rejected("wrong_type", "m", b"x", (A, B), "s1", 2, 4_000))
    ledger.admit(update(1, at=6_000))
    (opened,) = of(ledger, GapOpened)
    assert (opened.gap.started_us, opened.gap.reason) == (4_000, "undecodable")
    assert entries(ledger)[-1].origin == "update"
    assert entries(ledger)[-1].sequence == 2
    assert entries(ledger)[-1].epoch == 2


def test_a_gap_never_ends_before_it_starts():
    ledger = ledger_with(1)
    ledger.close(OpenGap(5_000, "disconnect"))
    ledger.subscribe([A])
    ledger.admit(update(2, at=3_000))  # the wall clock stepped back
    assert of(ledger, GapClosed)[0].ended_us == 5_000


def recovered(offset, *, through=2_000, lost=None, wanted=(A,)):
    ledger = Ledger(Queue(room=1000))
    state = ShardState("old", 3, 9, 4, through)
    progress = Progress(state, {offset.series: offset}, lost or {}, incomplete=lost is not None)
    ledger.recover(progress, wanted, reason="takeover", at_us=8_000)
    return ledger


def test_recovery_continues_the_sequence_in_a_new_epoch_with_a_gap_from_complete_through():
    ledger = recovered(SourceOffset(A, "active", 4, 10, 1.0, "1", 1_000, "s0"))
    ledger.subscribe([A])
    ledger.admit(update(2, at=9_000))
    (opened,) = of(ledger, GapOpened)
    assert (opened.gap.started_us, opened.gap.reason) == (2_000, "takeover")
    assert [(e.sequence, e.epoch, e.origin) for e in entries(ledger)] == [(11, 5, "resync")]


def test_recovery_continues_a_declared_open_gap_and_declares_it_once():
    gap = OpenGap(500, "disconnect")
    ledger = recovered(SourceOffset(A, "active", 4, 10, 1.0, "1", 400, "s0", gap))
    ledger.subscribe([A])
    ledger.admit(update(1, at=9_000))
    assert of(ledger, GapOpened) == []
    assert of(ledger, GapClosed)[0].gap == gap


def test_truncated_offsets_are_declared_as_lost_state():
    ledger = recovered(SourceOffset(A, "active", 4, 10), lost={A: 1_500})
    assert of(ledger, GapOpened)[0].gap == OpenGap(1_500, "state_lost")


def test_where_rows_are_gone_a_series_that_nothing_tells_of_does_not_begin_silently():
    ledger = recovered(SourceOffset(A, "active", 4, 10), lost={}, wanted=(A, B))
    ledger.announce([B])
    assert {one.offset.series: one.gap for one in of(ledger, GapOpened)} == {
        A: OpenGap(2_000, "takeover"),
        B: OpenGap(2_000, "state_lost"),
    }
    ledger.subscribe([B])
    ledger.admit(update(1, at=9_000, series=B))
    assert [(e.sequence, e.epoch) for e in entries(ledger)] == [(1, 2)]
    known = recovered(SourceOffset(A, "active", 4, 10), wanted=(A, B))
    known.announce([B])
    assert [one.offset.series for one in of(known, GapOpened)] == [A]


def test_a_series_that_left_the_configuration_is_retired_at_recovery_and_its_gap_closes():
    ledger = recovered(SourceOffset(A, "active", 4, 10, 1.0, "1", 400, "s0"), wanted=())
    (closed,) = of(ledger, GapClosed)
    (retired,) = of(ledger, Retired)
    assert (closed.gap.detail, closed.resynced, closed.value_after) == ("removed", False, None)
    assert (retired.offset.state, retired.offset.epoch, retired.offset.sequence) == ("removed", 5, 10)
    assert A not in ledger.positions


def test_a_returning_series_continues_its_sequence_in_a_new_epoch():
    removed = SourceOffset(A, "removed", 5, 10, 1.0, "1", 400, "s0", OpenGap(700, "unsubscribed"))
    ledger = recovered(removed)
    assert not ledger.queue
    ledger.subscribe([A])
    ledger.admit(update(1, at=9_000))
    assert of(ledger, GapOpened)[0].gap == OpenGap(700, "unsubscribed")
    assert of(ledger, GapClosed)[0].offset.epoch == 6
    ledger.admit(update(2))
    assert [(e.sequence, e.epoch) for e in entries(ledger)] == [(11, 6)]


def test_retiring_live_and_coming_back_keeps_the_numbers():
    ledger = ledger_with(1, 2)
    ledger.retire(A, 3_000)
    ledger.subscribe([A])
    ledger.admit(update(2, at=4_000))
    ledger.admit(update(3))
    assert [(e.sequence, e.epoch) for e in entries(ledger)] == [(1, 1), (2, 1), (3, 2)]
    assert len(of(ledger, GapOpened)) == len(of(ledger, GapClosed)) == 1


@pytest.mark.parametrize(
    ("committed", "expected"),
    [(0, [1, 2, 3]), (2, [3]), (3, [])],
)
def test_after_a_torn_transaction_exactly_what_is_newer_is_sent_again(committed, expected):
    ledger = ledger_with(1, 2, 3)
    offsets = {A: SourceOffset(A, "active", 1, committed)} if committed else {}
    items = unpublished(tuple(ledger.queue), Progress(ShardState(), offsets))
    assert [item.sequence for item in items if isinstance(item, Entry)] == expected


def test_a_gap_whose_epoch_is_in_the_log_is_not_closed_twice():
    ledger = ledger_with(1)
    ledger.close(OpenGap(5_000, "disconnect"))
    ledger.subscribe([A])
    ledger.admit(update(1, at=9_000))
    log = Progress(ShardState(), {A: SourceOffset(A, "active", 2, 1)})
    assert not [item for item in unpublished(tuple(ledger.queue), log) if isinstance(item, Entry | GapClosed)]


def overflowing():
    """Room for four items: Subscribed, 1, 2, 3; then 4 and 5 of A and 7 of B find none."""
    ledger = Ledger(Queue(room=4))
    ledger.subscribe([A])
    for at, value in enumerate((1, 2, 3, 4, 5), 1):
        ledger.admit(update(value, at=at * 1_000, frame=at))
    return ledger


def test_without_room_the_epoch_ends_and_only_the_newest_value_is_held():
    ledger = overflowing()
    assert [e.value for e in entries(ledger)] == [1, 2, 3]
    (opened,) = of(ledger, GapOpened)
    assert opened.gap == OpenGap(4_000, "overflow")
    assert (ledger.dropped, ledger.held, ledger.full_since_us) == (1, 1, 4_000)


def test_with_room_again_the_newest_value_goes_on_and_the_gap_counts_what_was_given_up():
    ledger = overflowing()
    ledger.relieve()
    assert ledger.held == 1
    ledger.queue.release(4)
    ledger.relieve()
    (closed,) = of(ledger, GapClosed)
    assert (closed.dropped, closed.ended_us, closed.value_after) == (1, 5_000, 5)
    assert [(e.sequence, e.epoch, e.origin, e.value) for e in entries(ledger)] == [(4, 2, "resync", 5)]
    assert (ledger.held, ledger.full_since_us) == (0, None)
    ledger.admit(update(6))
    assert entries(ledger)[-1].origin == "update"


def test_a_held_value_equal_to_the_last_one_needs_no_record():
    ledger = Ledger(Queue(room=2))
    ledger.subscribe([A])
    for value in (1, 2, 1):
        ledger.admit(update(value))
    ledger.queue.release(len(ledger.queue))
    ledger.relieve()
    assert entries(ledger) == []
    assert of(ledger, GapClosed)[0].dropped == 1
    assert ledger.suppressed == 1


def test_without_room_a_dead_letter_is_given_up_and_its_series_has_a_gap():
    ledger = overflowing()
    ledger.subscribe([B])
    ledger.reject(Rejected("wrong_type", "m", b"x", (A, B, Series("chats", "active_chats")), "s1", 2, 6_000))
    assert ledger.dropped == 3
    assert [gap.offset.series for gap in of(ledger, GapOpened)] == [A, B]
    assert not of(ledger, Rejected)


def test_retiring_a_series_without_room_gives_its_held_value_up():
    ledger = overflowing()
    ledger.retire(A, 9_000)
    assert of(ledger, GapClosed)[0].dropped == 2
    assert (ledger.dropped, ledger.held) == (2, 0)


def test_a_disconnect_without_room_gives_the_held_value_up_for_the_next_sessions_snapshot():
    ledger = overflowing()
    ledger.close(OpenGap(6_000, "disconnect"))
    ledger.subscribe([A])
    ledger.queue.release(4)
    ledger.relieve()
    assert not of(ledger, GapClosed)
    ledger.admit(update(9, at=9_000))
    assert of(ledger, GapClosed)[0].dropped == 2
    assert (entries(ledger)[-1].origin, entries(ledger)[-1].epoch) == ("resync", 2)


def test_a_frame_that_is_kept_elsewhere_puts_every_series_in_doubt():
    ledger = ledger_with(1)
    ledger.subscribe([B])
    ledger.doubt(Rejected("invalid_json", "m", b"x", (), "s1", 2, 4_000))
    assert [(gap.offset.series, gap.gap.reason) for gap in of(ledger, GapOpened)] == [
        (A, "undecodable"),
        (B, "undecodable"),
    ]
    ledger.admit(update(1, at=6_000))
    assert [(e.sequence, e.epoch) for e in entries(ledger)] == [(1, 1), (2, 2)]


def test_a_value_held_from_before_a_frame_in_doubt_does_not_end_its_gap():
    ledger = overflowing()
    ledger.doubt(Rejected("invalid_json", "m", b"x", (), "s1", 6, 6_000))
    ledger.queue.release(4)
    ledger.relieve()
    assert not of(ledger, GapClosed)
    ledger.admit(update(7, at=7_000))
    (closed,) = of(ledger, GapClosed)
    assert (closed.gap.reason, closed.ended_us, closed.dropped) == ("overflow", 7_000, 2)
    assert (ledger.dropped, ledger.held) == (2, 0)
