"""Where one update is, how it came there, and what stands around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.errors import ConfigError
from connector.verify.murmur import partition_of

if TYPE_CHECKING:
    from connector.verify.checks import Layout
    from connector.verify.findings import Message
    from connector.verify.reader import Reader

_SHOWN = ("event_id", "series", "sequence", "epoch", "value_raw", "origin", "received_at", "session_id", "frame")


class Explanation:
    """Collects what belongs to one ``event_id``; feed it the metrics first.

    Raises:
        ConfigError: the text is no event_id of the account.
    """

    def __init__(self, event_id: str, layout: Layout) -> None:
        parts = event_id.split("/")
        if len(parts) != 4 or parts[0] != layout.account or not (parts[2] + parts[3]).isdecimal():
            remedy = f"write {layout.account}/series/epoch/sequence, as in field event_id"
            raise ConfigError(f"--explain {event_id}: no event_id of account {layout.account}; {remedy}")
        self.event_id = event_id
        self.series, self.epoch = parts[1], int(parts[2])
        self.partition = partition_of(
            (self.series.rpartition("|")[2] or "all").encode(), layout.partitions[layout.gaps]
        )
        self._layout = layout
        self._records: list[Message] = []
        self._gaps: dict[str, dict[str, Any]] = {}
        self._beats: list[tuple[str, dict[str, Any]]] = []

    @property
    def found(self) -> bool:
        """True if the record was read."""
        return bool(self._records)

    def read(self, reader: Reader, since_ms: int | None) -> None:
        """Read the one partition of metrics, then those of gaps and heartbeats."""
        layout = self._layout
        reader.add([(topic, self.partition) for topic in sorted(layout.metrics)], since_ms)
        reader.read(self.feed)
        if self.found:
            reader.add([(layout.gaps, self.partition), (layout.heartbeats, self.partition)])
            reader.read(self.feed)

    def feed(self, message: Message) -> None:
        """Any record of the partition."""
        value = message.value
        if value is None or value["account"] != self._layout.account:
            return
        if message.topic in self._layout.metrics:
            if value["event_id"] == self.event_id:
                self._records.append(message)
        elif message.topic == self._layout.gaps:
            self._feed_gap(value)
        elif message.topic == self._layout.heartbeats and self._records:
            self._feed_beat(message.place, value)

    def as_json(self) -> dict[str, Any]:
        """Everything that was found."""
        return {
            "event_id": self.event_id,
            "found": self.found,
            "records": [self._record(message) for message in self._records],
            "gap_before": self._gaps.get("before"),
            "gap_after": self._gaps.get("after"),
            "heartbeat_before": self._beat(-1),
            "heartbeat_with_or_after": self._beat(1),
        }

    def _record(self, message: Message) -> dict[str, Any]:
        value = message.value
        assert value is not None
        account = self._layout.account
        return {
            "topic": message.topic,
            "partition": message.partition,
            "offset": message.offset,
            "key": None if message.key is None else message.key.decode(errors="replace"),
            "timestamp": message.timestamp,
            **{name: value[name] for name in _SHOWN},
            "batch_id": value["batch_id"],
            "transaction": f"batch {value['batch_id']} of shard {message.partition % self._layout.shards} of {account}",
        }

    def _feed_gap(self, gap: dict[str, Any]) -> None:
        """The final record of a gap replaces its open one."""
        which = {self.epoch: "before", self.epoch + 1: "after"}.get(gap["epoch_after"])
        if gap["series"] == self.series and which is not None:
            self._gaps[which] = gap

    def _feed_beat(self, place: str, beat: dict[str, Any]) -> None:
        """Keep the last heartbeat before the record's transaction and the first with or after it."""
        value = self._records[0].value
        assert value is not None
        later = beat["batch_id"] + 1 >= value["batch_id"]
        if not later:
            self._beats[:] = [(place, beat)]
        elif not any(known["batch_id"] + 1 >= value["batch_id"] for _, known in self._beats):
            self._beats.append((place, beat))

    def _beat(self, side: int) -> dict[str, Any] | None:
        value = self._records[0].value if self._records else None
        for place, beat in self._beats:
            if value is not None and (beat["batch_id"] + 1 >= value["batch_id"]) == (side > 0):
                names = ("owner", "owner_epoch", "heartbeat_seq", "batch_id", "complete_through", "state")
                return {"place": place, **{name: beat[name] for name in names}}
        return None
