"""The parts of a status: where a series, a shard and the session stand. Times: wall clock, microseconds."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from connector.domain.events import Acquired
    from connector.domain.model import Beat, Entry, OpenGap, Series, SourceOffset

POINTS: Final = 30
"""Values that a sparkline keeps, at most one for each second."""


class Row:
    """One series of an owned shard, as of its newest committed item. ``changed``: `Status.version` of that commit."""

    __slots__ = (
        *("_second", "changed", "epoch", "gap", "name", "points", "received_us", "sequence", "series", "shard"),
        "value",
    )

    def __init__(self, series: Series, shard: int) -> None:
        self.series = series
        self.name = series.name
        self.shard = shard
        self.value: float | None = None
        self.sequence = 0
        self.epoch = 0
        self.received_us: int | None = None
        self.gap: OpenGap | None = None
        self.points: deque[float | None] = deque(maxlen=POINTS)
        self.changed = 0
        self._second = 0

    def take(self, entry: Entry, version: int) -> None:
        """The newest update of the series in a batch."""
        self.value = entry.value
        self.sequence = entry.sequence
        self.epoch = entry.epoch
        self.received_us = entry.received_us
        self.changed = version
        second = entry.received_us // 1_000_000
        if second == self._second:
            self.points[-1] = entry.value
        else:
            self._second = second
            self.points.append(entry.value)

    def stand(self, offset: SourceOffset, version: int) -> None:
        """Where the series stands by its row in the offsets; its newest value may come in the same batch."""
        self.epoch = offset.epoch
        self.gap = offset.gap
        self.changed = version
        if offset.sequence >= self.sequence:
            self.sequence = offset.sequence
            self.value = offset.value
            self.received_us = offset.received_us


class Shard:
    """A shard that this replica owns."""

    __slots__ = ("acquired_us", "batch_id", "beat", "number", "owner_epoch", "through_us")

    def __init__(self, event: Acquired) -> None:
        self.number = event.shard
        self.owner_epoch = event.owner_epoch
        self.acquired_us = event.at_us
        self.batch_id = 0
        self.through_us: int | None = None
        self.beat: Beat | None = None

    def silent_us(self, now_us: int) -> int:
        """Microseconds since the newest committed heartbeat; before the first, since the shard was acquired."""
        return now_us - (self.acquired_us if self.beat is None else self.beat.emitted_us)


class Commit(NamedTuple):
    """One transaction. ``latency_us``: from the receipt of its oldest update until it was committed."""

    at_us: int
    shard: int
    batch_id: int
    updates: int
    seconds: float
    latency_us: int | None


class Letter(NamedTuple):
    """A committed dead letter, without its payload: that is customer data and stands in the topic."""

    at_us: int
    reason: str
    stage: str
    size: int
    series: tuple[Series, ...]
    session_id: str
    frame: int


class Link(NamedTuple):
    """The open session."""

    session_id: str
    opened_us: int
    rtt_ms: float | None = None
    ponged_us: int | None = None


class Trouble(NamedTuple):
    """What does not work, since when, how often it was tried, and the newest message."""

    since_us: int
    times: int
    reason: str
    message: str
    retry_us: int | None = None
