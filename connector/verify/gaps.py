"""The gap records of one series: each epoch step has exactly one final gap that fits the data around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.verify.findings import Findings

UNSUBSCRIBED = "unsubscribed"


class Run(NamedTuple):
    """Consecutive final gaps between which no update was written, not yet compared with metrics."""

    first: int
    last: int
    """Epochs that began with the first and the last of them."""
    sequence: int
    """``last_sequence_before`` of all of them."""
    round: int
    place: str


class Gaps:
    """Final and open gaps of a series, in the order of the log."""

    __slots__ = ("first", "newest", "open_epoch", "open_record", "round", "runs", "unsubscribed")

    def __init__(self) -> None:
        self.first: int | None = None
        """``epoch_after`` of the first final gap that was read: the baseline."""
        self.newest: int | None = None
        self.round = 0
        """In which round the newest final gap was read."""
        self.runs: list[Run] = []
        self.open_epoch = 0
        """``epoch_after`` of the newest open record."""
        self.open_record: tuple[int, int] | None = None
        """Its ``started_at`` and ``last_sequence_before``, until the final one."""
        self.unsubscribed = -1
        """Epoch in which the series was retired most recently."""

    def feed(self, gap: dict[str, Any], place: str, round_: int, findings: Findings) -> None:
        """The next gap record of the series."""
        if gap["reason"] == UNSUBSCRIBED:
            self.unsubscribed = max(self.unsubscribed, gap["epoch_before"])
        if gap["ended_at"] is None:
            self.open_epoch = gap["epoch_after"]
            self.open_record = gap["started_at"], gap["last_sequence_before"]
            return
        for problem in _problems(gap):
            findings.add("gap_mismatch", gap["series"], problem, place=place)
        if self._is_new(gap, place, findings):
            self._follows_open(gap, place, findings)
            self._note(gap, place, round_)

    def missing(self, before: int, after: int) -> Iterator[tuple[int, int, bool]]:
        """Spans of epochs of a step from ``before`` to ``after`` without a final gap.

        The third part is True if such a gap cannot lie before retention, since an earlier one of the series was
        read. Holes between the gaps that were read are found by `feed`.
        """
        if self.first is None or self.newest is None:
            if after > before:
                yield before + 1, after, False
            return
        if before + 1 < self.first:
            yield before + 1, min(after, self.first - 1), False
        if after > self.newest:
            yield max(before, self.newest) + 1, after, True

    def reported(self, through: int) -> None:
        """Missing gaps up to an epoch were reported: `feed` need not find them again."""
        if self.newest is not None:
            self.newest = max(self.newest, through)

    def take(self, through: int) -> list[Run]:
        """The runs that begin at or below an epoch; they are not kept any longer."""
        taken = [run for run in self.runs if run.first <= through]
        if taken:
            self.runs = [run for run in self.runs if run.first > through]
        return taken

    def _is_new(self, gap: dict[str, Any], place: str, findings: Findings) -> bool:
        after = gap["epoch_after"]
        if self.newest is None:
            return True
        if after <= self.newest:
            text = f"final gap of epoch {after} once more, or behind that of epoch {self.newest}"
            findings.add("gap_repeated", gap["series"], text, place=place)
            return False
        if after > self.newest + 1:
            text = f"no final gap for {epochs(self.newest + 1, after - 1)}, though one for epoch {after}"
            findings.add("undeclared_gap", gap["series"], text, count=after - self.newest - 1, place=place)
        return True

    def _follows_open(self, gap: dict[str, Any], place: str, findings: Findings) -> None:
        record, self.open_record = self.open_record, None
        if record is None or self.open_epoch != gap["epoch_after"]:
            return
        started, sequence = record
        if gap["started_at"] > started or gap["last_sequence_before"] != sequence:
            text = f"final gap of epoch {gap['epoch_after']} starts later, or after another sequence, than its open one"
            findings.add("gap_mismatch", gap["series"], text, place=place)

    def _note(self, gap: dict[str, Any], place: str, round_: int) -> None:
        after, sequence = gap["epoch_after"], gap["last_sequence_before"]
        self.first = after if self.first is None else self.first
        self.newest = after
        self.round = round_
        last = self.runs[-1] if self.runs else None
        if last is not None and last.sequence == sequence and last.last == after - 1:
            self.runs[-1] = Run(last.first, after, sequence, round_, place)
        else:
            self.runs.append(Run(after, after, sequence, round_, place))


def epochs(first: int, last: int) -> str:
    """``epoch 4`` or ``epochs 4 to 6``."""
    return f"epoch {first}" if first == last else f"epochs {first} to {last}"


def _problems(gap: dict[str, Any]) -> Iterator[str]:
    after = gap["epoch_after"]
    if gap["epoch_before"] != after - 1:
        yield f"epoch_before {gap['epoch_before']} and epoch_after {after} are not neighbours"
    if gap["first_sequence_after"] != gap["last_sequence_before"] + 1:
        first, last = gap["first_sequence_after"], gap["last_sequence_before"]
        yield f"first_sequence_after {first} does not follow last_sequence_before {last}"
    if gap["ended_at"] < gap["started_at"]:
        yield f"gap of epoch {after} ends before it starts"
