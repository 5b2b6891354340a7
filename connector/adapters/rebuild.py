"""Progress of a shard whose rows are gone, all or some: put together from what the other topics still tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.domain.model import OpenGap, Progress, Series, ShardState, SourceOffset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from confluent_kafka import Message

    from connector.adapters.scan import Place, Scan
    from connector.domain.topics import Topics

    Offsets = dict[Series, SourceOffset]

BEATS_BACK = 50
"""How many of the newest offsets of a heartbeats partition are read to find its newest heartbeat."""


UNDERWAY = 60.0
"""Seconds, at least, that a value may have been on its way; the clocks of the replicas differ by less."""


class Rebuild:
    """Reads latest, metrics, gaps and the newest heartbeat, over a scan that is open.

    Args:
        decode: framed Avro bytes to a dict, for any registered version.
        metrics: places of the shard in the metrics topics; ``gaps`` has the same partitions.
        mine: true for a series of this shard.
        underway: seconds after which a value on its way is not received any more: the session's pings fail before.
    """

    def __init__(
        self,
        scan: Scan,
        decode: Callable[[bytes], dict[str, Any]],
        *,
        account: str,
        topics: Topics,
        metrics: Sequence[Place],
        shard: int,
        mine: Callable[[Series], bool],
        latest_partitions: int,
        underway: float,
    ) -> None:
        self._scan = scan
        self._decode = decode
        self._account = account
        self._topics = topics
        self._metrics = metrics
        self._shard = shard
        self._mine = mine
        self._latest_partitions = latest_partitions
        self._underway_us = round(max(underway, UNDERWAY) * 1_000_000)

    def progress(self, offsets: Offsets, shard: ShardState) -> Progress:
        """What is known, with the rows that are left: they were the newest of their series.

        Args:
            offsets: by series, from the rows that are left; it is added to.
            shard: from the shard row; that of a first start if it is gone.
        """
        trusted = set(offsets)
        beat = self._newest_beat()
        low, high = self._scan.bounds((self._topics.offsets, self._shard))
        live, updates = self._updates(had_past=beat is not None or high > 0)
        batch_id = shard.batch_id
        for update in updates:
            batch_id = max(batch_id, update["batch_id"])
            advance(offsets, update)
        for gap in self._gaps() if offsets or beat is not None else ():
            if Series.parse(gap["series"]) not in trusted:
                reopen(offsets, gap)
        state = _shard(shard, beat, batch_id)
        through_us = state.complete_through_us
        lost = {one: self._since(offsets[one], one in live, through_us) for one in offsets if one not in trusted}
        return Progress(state, offsets, lost, incomplete=beat is not None or low > 0)

    def _since(self, offset: SourceOffset, live: bool, through_us: int) -> int:  # noqa: FBT001 - one of three facts
        """Since when the series may have missed something: unless latest has it, it was perhaps retired long ago."""
        if offset.received_us is None or (live and through_us):
            return through_us
        received_us = max(0, offset.received_us - self._underway_us)
        return min(received_us, through_us or received_us)

    def _updates(self, *, had_past: bool) -> tuple[set[Series], list[dict[str, Any]]]:
        """Series with a current value in latest, and all updates of the shard; metrics may be long to read."""
        live: list[dict[str, Any]] = []
        latest = self._topics.latest
        if latest is not None:
            newest: dict[bytes, bytes | None] = {}
            for message in self._scan.read({(latest, at): 0 for at in range(self._latest_partitions)}):
                newest[message.key() or b""] = message.value()
            live = list(self._ours(filter(None, newest.values())))
        known = {Series.parse(update["series"]) for update in live}
        if latest is not None and not live and not had_past:
            return known, live
        return known, live + list(self._ours(self._values(self._metrics)))

    def _gaps(self) -> Iterator[dict[str, Any]]:
        partitions = sorted({partition for _, partition in self._metrics})
        return self._ours(self._values([(self._topics.gaps, one) for one in partitions]))

    def _values(self, places: Iterable[Place]) -> Iterator[bytes]:
        return (value for message in self._scan.read(dict.fromkeys(places, 0)) if (value := message.value()))

    def _ours(self, values: Iterable[bytes]) -> Iterator[dict[str, Any]]:
        for value in map(self._decode, values):
            if value["account"] == self._account and self._mine(Series.parse(value["series"])):
                yield value

    def _newest_beat(self) -> dict[str, Any] | None:
        place = self._topics.heartbeats, self._shard
        low, high = self._scan.bounds(place)
        newest: Message | None = None
        for message in self._scan.read({place: max(low, high - BEATS_BACK)}):
            newest = message
        beat = None if newest is None else self._decode(newest.value() or b"")
        return beat if beat is not None and beat["account"] == self._account else None


def _shard(shard: ShardState, beat: Mapping[str, Any] | None, batch_id: int) -> ShardState:
    """The shard as the newest heartbeat tells, if its row is gone.

    The number of a batch that had neither an update nor a heartbeat is given again: nothing that is left bears it.
    """
    if shard.batch_id:
        return shard
    if beat is None:
        return ShardState(batch_id=batch_id)
    through_us = beat["complete_through"] * 1000
    batch_id = max(batch_id, beat["batch_id"] + 1)
    return ShardState(beat["owner"], beat["owner_epoch"], batch_id, beat["heartbeat_seq"], through_us)


def advance(offsets: Offsets, update: Mapping[str, Any]) -> None:
    """Take over what a record of metrics or latest says beyond the known offset of its series."""
    series = Series.parse(update["series"])
    known = offsets.get(series)
    if known is None or update["sequence"] > known.sequence:
        offsets[series] = SourceOffset(
            series,
            "active",
            max(update["epoch"], known.epoch if known else 0),
            update["sequence"],
            update["value"],
            update["value_raw"],
            update["received_at_us"] or update["received_at"] * 1000,
            update["session_id"],
        )


def reopen(offsets: Offsets, gap: Mapping[str, Any]) -> None:
    """Take over what a record of gaps says beyond the known offset of its series: an epoch, or an open gap."""
    series = Series.parse(gap["series"])
    known = offsets.get(series, SourceOffset(series, "active", 1, 0))
    ended = gap["ended_at"] is not None
    epoch = max(known.epoch, gap["epoch_after"] if ended else gap["epoch_before"])
    still = known.gap
    if not ended and gap["epoch_before"] == epoch:
        still = OpenGap(gap["started_at"] * 1000, gap["reason"], gap["detail"])
    elif epoch > known.epoch:
        still = None
    offsets[series] = SourceOffset(
        series, known.state, epoch, known.sequence, known.value, known.raw, known.received_us, known.session_id, still
    )
