"""What of a journal counts after a restart."""

from __future__ import annotations

from connector.domain.events import Rejected
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
from connector.domain.restore import restore

A = Series("chats", "missed_chats", 30, 5)
B = Series("chats", "incoming_chats")
GAP = OpenGap(5_000, "disconnect")


def offset(series=A, sequence=2, epoch=1, state="active", gap=None):
    return SourceOffset(series, state, epoch, sequence, 1.0, "1", 1_000, "s", gap)


def entry(sequence, epoch=1, series=A):
    return Entry(series, epoch, sequence, float(sequence), str(sequence), "update", sequence * 1_000, "s", sequence)


def counted(items, *offsets):
    positions = {}
    progress = Progress(ShardState(), {one.series: one for one in offsets})
    return list(restore(positions, items, progress)), positions


def test_what_the_log_holds_already_does_not_count_and_what_continues_it_does():
    counts, positions = counted([entry(1), entry(2), entry(3), entry(4)], offset())
    assert counts == [False, False, True, True]
    assert (positions[A].sequence, positions[A].value) == (4, 4.0)


def test_after_a_damaged_entry_the_rest_of_the_series_does_not_count():
    counts, positions = counted([entry(3), None, entry(5)], offset())
    assert counts == [True, False, False]
    assert positions[A].sequence == 3


def test_a_gap_counts_once_and_only_in_its_place():
    opened = GapOpened(offset(sequence=3, gap=GAP), GAP)
    closed = GapClosed(offset(sequence=3, epoch=2), GAP, 1.0, 4.0, 9_000, resynced=True)
    items = [entry(3), opened, opened, entry(4), closed, closed, entry(4, epoch=2)]
    counts, positions = counted(items, offset())
    assert counts == [True, True, False, False, True, False, True]
    assert (positions[A].epoch, positions[A].gap, positions[A].sequence) == (2, None, 4)


def test_a_gap_of_another_moment_does_not_count():
    late = GapOpened(offset(sequence=9, gap=GAP), GAP)
    assert counted([late, GapOpened(offset(B), GAP)], offset())[0] == [False, False]


def test_a_new_series_counts_and_a_known_one_is_not_new():
    items = [Subscribed(offset(B, 0)), Subscribed(offset(A, 0)), entry(1, series=B)]
    counts, _ = counted(items, offset())
    assert counts == [True, False, True]


def test_dead_letters_count_and_retirements_are_decided_anew():
    letter = Rejected("nesting", "m", b"x", (), "s", 1, 1)
    assert counted([letter, Retired(offset(), 1)], offset())[0] == [True, False]


def test_a_series_that_was_removed_is_not_taken_up():
    assert counted([entry(3)], offset(state="removed"))[0] == [False]
