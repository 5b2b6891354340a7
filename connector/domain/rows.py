"""What the connector says of itself: rows of offsets, the shard row, heartbeats. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from connector.domain.model import Batch, Entry, Record, Series, ShardState, SourceOffset

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connector.domain.headers import Form
    from connector.domain.routes import Routes
    from connector.domain.topics import Topics

SOURCE_OFFSET: Final = "source-offset"
HEARTBEAT: Final = "heartbeat"
SHARD_ROW: Final = "#shard"

Hints = dict[tuple[str, int], int]
"""Newest offset known to be delivered, by topic and partition."""


class Newest:
    """What a batch says last of one series: its row, if it is not the one of its newest update, and that update."""

    __slots__ = ("entry", "offset", "record", "updates")

    def __init__(self) -> None:
        self.offset: SourceOffset | None = None
        self.entry: Entry | None = None
        self.record: Record | None = None
        self.updates = 0


class Rows:
    """Makes the records of offsets and heartbeats of one shard. Arguments as in `records.Recorder`."""

    def __init__(
        self,
        topics: Topics,
        routes: Routes,
        headers: Form,
        *,
        account: str,
        owner: str,
        version: str,
        shard: int,
        shards: int,
        partitions: int,
        heartbeat_ms: int,
    ) -> None:
        self._topics = topics
        self._routes = routes
        self._headers = headers
        self._account = account
        self._owner = owner
        self._version = version
        self._shard = shard
        self._beat_partitions = range(shard, partitions, shards)
        self._heartbeat_ms = heartbeat_ms

    def rows(self, newest: Mapping[Series, Newest], state: ShardState, now_us: int, hints: Hints) -> Iterator[Record]:
        """The row of each series of the batch, as the batch leaves it."""
        row = self._row(state, now_us, sum(found.updates for found in newest.values()))
        for series, found in newest.items():
            route = self._routes(series)
            entry = found.entry
            offset = found.offset
            if offset is None:
                assert entry is not None
                offset = _offset_of(entry)
            gap = offset.gap
            value = {
                **row,
                "series": route.name,
                "state": offset.state,
                "epoch": offset.epoch,
                "last_sequence": offset.sequence,
                "last_event_id": None if entry is None else f"{route.identity}{entry.epoch}/{entry.sequence}",
                "last_received_at": None if offset.received_us is None else offset.received_us // 1000,
                "last_value": offset.value,
                "last_value_raw": offset.raw,
                "batch_records": found.updates,
                "topic": route.topic,
                "partition": route.partition,
                "offset_hint": hints.get((route.topic, route.partition)),
                "session_id": offset.session_id,
                "gap_started_at": None if gap is None else gap.started_us // 1000,
                "gap_reason": None if gap is None else gap.reason,
            }
            yield self._offsets_record(route.latest_key, value, now_us)

    def shard_row(self, batch: Batch, state: ShardState, now_us: int) -> Record:
        """The row of the shard, which every transaction writes."""
        total = list(map(type, batch.items)).count(Entry)
        value = {
            **self._row(state, now_us, total),
            "series": SHARD_ROW,
            "state": "active",
            "epoch": 0,
            "last_sequence": 0,
            "last_event_id": None,
            "last_received_at": None,
            "last_value": None,
            "last_value_raw": None,
            "batch_records": 0,
            "topic": self._topics.offsets,
            "partition": self._shard,
            "offset_hint": None,
            "session_id": "",
            "heartbeat_seq": state.heartbeat_seq,
            "complete_through": state.complete_through_us // 1000,
        }
        return self._offsets_record(f"{self._account}/{SHARD_ROW}".encode(), value, now_us)

    def _row(self, state: ShardState, now_us: int, total: int) -> dict[str, Any]:
        return {
            "account": self._account,
            "batch_id": state.batch_id,
            "batch_records_total": total,
            "owner": state.owner,
            "owner_epoch": state.owner_epoch,
            "committed_at": now_us // 1000,
        }

    def _offsets_record(self, key: bytes, value: dict[str, Any], now_us: int) -> Record:
        return Record(self._topics.offsets, self._shard, key, SOURCE_OFFSET, value, now_us // 1000)

    def beats(self, batch: Batch, state: ShardState) -> Iterator[Record]:
        """The heartbeat of the batch, once for each partition of the shard."""
        beat = batch.beat
        assert beat is not None
        through_ms = state.complete_through_us // 1000
        value = {
            "account": self._account,
            "shard": self._shard,
            "owner": state.owner,
            "owner_epoch": state.owner_epoch,
            "heartbeat_seq": state.heartbeat_seq,
            "emitted_at": beat.emitted_us // 1000,
            "complete_through": through_ms,
            "interval_ms": self._heartbeat_ms,
            "state": beat.state,
            "session_id": beat.session_id,
            "last_frame_at": None if beat.last_frame_us is None else beat.last_frame_us // 1000,
            "ping_rtt_ms": beat.ping_rtt_ms,
            "batch_id": state.batch_id - 1,
            "series_expected": beat.series_expected,
            "series_active": beat.series_active,
            **beat.counters,
            "version": self._version,
        }
        for partition in self._beat_partitions:
            key = f"{self._account}/{partition}"
            beat_id = f"{key}/{state.heartbeat_seq}"
            headers = self._headers("heartbeat", beat_id, key, state.heartbeat_seq, state.complete_through_us)
            yield Record(
                self._topics.heartbeats,
                partition,
                key.encode(),
                HEARTBEAT,
                {**value, "partition": partition},
                through_ms,
                headers,
            )


def _offset_of(entry: Entry) -> SourceOffset:
    return SourceOffset(
        entry.series,
        "active",
        entry.epoch,
        entry.sequence,
        entry.value,
        entry.raw,
        entry.received_us,
        entry.session_id,
    )
