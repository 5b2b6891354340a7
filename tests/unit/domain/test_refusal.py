"""A record that Kafka refuses for good: what is left is as if it had never had a number."""

from __future__ import annotations

import pytest

from connector.domain.events import Rejected, Updated
from connector.domain.ledger import Ledger
from connector.domain.model import Entry, GapClosed, GapOpened, OpenGap, Retired, Series, SourceOffset, Subscribed
from connector.domain.queue import Queue
from connector.domain.refusal import refuse

A = Series("chats", "missed_chats", 30, 5)
B = Series("chats", "incoming_chats")


def update(series, value, at):
    return Updated(series, value, str(value), "s", at, at * 1_000)


def waiting():
    """1 of A is committed; 2 (to be refused), 7 of B, 3 and 4 of A wait."""
    ledger = Ledger(Queue(room=100))
    ledger.subscribe([A, B])
    ledger.admit(update(A, 1, 1))
    ledger.queue.release(3)
    for series, value, at in ((A, 2, 2), (B, 7, 3), (A, 3, 4), (A, 4, 5)):
        ledger.admit(update(series, value, at))
    return ledger


LOG = {A: SourceOffset(A, "active", 1, 1, 1, "1", 1_000, "s")}


def refused(ledger):
    ledger.queue.replace(refuse(ledger.queue, ledger.positions, LOG, "too large", proven_us=1_500))
    return list(ledger.queue)


def numbers(items, series=A):
    return [(e.sequence, e.epoch, e.value) for e in items if isinstance(e, Entry) and e.series == series]


def test_the_number_is_given_again_in_a_new_epoch_and_the_gap_is_declared():
    ledger = waiting()
    items = refused(ledger)
    assert numbers(items) == [(2, 2, 3), (3, 2, 4)]
    assert numbers(items, B) == [(1, 1, 7)]
    (opened,), (closed,) = ([i for i in items if isinstance(i, kind)] for kind in (GapOpened, GapClosed))
    assert (opened.gap.reason, opened.gap.started_us) == ("rejected", 1_500)
    assert (closed.offset.epoch, closed.offset.sequence, closed.value_before, closed.value_after) == (2, 1, 1, 3)
    (letter,) = (i for i in items if isinstance(i, Rejected))
    assert (letter.payload, letter.stage, letter.series) == (b"2", "publish", (A,))
    ledger.admit(update(A, 5, 6))
    assert numbers(ledger.queue)[-1] == (4, 2, 5)


def test_without_anything_behind_it_the_gap_stays_open_until_the_next_value():
    ledger = waiting()
    kept = list(ledger.queue)[:2]
    ledger.queue.replace(kept)
    ledger.positions[A].sequence = 2
    refused(ledger)
    ledger.admit(update(A, 9, 9))
    assert numbers(ledger.queue) == [(2, 2, 9)]
    assert sum(isinstance(i, GapClosed) for i in ledger.queue) == 1


def test_a_gap_that_opens_before_the_next_value_is_the_same_gap():
    ledger = waiting()
    ledger.queue.replace(list(ledger.queue)[:2])
    ledger.positions[A].sequence = 2
    ledger.close(OpenGap(8_000, "disconnect"))
    ledger.subscribe([A, B])
    ledger.admit(update(A, 9, 9))
    items = refused(ledger)
    assert numbers(items) == [(2, 2, 9)]
    assert [i.gap.reason for i in items if isinstance(i, GapClosed)] == ["rejected"]
    assert len([i for i in items if isinstance(i, GapOpened) and i.offset.series == A]) == 1
    ledger.admit(update(A, 10, 10))
    assert numbers(ledger.queue)[-1] == (3, 2, 10)


def test_a_series_retired_behind_it_ends_its_gap():
    ledger = waiting()
    ledger.queue.replace(list(ledger.queue)[:2])
    ledger.positions[A].sequence = 2
    ledger.retire(A, 9_000)
    items = refused(ledger)
    (closed,), (retired,) = ([i for i in items if isinstance(i, kind)] for kind in (GapClosed, Retired))
    assert (closed.gap.detail, closed.resynced, closed.offset.epoch) == ("removed", False, 2)
    assert (retired.offset.sequence, retired.offset.epoch) == (1, 2)


def test_a_dead_letter_that_is_refused_loses_its_payload():
    letter = Rejected("nesting", "m", b"x" * 100, (), "s", 1, 1)
    (left,) = refuse([letter], {}, {}, "too large", proven_us=0)
    assert left.payload == b""
    with pytest.raises(ValueError, match="too large"):
        refuse([left], {}, {}, "too large", proven_us=0)


def test_bookkeeping_cannot_be_done_without():
    with pytest.raises(ValueError, match="too large"):
        refuse([Subscribed(SourceOffset(A, "active", 1, 0))], {}, {}, "too large", proven_us=0)


def test_a_gap_that_opens_after_the_next_value_is_a_gap_of_its_own():
    ledger = waiting()
    ledger.close(OpenGap(9_000, "disconnect"))
    ledger.subscribe([A, B])
    ledger.admit(update(A, 9, 10))
    items = refused(ledger)
    assert numbers(items) == [(2, 2, 3), (3, 2, 4), (4, 3, 9)]
    closed = [i for i in items if isinstance(i, GapClosed) and i.offset.series == A]
    assert [(i.gap.reason, i.offset.epoch, i.offset.sequence) for i in closed] == [
        ("rejected", 2, 1),
        ("disconnect", 3, 3),
    ]
