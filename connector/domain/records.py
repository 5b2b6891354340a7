"""Items of a batch become Kafka records: topics, keys, values by the schemas, headers. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from connector.domain.headers import FORMS
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

VARYING: Final = (
    "event_id",
    "value",
    "value_raw",
    "origin",
    "received_at",
    "received_at_us",
    "sequence",
    "epoch",
    "session_id",
    "frame",
    "batch_id",
)
"""Fields of an update that differ within a series; the others are the same in all of its records."""

Form = Callable[[Mapping[str, Any]], Callable[..., Any]]
"""From the values that a series shares to a function of the `VARYING` ones, which makes a record's value."""


def plain(shared: Mapping[str, Any]) -> Callable[..., Any]:
    """The form that leaves the encoding to others: every value is a mapping."""
    return lambda *values: {**shared, **dict(zip(VARYING, values, strict=True))}


class Route(NamedTuple):
    """What is constant for one series: its name, key, metrics topic, partition and unit."""

    name: str
    key: bytes
    topic: str
    partition: int
    unit: str
    latest_key: bytes
    latest_partition: int
    update: Callable[..., Any]
    """Makes the value of a record of metrics from its `VARYING` fields."""
    identity: str
    """What every event id of the series begins with."""


class Newest:
    """What a batch says last of one series: its row, if it is not the one of its newest update, and that update."""

    __slots__ = ("entry", "offset", "record", "updates")

    def __init__(self) -> None:
        self.offset: SourceOffset | None = None
        self.entry: Entry | None = None
        self.record: Record | None = None
        self.updates = 0


class Recorder:
    """Makes the records of one shard's transactions.

    Args:
        headers: minimal | full | none, the CloudEvents headers of every record but the offsets.
        payload_bytes: how much of a rejected frame a dead letter keeps.
        form: how the values of updates are made.
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
        form: Form = plain,
    ) -> None:
        self._form = form
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
            unit = series.definition.unit
            shared = {
                "account": self._account,
                "family": series.family,
                "metric": series.metric,
                "department_id": series.department_id,
                "window_minutes": series.window,
                "unit": unit,
                "series": name,
            }
            found = self._routes[series] = Route(
                name,
                key,
                self._topics.metrics(series),
                partition_for(key, self._partitions),
                unit,
                latest_key,
                partition_for(latest_key, self._partitions),
                self._form(shared),
                f"{self._account}/{name}/",
            )
        return found

    def transaction(self, batch: Batch, state: ShardState, now_us: int, hints: Hints) -> Iterator[Record]:
        """Every record of one transaction; the shard row is the last. ``state`` is that of this transaction."""
        newest: dict[Series, Newest] = {}
        batch_id = state.batch_id
        for item in batch.items:
            if type(item) is Entry:
                found = newest.get(item.series)
                if found is None:
                    found = newest[item.series] = Newest()
                found.updates += 1
                found.offset = None
                found.entry = item
                found.record = self._update(item, batch_id)
                yield found.record
            elif isinstance(item, GapOpened | GapClosed | Subscribed | Retired):
                newest.setdefault(item.offset.series, Newest()).offset = item.offset
        yield from self._gaps(batch)
        yield from self._dead_letters(batch, now_us)
        if self._topics.latest is not None:
            yield from self._latest(batch, newest)
        yield from self._rows(newest, state, now_us, hints)
        if batch.beat is not None:
            yield from self._beats(batch, state)
        yield self._shard_row(batch, state, now_us)

    # Metrics and latest.

    def _update(self, entry: Entry, batch_id: int) -> Record:
        route = self._routes.get(entry.series) or self.route(entry.series)
        epoch, sequence, received_us = entry.epoch, entry.sequence, entry.received_us
        event_id = f"{route.identity}{epoch}/{sequence}"
        received_ms = received_us // 1000
        value = route.update(
            event_id,
            entry.value,
            entry.raw,
            entry.origin,
            received_ms,
            received_us,
            sequence,
            epoch,
            entry.session_id,
            entry.frame,
            batch_id,
        )
        headers = self._headers("metric-update", event_id, route.name, sequence, received_us)
        return Record(route.topic, route.partition, route.key, METRIC_UPDATE, value, received_ms, headers)

    def _latest(self, batch: Batch, newest: Mapping[Series, Newest]) -> Iterator[Record]:
        topic = self._topics.latest
        assert topic is not None
        retired = {item.offset.series: item.at_us for item in batch.items if type(item) is Retired}
        for series, found in newest.items():
            record = found.record
            if record is not None and series not in retired:
                route = self.route(series)
                yield Record(topic, route.latest_partition, route.latest_key, METRIC_UPDATE, *record[4:])
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

    def _rows(self, newest: Mapping[Series, Newest], state: ShardState, now_us: int, hints: Hints) -> Iterator[Record]:
        row = self._row(state, now_us, sum(found.updates for found in newest.values()))
        for series, found in newest.items():
            route = self.route(series)
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

    def _shard_row(self, batch: Batch, state: ShardState, now_us: int) -> Record:
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
