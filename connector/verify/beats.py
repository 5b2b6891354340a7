"""The heartbeats of one shard against each other and against the updates counted between them."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from connector.verify.staged import Staged

if TYPE_CHECKING:
    from connector.verify.findings import Findings

_PENDING: Final = 100_000
"""Batches whose heartbeat is not known yet; older ones are given up, and the spans that hold them."""


class Beat(NamedTuple):
    """A heartbeat of one partition, as far as it is compared."""

    batch: int
    """The transaction that carried it: one more than its ``batch_id``."""
    seq: int
    complete_through: int


class Mark(NamedTuple):
    """A heartbeat of the shard: where a span of batches ends."""

    batch: int
    owner_epoch: int
    complete_through: int
    records_total: int


class Line:
    """The heartbeats of one partition: no hole, no repeat, time does not fall."""

    __slots__ = ("newest", "staged")

    def __init__(self) -> None:
        self.newest: Beat | None = None
        self.staged: Staged[Beat] = Staged()

    def feed(self, beat: Beat, subject: str, place: str, horizon: int, findings: Findings) -> None:
        """The next heartbeat of the partition."""
        before, self.newest = self.newest, beat
        self.staged.put(beat, horizon)
        if before is None:
            return
        missing = beat.seq - before.seq - 1
        if missing > 0:
            text = f"heartbeat_seq {before.seq} is followed by {beat.seq}"
            findings.add("heartbeat_hole", subject, text, count=missing, place=place)
        elif missing < 0:
            text = f"heartbeat_seq {beat.seq} after {before.seq}"
            findings.add("heartbeat_repeated", subject, text, place=place)
        if beat.batch <= before.batch:
            text = f"batch_id {beat.batch - 1} of heartbeat {beat.seq} does not exceed {before.batch - 1} before it"
            findings.add("batch_forked", subject, text, place=place)
        if beat.complete_through < before.complete_through:
            text = (
                f"complete_through of heartbeat {beat.seq} is {before.complete_through - beat.complete_through} ms back"
            )
            findings.add("watermark_fell", subject, text, place=place)


class Beats:
    """Counts updates into the spans between heartbeats, and finds late ones."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._marks: list[Mark] = []
        self._batches: list[int] = []
        self._counts: list[int] = []
        self._pending: dict[int, tuple[int, int, str]] = {}
        """By batch: updates, earliest receipt, whose it is."""
        self._given_up = -1
        self._balance = (0, 0)
        """Owner epoch and what its newest heartbeat was off by."""

    @property
    def first(self) -> int | None:
        """Batch of the oldest heartbeat that is kept."""
        return self._batches[0] if self._batches else None

    def feed(self, value: dict[str, Any], place: str, findings: Findings) -> None:
        """A heartbeat of the shard; those of its other partitions tell nothing new."""
        batch = value["batch_id"] + 1
        if self._batches and batch <= self._batches[-1]:
            return
        self._marks.append(Mark(batch, value["owner_epoch"], value["complete_through"], value["records_total"]))
        self._batches.append(batch)
        self._counts.append(0)
        self._weigh(value, place, findings)

    def count(self, batch: int, received_at: int, subject: str, findings: Findings) -> None:
        """An update was read."""
        if self._batches and batch <= self._batches[-1]:
            self._fold(batch, 1, received_at, subject, findings)
            return
        pending = self._pending.get(batch)
        if pending is None:
            self._pending[batch] = (1, received_at, subject)
            if len(self._pending) > _PENDING:
                self._given_up = next(iter(self._pending))
                del self._pending[self._given_up]
        elif received_at < pending[1]:
            self._pending[batch] = (pending[0] + 1, received_at, subject)
        else:
            self._pending[batch] = (pending[0] + 1, pending[1], pending[2])

    def settle(self, horizon: int, floor: int, findings: Findings) -> None:
        """Compare the spans that end at or below the horizon, then forget them."""
        newest = self._batches[-1] if self._batches else -1
        for batch in [batch for batch in self._pending if batch <= newest]:
            self._fold(batch, *self._pending.pop(batch), findings)
        reached = bisect_left(self._batches, horizon + 1)
        for at in range(1, reached):
            self._compare(self._marks[at - 1], self._marks[at], self._counts[at], floor, findings)
        kept = max(0, reached - 1)
        del self._marks[:kept], self._batches[:kept], self._counts[:kept]

    def _fold(self, batch: int, count: int, received_at: int, subject: str, findings: Findings) -> None:
        at = bisect_left(self._batches, batch)
        if at == 0:
            return
        self._counts[at] += count
        before = self._marks[at - 1]
        if received_at < before.complete_through:
            behind = before.complete_through - received_at
            text = f"an update in batch {batch} is {behind} ms older than the complete_through in batch {before.batch}"
            findings.add("late", subject, text)

    def _compare(self, before: Mark, after: Mark, counted: int, floor: int, findings: Findings) -> None:
        if before.owner_epoch != after.owner_epoch or before.batch < max(floor, self._given_up):
            return
        said = after.records_total - before.records_total
        if said != counted:
            text = f"batches {before.batch + 1} to {after.batch}: heartbeats say {said} updates, metrics has {counted}"
            findings.add("miscounted", self._subject, text, count=abs(said - counted))

    def _weigh(self, value: dict[str, Any], place: str, findings: Findings) -> None:
        """Received = records + suppressed + dead letters + dropped + waiting; a fault stays, so only changes count."""
        kept = value["records_total"] + value["repeats_suppressed_total"] + value["dead_letters_total"]
        off = value["values_received_total"] - kept - value["dropped_total"] - value["waiting"]
        epoch, before = self._balance
        known = before if epoch == value["owner_epoch"] else 0
        self._balance = value["owner_epoch"], off
        if off != known:
            what = "received, but not accounted for" if off > 0 else "accounted for, but not received"
            text = f"heartbeat {value['heartbeat_seq']}: {abs(off)} values {what}"
            findings.add("unbalanced", self._subject, text, count=abs(off - known), place=place)
