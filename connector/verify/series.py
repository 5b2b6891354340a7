"""One series: its updates, source offsets, gaps and latest record, and whether they agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from connector.verify.gaps import UNSUBSCRIBED, Gaps, epochs
from connector.verify.staged import Staged
from connector.verify.updates import Updates

if TYPE_CHECKING:
    from connector.verify.findings import Findings
    from connector.verify.updates import Newest, Step

REMOVED = "removed"


class Row(NamedTuple):
    """A source offset, as far as it is compared."""

    batch: int
    epoch: int
    sequence: int
    records: int
    removed: bool
    committed_at: int
    gap_started_at: int | None
    gap_reason: str | None

    @classmethod
    def of(cls, value: dict[str, Any]) -> Row:
        """The row of a series."""
        return cls(
            value["batch_id"],
            value["epoch"],
            value["last_sequence"],
            value["batch_records"],
            value["state"] == REMOVED,
            value["committed_at"],
            value.get("gap_started_at"),
            value.get("gap_reason"),
        )


class Latest(NamedTuple):
    """The record of a series in latest."""

    batch: int
    epoch: int
    sequence: int
    value: float | None


class Cut(NamedTuple):
    """Up to where the topics can be compared, at the end of one round."""

    round: int
    horizon: int
    """Newest batch of the shard that is readable in every partition."""
    floor: int
    """Batches above it are whole in what was read; older ones may lack records that retention deleted."""
    gaps_since: float
    """Gaps that ended after this instant (milliseconds) are in what was read."""
    with_latest: bool


class Series:
    """Compares what the topics say of one series."""

    __slots__ = ("_covered", "_removed_in", "_standing", "gaps", "latest", "name", "rows", "updates")

    def __init__(self, name: str) -> None:
        self.name = name
        self.updates = Updates()
        self.gaps = Gaps()
        self.rows: Staged[Row] = Staged()
        self.latest: Staged[Latest] = Staged()
        self._removed_in = 0
        """In which round the newest tombstone was read."""
        self._covered: tuple[int, int] | None = None
        """Epoch up to which rows were compared with gaps, and when it was known to last."""
        self._standing: set[str] = set()
        """Kinds that were reported and still hold: once is enough."""

    def feed_row(self, row: Row, place: str, horizon: int, findings: Findings) -> None:
        """The next source offset of the series."""
        before = self.rows.newest
        if before is None:
            self._covered = row.epoch, row.committed_at
        else:
            if row.epoch < before.epoch:
                text = f"source offset of epoch {row.epoch} after one of epoch {before.epoch}"
                findings.add("epoch_rewind", self.name, text, place=place)
            if row.sequence < before.sequence:
                text = f"source offset fell from sequence {before.sequence} to {row.sequence}"
                findings.add("offset_behind", self.name, text, place=place)
        self.rows.put(row, horizon)

    def feed_latest(self, value: dict[str, Any], horizon: int) -> None:
        """The next record of latest."""
        self.latest.put(Latest(value["batch_id"], value["epoch"], value["sequence"], value["value"]), horizon)

    def feed_tombstone(self, round_: int) -> None:
        """The series was removed from latest, in a batch that the tombstone does not tell."""
        self.latest.clear()
        self._removed_in = round_

    def settle(self, cut: Cut, findings: Findings) -> bool:
        """Compare everything up to the horizon; True if nothing is left to compare."""
        self.updates.staged.promote(cut.horizon)
        self.rows.promote(cut.horizon)
        self.latest.promote(cut.horizon)
        self.updates.settle(self.name, findings)
        self._settle_first(findings)
        for step in self.updates.take_steps(cut.horizon):
            self._settle_step(step, cut, findings)
        self._settle_rows(cut, findings)
        self._settle_open_gap(cut, findings)
        self._settle_gaps(cut, findings)
        self._stand(findings, *self._offset_problem(cut), kinds=("offset_ahead", "offset_behind", "batch_mismatch"))
        if cut.with_latest and self._removed_in < cut.round:
            self._stand(findings, *self._latest_problem(), kinds=("latest_differs",))
        waiting = self.updates.staged.ahead or self.rows.ahead or self.latest.ahead or self.updates.steps
        return not waiting and self.gaps.round < cut.round and self._removed_in < cut.round

    # Epochs and gaps.

    def _settle_first(self, findings: Findings) -> None:
        """Gaps up to the epoch of the baseline ended before its sequence."""
        first = self.updates.first
        if first is None:
            return
        for run in self.gaps.take(first.epoch):
            if run.sequence >= first.sequence or run.last > first.epoch:
                text = (
                    f"gap of {epochs(run.first, run.last)} says the old epoch ended with sequence {run.sequence};"
                    f" metrics begins with sequence {first.sequence} of epoch {first.epoch}"
                )
                findings.add("gap_mismatch", self.name, text, place=run.place)

    def _settle_step(self, step: Step, cut: Cut, findings: Findings) -> None:
        self._require_gaps(step.before, step.after, step.known_at, cut, findings, step.place)
        for run in self.gaps.take(step.after):
            within = step.sequence_before <= run.sequence < max(step.sequence_after, step.sequence_before + 1)
            if run.last > step.before and not within:
                text = (
                    f"gap of {epochs(run.first, run.last)} says the old epoch ended with sequence {run.sequence};"
                    f" metrics says {step.sequence_before}"
                )
                findings.add("gap_mismatch", self.name, text, place=run.place)

    def _settle_rows(self, cut: Cut, findings: Findings) -> None:
        row, newest, first = self.rows.settled, self.updates.staged.settled, self.updates.first
        if row is None or self._covered is None:
            return
        if first is not None and first.epoch > self._covered[0] and first.batch <= cut.horizon:
            # The series was known before its first update, which came in a later epoch.
            self._require_gaps(*self._covered_to(first.epoch, first.received_at), cut, findings)
        if newest is not None and newest.epoch >= self._covered[0]:
            self._covered = newest.epoch, newest.received_at
        if row.epoch > self._covered[0]:
            self._require_gaps(*self._covered_to(row.epoch, row.committed_at), cut, findings)

    def _covered_to(self, epoch: int, at: int) -> tuple[int, int, int]:
        """Move on to an epoch: the one before, this one, and when the one before was known to last."""
        assert self._covered is not None
        before, known_at = self._covered
        self._covered = epoch, at
        return before, epoch, known_at

    def _require_gaps(
        self, before: int, after: int, known_at: int, cut: Cut, findings: Findings, place: str | None = None
    ) -> None:
        for first, last, retained in self.gaps.missing(before, after):
            if retained or known_at > cut.gaps_since:
                text = f"{epochs(first, last)} began without a final gap"
                findings.add("undeclared_gap", self.name, text, count=last - first + 1, place=place)
                self.gaps.reported(last)

    def _settle_open_gap(self, cut: Cut, findings: Findings) -> None:
        """A row that names an open gap comes with an open record; a retired series declares its gap on return."""
        row = self.rows.settled
        undeclared = (
            row is not None
            and not row.removed
            and row.gap_started_at is not None
            and row.gap_started_at > cut.gaps_since
            and self.gaps.open_epoch <= row.epoch
            and (self.gaps.newest or 0) <= row.epoch
        )
        text = f"a gap is open since epoch {row.epoch}, but no record says so" if row is not None else ""
        self._stand(findings, "undeclared_gap" if undeclared else None, text, kinds=("undeclared_gap",))

    def _settle_gaps(self, cut: Cut, findings: Findings) -> None:
        gaps, newest = self.gaps, self.updates.staged.settled
        if newest is not None:
            self._settle_quiet_gaps(newest, cut, findings)
        row = self.rows.newest
        early = gaps.newest is not None and gaps.round < cut.round and (row is None or row.epoch < gaps.newest)
        text = f"final gap of epoch {gaps.newest}, but its source offset is in epoch {row.epoch if row else 'none'}"
        self._stand(findings, "gap_without_step" if early else None, text, kinds=("gap_without_step",))

    def _settle_quiet_gaps(self, newest: Newest, cut: Cut, findings: Findings) -> None:
        """Gaps behind the newest update: they end after its sequence, or after one that is not yet readable."""
        known = self.updates.staged.newest
        assert known is not None
        judged = [run for run in self.gaps.runs if run.first > newest.epoch and run.round < cut.round]
        for run in judged:
            if not newest.sequence <= run.sequence <= known.sequence:
                text = f"gap of {epochs(run.first, run.last)} ends after sequence {run.sequence}, not {newest.sequence}"
                findings.add("gap_mismatch", self.name, text, place=run.place)
                self.gaps.runs.remove(run)

    # Offsets and latest.

    def _offset_problem(self, cut: Cut) -> tuple[str | None, str]:
        row, newest = self.rows.settled, self.updates.staged.settled
        if newest is None:
            ahead = row is not None and row.records > 0 and row.batch > cut.floor
            text = f"source offset names sequence {row.sequence}; metrics has none" if row is not None else ""
            return ("offset_ahead" if ahead else None), text
        if row is None or row.batch < newest.batch:
            # Compaction may have taken the row in between.
            kind = None if self.rows.ahead else "offset_behind"
            known = "no source offset" if row is None else f"source offset of sequence {row.sequence}"
            return kind, f"{known}; metrics is at sequence {newest.sequence} in batch {newest.batch}"
        text = f"source offset: epoch {row.epoch} sequence {row.sequence}; metrics: {newest.epoch} {newest.sequence}"
        if row.sequence > newest.sequence:
            return "offset_ahead", text
        if row.sequence < newest.sequence or row.epoch < newest.epoch:
            return "offset_behind", text
        records = newest.records if row.batch == newest.batch else 0
        wrong = row.records != records and row.batch > cut.floor
        text = f"batch {row.batch} has {records} records of the series, its source offset says {row.records}"
        return ("batch_mismatch" if wrong else None), text

    def _latest_problem(self) -> tuple[str | None, str]:
        newest, latest = self.updates.staged.settled, self.latest.settled
        if newest is None or (self.latest.ahead and (latest is None or latest.batch < newest.batch)):
            return None, ""
        if latest is None:
            rows = [one for one in (self.rows.settled, *self.rows.ahead) if one is not None]
            retired = not rows or any(row.removed or row.gap_reason == UNSUBSCRIBED for row in rows)
            gone = retired or self.gaps.unsubscribed >= newest.epoch
            return (None if gone else "latest_differs"), f"absent from latest; metrics is at sequence {newest.sequence}"
        settled = self.rows.settled
        if settled is not None and settled.removed and latest.batch <= settled.batch:
            return "latest_differs", "retired, but still in latest"
        same = (latest.epoch, latest.sequence, latest.value) == (newest.epoch, newest.sequence, newest.value)
        return (None if same else "latest_differs"), f"latest: sequence {latest.sequence}; metrics: {newest.sequence}"

    def _stand(self, findings: Findings, kind: str | None, text: str, *, kinds: tuple[str, ...]) -> None:
        """Report a problem when it appears, not in each round."""
        self._standing.difference_update(set(kinds) - {kind})
        if kind is not None and kind not in self._standing:
            self._standing.add(kind)
            findings.add(kind, self.name, text)
