"""The audit itself, fed record by record. No I/O: the same checks run over Kafka and over made-up histories.

It goes in rounds. `begin` takes as horizon the newest batch of each shard of which anything was read so far. The
reader then asks for the end of every partition, feeds all records up to there, and calls `settle`: since a
transaction that is readable anywhere has its place in every partition, all up to the horizon was fed by then.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from connector.verify.findings import Findings
from connector.verify.placement import Placement
from connector.verify.series import Cut, Row, Series
from connector.verify.shard import Shard

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from connector.verify.findings import Message

SHARD_ROW = "#shard"
Partition = tuple[str, int]


class Layout(NamedTuple):
    """The topics of one account, and their numbers of partitions."""

    account: str
    shards: int
    metrics: frozenset[str]
    latest: str | None
    gaps: str
    heartbeats: str
    offsets: str
    partitions: Mapping[str, int]


class Auditor:
    """Every check over the records of one account. ``since_ms``: reading began at that instant, not at the start."""

    def __init__(self, layout: Layout, *, since_ms: int | None = None) -> None:
        self.findings = Findings()
        self.series: dict[str, Series] = {}
        self.read: Counter[str] = Counter()
        """Records of the account by topic."""
        self.round = 0
        heartbeats = layout.partitions[layout.heartbeats]
        self.shards = [Shard(at, range(at, heartbeats, layout.shards)) for at in range(layout.shards)]
        self._layout = layout
        self._since = since_ms
        self._placement = Placement(layout.account, layout.shards, layout.partitions, self.findings)
        self._feeds = dict.fromkeys(layout.metrics, self._update) | {
            layout.gaps: self._gap,
            layout.heartbeats: self._heartbeat,
            layout.offsets: self._row,
        }
        if layout.latest is not None:
            self._feeds[layout.latest] = self._latest
        self._dirty: set[Series] = set()
        self._open: set[str] = set()
        self._first_batches: dict[Partition, int] = {}
        self._row_batches: dict[Partition, int] = {}
        """Newest batch that can have written to each partition of metrics."""
        self._last_batches: dict[Partition, int] = {}
        self._floors: list[int] | None = None
        self._first_finals: dict[int, int] = {}
        self._truncated: frozenset[Partition] = frozenset()

    def begin(self) -> None:
        """A round begins; the ends of the partitions are taken after this call."""
        self.round += 1
        for shard in self.shards:
            shard.horizon = shard.newest

    def feed(self, message: Message) -> None:
        """The next record of its partition."""
        value = message.value
        if message.error is not None:
            self.findings.add("undecodable", message.topic, message.error, place=message.place)
        elif value is None:
            self._null(message)
        elif value["account"] == self._layout.account:
            self.read[message.topic] += 1
            self._feeds[message.topic](message, value)

    def settle(self, truncated: Collection[Partition] = ()) -> None:
        """Everything up to the horizon was fed. ``truncated``: partitions whose beginning is gone (first call)."""
        if self._floors is None:
            self._truncated = frozenset(truncated)
            self._floors = [self._floor(shard) for shard in range(self._layout.shards)]
        for shard, floor in zip(self.shards, self._floors, strict=True):
            shard.settle(floor, self.findings)
        self._dirty = {series for series in self._dirty if not self._settle(series)}

    # What is known beside the findings.

    @property
    def proven_through(self) -> int | None:
        """The oldest of the shards' newest complete_through: everything before it is proven; milliseconds."""
        known = [shard.proven for shard in self.shards]
        return None if None in known else min(one for one in known if one is not None)

    @property
    def open_gaps(self) -> int:
        """Series of which a gap is open."""
        return len(self._open)

    @property
    def updates(self) -> int:
        """Updates read."""
        return sum(self.read[topic] for topic in self._layout.metrics)

    # Feeding.

    def _update(self, message: Message, value: dict[str, Any]) -> None:
        self._placement.update(message, value)
        name, batch = value["series"], value["batch_id"]
        place = message.topic, message.partition
        last = self._last_batches.get(place)
        if last is None:
            self._first_batches[place] = batch
        elif batch < last:
            text = f"batch {batch} after batch {last} in partition {message.partition}"
            self.findings.add("batch_forked", name, text, place=message.place)
        self._last_batches[place] = max(batch, last or 0)
        shard = self._shard_of(message.partition)
        shard.feed_update(batch, value["received_at"], name, self.findings)
        self._touch(name).updates.feed(value, message.place, shard.horizon, self.findings)

    def _latest(self, message: Message, value: dict[str, Any]) -> None:
        self._placement.latest(message, value["series"])
        self._touch(value["series"]).feed_latest(value, self._shard_of_series(value).horizon)

    def _gap(self, message: Message, value: dict[str, Any]) -> None:
        self._placement.gap(message, value)
        if value["ended_at"] is not None:
            self._first_finals.setdefault(message.partition, value["ended_at"])
        self._touch(value["series"]).gaps.feed(value, message.place, self.round, self.findings)

    def _heartbeat(self, message: Message, value: dict[str, Any]) -> None:
        self._placement.heartbeat(message, value)
        self._shard_of(message.partition).feed_beat(value, message.partition, message.place, self.findings)

    def _row(self, message: Message, value: dict[str, Any]) -> None:
        self._placement.row(message, value)
        shard = self._shard_of(message.partition)
        shard.feed_row(value, message.place, self.findings)
        name = value["series"]
        if name == SHARD_ROW:
            return
        if value["last_sequence"] > 0 and value["partition"] is not None:
            place = value["topic"], value["partition"]
            self._row_batches[place] = max(self._row_batches.get(place, -1), value["batch_id"])
        self._touch(name).feed_row(Row.of(value), message.place, shard.horizon, self.findings)
        is_open = value.get("gap_started_at") is not None and value["state"] == "active"
        (self._open.add if is_open else self._open.discard)(name)

    def _null(self, message: Message) -> None:
        """Only latest has tombstones."""
        account, _, series = (message.key or b"").decode(errors="replace").partition("/")
        if message.topic != self._layout.latest:
            self.findings.add("undecodable", message.topic, "its value is null", place=message.place)
        elif account == self._layout.account:
            self.read[message.topic] += 1
            self._placement.latest(message, series)
            self._touch(series).feed_tombstone(self.round)

    def _touch(self, name: str) -> Series:
        series = self.series.get(name)
        if series is None:
            series = self.series[name] = Series(name)
        self._dirty.add(series)
        return series

    def _shard_of(self, partition: int) -> Shard:
        return self.shards[partition % self._layout.shards]

    def _partition_of(self, name: str) -> int:
        """The partition of a series in metrics and gaps."""
        count = self._layout.partitions[self._layout.gaps]
        return self._placement.partition(name.rpartition("|")[2] or "all", count)

    def _shard_of_series(self, value: dict[str, Any]) -> Shard:
        return self._shard_of(self._partition_of(value["series"]))

    # Settling.

    def _settle(self, series: Series) -> bool:
        partition = self._partition_of(series.name)
        at = partition % self._layout.shards
        assert self._floors is not None
        floor, horizon = self._floors[at], self.shards[at].horizon
        with_latest = self._layout.latest is not None
        cut = Cut(self.round, horizon, floor, self._gaps_since(partition), with_latest)
        return series.settle(cut, self.findings)

    def _gaps_since(self, partition: int) -> float:
        if self._since is None and (self._layout.gaps, partition) not in self._truncated:
            return float("-inf")
        if self._since is not None:
            return self._since
        return self._first_finals.get(partition, float("inf"))

    def _floor(self, shard: int) -> int:
        """Newest batch of the shard that may lack records in what was read; -1: none does."""
        if self._since is not None:
            first = self.shards[shard].beats.first
            return self.shards[shard].horizon if first is None else first
        return max((self._topic_floor(topic, shard) for topic in self._layout.metrics), default=-1)

    def _topic_floor(self, topic: str, shard: int) -> int:
        """A topic that was made anew begins later than the shard: what is before its first batch is not judged."""
        places = [(topic, at) for at in range(shard, self._layout.partitions[topic], self._layout.shards)]
        firsts = [self._first_batches[place] for place in places if place in self._first_batches]
        rows = [self._row_batches.get(place, -1) for place in places]
        whole = min(firsts) - 1 if firsts else max(rows, default=-1)
        cut = (
            self._first_batches.get(place, row)
            for place, row in zip(places, rows, strict=True)
            if place in self._truncated
        )
        return max(whole, *cut, -1)
