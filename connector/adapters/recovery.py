"""Reads the progress of one shard back from Kafka, after the fence, committed records only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.adapters.rebuild import Rebuild, advance
from connector.adapters.scan import Place, Scan
from connector.domain.model import OpenGap, Progress, Series, ShardState, SourceOffset
from connector.domain.partition import partition_for
from connector.domain.rows import SHARD_ROW

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from connector.domain.rows import Hints
    from connector.domain.topics import Topics


class Recovery:
    """Progress of a shard: the rows of its ``offsets`` partition, then what ``metrics`` holds beyond them.

    Where rows are missing, `rebuild` puts together what was there.

    Args:
        properties: librdkafka settings of a consumer.
        decode: framed Avro bytes to a dict, for any registered version.
        metrics: the metrics topics; the partitions that belong to the shard are read from the newest hint on.
        underway: seconds after which a value on its way is not received any more; see `Rebuild`.
        timeout: seconds without progress after which the log counts as unavailable.
        make_scan: opens the reader; the simulation of the tests brings its own.
    """

    def __init__(
        self,
        properties: Mapping[str, Any],
        decode: Callable[[bytes], dict[str, Any]],
        *,
        account: str,
        topics: Topics,
        metrics: Sequence[str],
        shard: int,
        shards: int,
        partitions: int,
        latest_partitions: int = 1,
        underway: float,
        timeout: float,
        make_scan: Callable[..., Scan] = Scan,
    ) -> None:
        self._properties = properties
        self._decode = decode
        self._account = account
        self._topics = topics
        self._metrics = metrics
        self._shard = shard
        self._shards = shards
        self._partitions = partitions
        self._latest_partitions = latest_partitions
        self._underway = underway
        self._timeout = timeout
        self._make_scan = make_scan

    def read(self) -> tuple[Progress, Hints]:
        """The progress, and the newest offset of each metrics partition.

        Raises:
            SinkUnavailable: no answer in time.
            SinkRejected: a topic is missing or may not be read.
        """
        with self._make_scan(self._properties, name=self._topics.group, timeout=self._timeout) as scan:
            offsets_place = self._topics.offsets, self._shard
            scan.require([offsets_place, *self._places(), *self._written()])
            rows = self._rows(scan, offsets_place)
            shard_row = rows.pop(SHARD_ROW, None)
            offsets = {Series.parse(name): offset_of(row) for name, row in rows.items()}
            ends = self._ends(scan)
            if shard_row is None or scan.bounds(offsets_place)[0] > 0:
                return self._rebuild(scan).progress(offsets, shard_state(shard_row)), ends
            for update in self._read(scan, self._unproven(rows, ends)):
                advance(offsets, update)
            return Progress(shard_state(shard_row), offsets), ends

    def _rebuild(self, scan: Scan) -> Rebuild:
        return Rebuild(
            scan,
            self._decode,
            account=self._account,
            topics=self._topics,
            metrics=self._places(),
            shard=self._shard,
            mine=self._mine,
            latest_partitions=self._latest_partitions,
            underway=self._underway,
        )

    def _rows(self, scan: Scan, place: Place) -> dict[str, dict[str, Any]]:
        """The newest row of each series; compaction may not have happened yet."""
        newest: dict[bytes, bytes] = {}
        for message in scan.read({place: 0}):
            newest[message.key() or b""] = message.value() or b""
        rows = (self._decode(value) for value in newest.values())
        return {row["series"]: row for row in rows if row["account"] == self._account}

    def _places(self) -> list[Place]:
        partitions = range(self._shard, self._partitions, self._shards)
        return [(topic, partition) for topic in self._metrics for partition in partitions]

    def _written(self) -> list[Place]:
        """A partition of each topic that is written and not read here: without it no transaction can be completed."""
        topics = self._topics
        latest = [] if topics.latest is None else [(topics.latest, 0)]
        return [*latest, (topics.gaps, self._shard), (topics.dead_letters, 0), (topics.heartbeats, self._shard)]

    def _ends(self, scan: Scan) -> Hints:
        return {place: scan.bounds(place)[1] - 1 for place in self._places()}

    def _unproven(self, rows: Mapping[str, Mapping[str, Any]], ends: Hints) -> dict[Place, int]:
        """Where metrics may hold more than the rows: beyond the newest offset that they know of."""
        starts: dict[Place, int] = {}
        for row in rows.values():
            place = row["topic"], row["partition"]
            if row["offset_hint"] is not None and place in ends:
                starts[place] = max(starts.get(place, 0), row["offset_hint"] + 1)
        return starts

    def _read(self, scan: Scan, starts: Mapping[Place, int]) -> list[dict[str, Any]]:
        updates = (self._decode(message.value() or b"") for message in scan.read(starts) if message.value())
        return [update for update in updates if update["account"] == self._account]

    def _mine(self, series: Series) -> bool:
        return partition_for(series.key.encode(), self._partitions) % self._shards == self._shard


def offset_of(row: Mapping[str, Any]) -> SourceOffset:
    """A row of the offsets topic as the source offset that it keeps."""
    gap = None
    if row.get("gap_started_at") is not None:
        gap = OpenGap(row["gap_started_at"] * 1000, row["gap_reason"])
    received = row["last_received_at"]
    return SourceOffset(
        Series.parse(row["series"]),
        row["state"],
        row["epoch"],
        row["last_sequence"],
        row["last_value"],
        row["last_value_raw"],
        None if received is None else received * 1000,
        row["session_id"],
        gap,
    )


def shard_state(row: Mapping[str, Any] | None) -> ShardState:
    """The shard row as the state that it keeps; that of a first start without one."""
    if row is None:
        return ShardState()
    return ShardState(
        row["owner"],
        row["owner_epoch"],
        row["batch_id"],
        row["heartbeat_seq"] or 0,
        (row["complete_through"] or 0) * 1000,
    )
