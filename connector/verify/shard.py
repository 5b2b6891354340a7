"""One shard: its batches, owners and heartbeats."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Any, Final

from connector.verify.beats import Beat, Beats, Line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connector.verify.findings import Findings

_KEPT: Final = 100_000
"""Newest batches whose rows are compared with the records in metrics."""


class Owners:
    """Which batches each owner epoch wrote: their spans neither meet nor change order."""

    def __init__(self) -> None:
        self._spans: dict[int, list[int]] = {}
        self._epochs: list[int] = []

    def note(self, batch: int, owner_epoch: int) -> str | None:
        """A record names both; the problem, if there is one."""
        span = self._spans.get(owner_epoch)
        if span is not None and span[0] <= batch <= span[1]:
            return None
        at = bisect_left(self._epochs, owner_epoch)
        after = at if span is None else at + 1
        if at > 0 and batch <= self._spans[self._epochs[at - 1]][1]:
            return f"batch {batch} of owner epoch {owner_epoch} belongs to owner epoch {self._epochs[at - 1]}"
        if after < len(self._epochs) and batch >= self._spans[self._epochs[after]][0]:
            return f"batch {batch} of owner epoch {owner_epoch} belongs to owner epoch {self._epochs[after]}"
        if span is None:
            self._spans[owner_epoch] = [batch, batch]
            insort(self._epochs, owner_epoch)
        else:
            span[:] = min(batch, span[0]), max(batch, span[1])
        return None


class Shard:
    """What is remembered of a shard."""

    def __init__(self, number: int, partitions: Iterable[int]) -> None:
        self.subject = f"shard {number}"
        self.horizon = -1
        """Newest batch that is readable in every partition, once this round has ended."""
        self.newest = -1
        """Newest batch of which anything was read."""
        self.proven: int | None = None
        """Newest complete_through, milliseconds."""
        self.beats = Beats(self.subject)
        self.lines = {partition: Line() for partition in partitions}
        self._owners = Owners()
        self._totals: dict[int, int] = {}
        """By batch: updates that its row says it holds."""
        self._seen: dict[int, int] = {}
        """By batch: updates that were read."""
        self._newest_row = -1
        self._short: set[int] = set()
        """Partitions whose heartbeats stopped and were reported."""

    def feed_row(self, value: dict[str, Any], place: str, findings: Findings) -> None:
        """Any row of the shard's partition of offsets, in order."""
        batch = value["batch_id"]
        if batch < self._newest_row:
            text = f"row of batch {batch} after one of batch {self._newest_row}"
            findings.add("batch_forked", self.subject, text, place=place)
        self._newest_row = max(self._newest_row, batch)
        self._note(batch, value["owner_epoch"], place, findings)
        self._totals[batch] = value["batch_records_total"]
        if len(self._totals) > _KEPT:
            del self._totals[next(iter(self._totals))]

    def feed_beat(self, value: dict[str, Any], partition: int, place: str, findings: Findings) -> None:
        """A heartbeat of one of the shard's partitions."""
        beat = Beat(value["batch_id"] + 1, value["heartbeat_seq"], value["complete_through"])
        self.lines[partition].feed(beat, f"heartbeats of partition {partition}", place, self.horizon, findings)
        self._note(beat.batch, value["owner_epoch"], place, findings)
        self.proven = max(self.proven or 0, beat.complete_through)
        self.beats.feed(value, place, findings)

    def feed_update(self, batch: int, received_at: int, subject: str, findings: Findings) -> None:
        """An update of the shard."""
        self.newest = max(self.newest, batch)
        self.beats.count(batch, received_at, subject, findings)
        if batch in self._totals or batch > self._newest_row:
            self._seen[batch] = self._seen.get(batch, 0) + 1
            if len(self._seen) > _KEPT:
                del self._seen[next(iter(self._seen))]

    def settle(self, floor: int, findings: Findings) -> None:
        """Compare everything up to the horizon."""
        self.beats.settle(self.horizon, floor, findings)
        self._settle_totals(floor, findings)
        self._settle_lines(findings)

    def _note(self, batch: int, owner_epoch: int, place: str, findings: Findings) -> None:
        self.newest = max(self.newest, batch)
        problem = self._owners.note(batch, owner_epoch)
        if problem is not None:
            findings.add("batch_forked", self.subject, problem, place=place)

    def _settle_totals(self, floor: int, findings: Findings) -> None:
        for batch in [batch for batch in self._totals if batch <= self.horizon]:
            said = self._totals.pop(batch)
            counted = self._seen.pop(batch, 0)
            if said != counted and batch > floor:
                text = f"batch {batch}: its row says {said} updates, metrics has {counted}"
                findings.add("batch_mismatch", self.subject, text, count=abs(said - counted))
        for batch in [batch for batch in self._seen if batch <= self.horizon]:
            del self._seen[batch]

    def _settle_lines(self, findings: Findings) -> None:
        """Every partition has the beats of the shard: a hole at the end shows only beside the others."""
        for line in self.lines.values():
            line.staged.promote(self.horizon)
        settled = {at: line.staged.settled for at, line in self.lines.items()}
        reached = {at: beat.seq if beat is not None else 0 for at, beat in settled.items()}
        newest = max(reached.values(), default=0)
        short = {at for at, seq in reached.items() if seq < newest}
        for at in sorted(short - self._short):
            ends = f"heartbeat_seq ends with {reached[at]}" if reached[at] else "no heartbeat"
            missing = newest - reached[at] if reached[at] else 1
            text = f"{ends}; other partitions of the shard are at {newest}"
            findings.add("heartbeat_hole", f"heartbeats of partition {at}", text, count=missing)
        self._short = short
