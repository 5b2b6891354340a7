"""What the other topics still tell of a shard whose rows are gone."""

from __future__ import annotations

import pytest

from connector.adapters.rebuild import UNDERWAY, Rebuild
from connector.domain.model import OpenGap, Series, ShardState, SourceOffset
from connector.domain.topics import Topics

A = Series("chats", "active_chats")
B = Series("agents", "agents_online")
ACCOUNT = "acme"
UNDERWAY_US = round(UNDERWAY * 1_000_000)
MINUTES = 10 * UNDERWAY_US


class Message:
    def __init__(self, key, value):
        self._record = key, value

    def key(self):
        return self._record[0]

    def value(self):
        return self._record[1]


class Log:
    """Topics with their records; a value stands for itself."""

    def __init__(self, topics, **records):
        names = {"latest": topics.latest, "gaps": topics.gaps, "heartbeats": topics.heartbeats}
        self._records = {(names.get(name, name), 0): values for name, values in records.items()}
        self._offsets = topics.offsets
        self.low = 0

    def bounds(self, place):
        """Of offsets everything is gone."""
        return (self.low, self.low) if place[0] == self._offsets else (0, len(self._records.get(place, ())))

    def read(self, starts):
        for place, start in starts.items():
            for record in self._records.get(place, ())[start:]:
                yield Message(*record)


def update(series, sequence, epoch, *, batch=5, at_us=MINUTES, account=ACCOUNT):
    value = {
        "account": account, "series": series.name, "sequence": sequence, "epoch": epoch, "value": 1.0, "value_raw": "1",
        "received_at_us": at_us, "received_at": at_us // 1000, "session_id": "s1", "batch_id": batch,
    }  # fmt: skip
    return f"{account}/{series.name}".encode(), value


def gap(series, before, *, ended=None):
    value = {
        "account": ACCOUNT, "series": series.name, "epoch_before": before, "epoch_after": before + 1,
        "started_at": 7, "ended_at": ended, "reason": "disconnect", "detail": None,
    }  # fmt: skip
    return b"key", value


def beat(batch=6, through_us=2 * MINUTES):
    value = {
        "account": ACCOUNT, "batch_id": batch, "complete_through": through_us // 1000, "owner": "pod-0",
        "owner_epoch": 3, "heartbeat_seq": 40,
    }  # fmt: skip
    return b"key", value


def rebuilt(*, offsets=(), shard=None, low=9, underway=10.0, **records):
    topics = Topics(account=ACCOUNT)
    scan = Log(topics, **records)
    scan.low = low
    rebuild = Rebuild(
        scan,
        lambda value: value,
        account=ACCOUNT,
        topics=topics,
        metrics=[("metrics", 0)],
        shard=0,
        mine=lambda _: True,
        latest_partitions=1,
        underway=underway,
    )
    return rebuild.progress({one.series: one for one in offsets}, shard or ShardState())


def test_sequence_and_epoch_go_on_and_the_shard_continues_its_newest_heartbeat():
    progress = rebuilt(metrics=[update(A, 1, 1), update(A, 2, 2)], heartbeats=[beat(5), beat(6)])
    assert (progress.offsets[A].sequence, progress.offsets[A].epoch) == (2, 2)
    assert progress.shard == ShardState("pod-0", 3, 7, 40, 2 * MINUTES)
    assert progress.incomplete


def test_a_newer_batch_of_updates_than_the_newest_heartbeat_counts():
    assert rebuilt(metrics=[update(A, 1, 1, batch=9)], heartbeats=[beat(6)]).shard.batch_id == 9


def test_a_row_that_is_left_is_the_newest_of_its_series():
    row = SourceOffset(A, "removed", 4, 8)
    progress = rebuilt(offsets=[row], metrics=[update(A, 8, 4), update(B, 3, 1)], heartbeats=[beat()])
    assert progress.offsets[A] is row
    assert set(progress.lost) == {B}


def test_a_shard_row_that_is_left_stands():
    state = ShardState("pod-1", 5, 90, 50, 3 * MINUTES)
    assert rebuilt(shard=state, metrics=[update(A, 1, 1)], heartbeats=[beat()]).shard is state


@pytest.mark.parametrize(
    ("gaps", "epoch", "still"),
    [
        ([gap(A, 2)], 2, OpenGap(7_000, "disconnect")),
        ([gap(A, 2), gap(A, 2, ended=9)], 3, None),
        ([gap(A, 1, ended=9)], 2, None),
        ([gap(A, 2, ended=9), gap(A, 3)], 3, OpenGap(7_000, "disconnect")),
        ([gap(A, 1)], 2, None),
    ],
)
def test_epochs_that_only_gaps_tell_of_are_not_given_again(gaps, epoch, still):
    progress = rebuilt(metrics=[update(A, 4, 2)], gaps=gaps, heartbeats=[beat()])
    offset = progress.offsets[A]
    assert (offset.epoch, offset.sequence, offset.gap) == (epoch, 4, still)


def test_a_series_with_gaps_and_no_update_is_known():
    assert rebuilt(gaps=[gap(B, 1, ended=9)], heartbeats=[beat()]).offsets[B].epoch == 2


def test_what_latest_still_has_was_followed_until_the_end():
    live = [update(A, 2, 1)]
    progress = rebuilt(metrics=[*live, update(B, 2, 1)], latest=live, heartbeats=[beat()])
    assert progress.lost == {A: 2 * MINUTES, B: MINUTES - UNDERWAY_US}


def test_a_series_with_a_tombstone_was_perhaps_retired_long_ago():
    tombstone = f"{ACCOUNT}/{A.name}".encode(), None
    records = [update(A, 2, 1)]
    progress = rebuilt(metrics=records, latest=[*records, tombstone], heartbeats=[beat()])
    assert progress.lost == {A: MINUTES - UNDERWAY_US}


@pytest.mark.parametrize("underway", [UNDERWAY - 1, 2 * UNDERWAY])
def test_a_value_may_be_on_its_way_as_long_as_the_pings_allow(underway):
    progress = rebuilt(metrics=[update(A, 2, 1)], heartbeats=[beat()], underway=underway)
    assert progress.lost == {A: MINUTES - round(max(underway, UNDERWAY) * 1_000_000)}


def test_another_accounts_records_count_for_nothing():
    progress = rebuilt(metrics=[update(A, 2, 1, account="other")], heartbeats=[beat()])
    assert progress.offsets == {}


def test_a_first_start_is_no_loss():
    progress = rebuilt(low=0)
    assert (progress.shard, progress.offsets, progress.lost, progress.incomplete) == (ShardState(), {}, {}, False)
