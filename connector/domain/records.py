"""Items of a batch become Kafka records: topics, keys, values by the schemas, headers. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from connector.domain.headers import FORMS, Headers
from connector.domain.model import (
    Batch,
    Entry,
    GapClosed,
    GapOpened,
    OpenGap,
    Record,
    Retired,
    Series,
    ShardState,
    SourceOffset,
    Subscribed,
)
from connector.domain.partition import partition_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.domain.events import Rejected
    from connector.domain.topics import Topics

METRIC_UPDATE: Final = "metric-update"
SOURCE_OFFSET: Final = "source-offset"
HEARTBEAT: Final = "heartbeat"
GAP: Final = "gap"
DEAD_LETTER: Final = "dead-letter"

SHARD_ROW: Final = "#shard"
UNKNOWN_DEPARTMENT: Final = "unknown"

Hints = dict[tuple[str, int], int]
"""Newest offset known to be delivered, by topic and partition."""

Latest = dict[Series, tuple[dict[str, Any], Headers | None]]
"""Newest value and headers of each series with a record in the batch."""


class Route(NamedTuple):
    """What is constant for one series: its name, key, metrics topic, partition and unit."""

    name: str
    key: bytes
    topic: str
    partition: int
    unit: str
    latest_key: bytes
    latest_partition: int


class Recorder:
    """Makes the records of one shard's transactions.

    Args:
        headers: minimal | full | none, the CloudEvents headers of every record but the offsets.
        payload_bytes: how much of a rejected frame a dead letter keeps.
    """

    def __init__(
        self,
        topics: Topics,
        *,
        account: str,
        owner: str,
        version: str,
        shard: int,
        shards: int,
        partitions: int,
        heartbeat_ms: int,
        headers: str = "minimal",
        payload_bytes: int = 65536,
    ) -> None:
        self._topics = topics
        self._account = account
        self._owner = owner
        self._version = version
        self._shard = shard
        self._partitions = partitions
        self._beat_partitions = range(shard, partitions, shards)
        self._heartbeat_ms = heartbeat_ms
        self._headers = FORMS[headers](account)
        self._payload_bytes = payload_bytes
        self._routes: dict[Series, Route] = {}

    def route(self, series: Series) -> Route:
        """Where the records of a series go; computed once."""
        found = self._routes.get(series)
        if found is None:
            name, key = series.name, series.key.encode()
            latest_key = f"{self._account}/{name}".encode()
            found = self._routes[series] = Route(
                name,
                key,
                self._topics.metrics(series),
                partition_for(key, self._partitions),
                series.definition.unit,
                latest_key,
                partition_for(latest_key, self._partitions),
            )
        return found

    def transaction(self, batch: Batch, state: ShardState, now_us: int, hints: Hints) -> Iterator[Record]:
        """Every record of one transaction; the shard row is the last. ``state`` is that of this transaction."""
        newest: dict[Series, SourceOffset] = {}
        counts: dict[Series, int] = {}
        latest: Latest = {}
        for item in batch.items:
            if type(item) is Entry:
                record = self._update(item, state.batch_id)
                counts[item.series] = counts.get(item.series, 0) + 1
                newest[item.series] = _offset_of(item)
                assert record.value is not None
                latest[item.series] = record.value, record.headers
                yield record
            elif isinstance(item, GapOpened | GapClosed | Subscribed | Retired):
                newest[item.offset.series] = item.offset
        yield from self._gaps(batch)
        yield from self._dead_letters(batch, now_us)
        if self._topics.latest is not None:
            yield from self._latest(batch, latest)
        yield from self._rows(newest, latest, counts, state, now_us, hints)
        if batch.beat is not None:
            yield from self._beats(batch, state)
        yield self._shard_row(batch, state, now_us)

    # Metrics and latest.

    def _update(self, entry: Entry, batch_id: int) -> Record:
        series = entry.series
        route = self.route(series)
        event_id = f"{self._account}/{route.name}/{entry.epoch}/{entry.sequence}"
        received_ms = entry.received_us // 1000
        value = {
            "event_id": event_id,
            "account": self._account,
            "family": series.family,
            "metric": series.metric,
            "department_id": series.department_id,
            "window_minutes": series.window,
            "value": entry.value,
            "value_raw": entry.raw,
            "unit": route.unit,
            "origin": entry.origin,
            "received_at": received_ms,
            "received_at_us": entry.received_us,
            "series": route.name,
            "sequence": entry.sequence,
            "epoch": entry.epoch,
            "session_id": entry.session_id,
            "frame": entry.frame,
            "batch_id": batch_id,
        }
        headers = self._headers("metric-update", event_id, route.name, entry.sequence, entry.received_us)
        return Record(route.topic, route.partition, route.key, METRIC_UPDATE, value, received_ms, headers)

    def _latest(self, batch: Batch, latest: Latest) -> Iterator[Record]:
        topic = self._topics.latest
        assert topic is not None
        retired = {item.offset.series: item.at_us for item in batch.items if isinstance(item, Retired)}
        for series, (value, headers) in latest.items():
            if series not in retired:
                route = self.route(series)
                timestamp = value["received_at"]
                yield Record(topic, route.latest_partition, route.latest_key, METRIC_UPDATE, value, timestamp, headers)
        for series, at_us in retired.items():
            route = self.route(series)
            yield Record(topic, route.latest_partition, route.latest_key, METRIC_UPDATE, None, at_us // 1000)

    # Gaps and dead letters.

    def _gaps(self, batch: Batch) -> Iterator[Record]:
        closed = {(item.offset.series, item.offset.epoch - 1) for item in batch.items if isinstance(item, GapClosed)}
        for item in batch.items:
            if isinstance(item, GapClosed):
                yield self._gap(item.offset, item.gap, item)
            elif isinstance(item, GapOpened) and (item.offset.series, item.offset.epoch) not in closed:
                yield self._gap(item.offset, item.gap, None)

    def _gap(self, offset: SourceOffset, gap: OpenGap, closed: GapClosed | None) -> Record:
        series = offset.series
        route = self.route(series)
        before = offset.epoch if closed is None else offset.epoch - 1
        gap_id = f"{self._account}/{route.name}/{before + 1}"
        ended_ms = None if closed is None else closed.ended_us // 1000
        value = {
            "gap_id": gap_id,
            "account": self._account,
            "series": route.name,
            "family": series.family,
            "metric": series.metric,
            "department_id": series.department_id,
            "window_minutes": series.window,
            "epoch_before": before,
            "epoch_after": before + 1,
            "last_sequence_before": offset.sequence,
            "first_sequence_after": None if closed is None else offset.sequence + 1,
            "started_at": gap.started_us // 1000,
            "ended_at": ended_ms,
            "reason": gap.reason,
            "detail": gap.detail,
            "value_before": offset.value if closed is None else closed.value_before,
            "value_after": None if closed is None else closed.value_after,
            "resynced": closed is not None and closed.resynced,
            "updates_dropped": None if closed is None else closed.dropped,
        }
        phase = "open" if closed is None else "final"
        at_us = gap.started_us if closed is None else closed.ended_us
        headers = self._headers("gap", f"{gap_id}/{phase}", route.name, before + 1, at_us)
        return Record(self._topics.gaps, route.partition, route.key, GAP, value, at_us // 1000, headers)

    def _dead_letters(self, batch: Batch, now_us: int) -> Iterator[Record]:
        for item in batch.items:
            if hasattr(item, "payload"):
                yield self._dead_letter(item, now_us)

    def _dead_letter(self, rejected: Rejected, now_us: int) -> Record:
        routes = [self.route(series) for series in rejected.series]
        keys = {route.key for route in routes}
        key = keys.pop() if len(keys) == 1 else UNKNOWN_DEPARTMENT.encode()
        error_id = f"{self._account}/{rejected.session_id}/{rejected.frame}"
        payload = rejected.payload
        value = {
            "error_id": error_id,
            "account": self._account,
            "stage": rejected.stage,
            "error_class": rejected.reason,
            "error_message": rejected.message,
            "failed_at": now_us // 1000,
            "received_at": rejected.received_us // 1000,
            "session_id": rejected.session_id,
            "frame": rejected.frame,
            "series": routes[0].name if len(routes) == 1 else None,
            "intended_topic": routes[0].topic if routes else None,
            "payload": payload[: self._payload_bytes],
            "payload_size": len(payload),
            "payload_sha256": hashlib.sha256(payload).hexdigest(),
            "truncated": len(payload) > self._payload_bytes,
            "processor": "zendesk-chat-kafka",
            "processor_version": self._version,
        }
        headers = self._headers("dead-letter", error_id, rejected.reason, rejected.frame, rejected.received_us)
        partition = partition_for(key, self._partitions)
        timestamp = rejected.received_us // 1000
        return Record(self._topics.dead_letters, partition, key, DEAD_LETTER, value, timestamp, headers)

    # Offsets and heartbeats.

    def _rows(
        self,
        newest: dict[Series, SourceOffset],
        latest: Latest,
        counts: dict[Series, int],
        state: ShardState,
        now_us: int,
        hints: Hints,
    ) -> Iterator[Record]:
        total = sum(counts.values())
        for series, offset in newest.items():
            route = self.route(series)
            gap = offset.gap
            value = {
                **self._row(state, now_us, total),
                "series": route.name,
                "state": offset.state,
                "epoch": offset.epoch,
                "last_sequence": offset.sequence,
                "last_event_id": latest[series][0]["event_id"] if series in latest else None,
                "last_received_at": None if offset.received_us is None else offset.received_us // 1000,
                "last_value": offset.value,
                "last_value_raw": offset.raw,
                "batch_records": counts.get(series, 0),
                "topic": route.topic,
                "partition": route.partition,
                "offset_hint": hints.get((route.topic, route.partition)),
                "session_id": offset.session_id,
                "gap_started_at": None if gap is None else gap.started_us // 1000,
                "gap_reason": None if gap is None else gap.reason,
            }
            yield self._offsets_record(route.latest_key, value, now_us)

    def _shard_row(self, batch: Batch, state: ShardState, now_us: int) -> Record:
        total = sum(1 for item in batch.items if type(item) is Entry)
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

    def _beats(self, batch: Batch, state: ShardState) -> Iterator[Record]:
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
