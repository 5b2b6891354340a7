"""What an audit may find, and what it cannot see."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, NamedTuple

KINDS: Final = {
    "lost": "sequences that are missing from metrics",
    "duplicated": "sequences, or values of one frame, that are in metrics twice",
    "reordered": "updates that stand behind a later one of their series",
    "undeclared_gap": "steps of an epoch without a final gap, open gaps without a record",
    "gap_mismatch": "gaps that do not fit the data around them",
    "gap_repeated": "final gaps beyond the first of their gap_id",
    "gap_without_step": "final gaps whose epoch never began",
    "epoch_rewind": "records whose epoch is below that of an earlier one",
    "offset_ahead": "source offsets that name updates which metrics does not hold",
    "offset_behind": "source offsets that lack updates which metrics holds",
    "latest_differs": "series whose latest record is not the newest of metrics",
    "heartbeat_hole": "heartbeats that are missing",
    "heartbeat_repeated": "heartbeats whose heartbeat_seq did not grow",
    "batch_mismatch": "transactions whose records in metrics are not as many as their rows say",
    "batch_forked": "batch ids that fell, or that two owner epochs used",
    "unbalanced": "heartbeats whose counters do not add up: a value was lost or counted twice inside",
    "miscounted": "spans between heartbeats whose records_total does not match metrics",
    "late": "updates received before a complete_through that an earlier transaction published",
    "watermark_fell": "heartbeats whose complete_through is before that of an earlier one",
    "misidentified": "records whose event_id, gap_id or ce_id is not that of their fields",
    "mistimed": "records whose Kafka timestamp is not the time they are about",
    "misplaced": "records with a wrong key or in a wrong partition",
    "undecodable": "records that are null or no framed Avro",
}
"""Every kind of finding and its meaning, worst first."""

CANNOT_SEE: Final = (
    "values that the source never sent, or that the network lost before the connector read them",
    "values that were due while no replica had a session: they lie in declared gaps, whose number is shown",
    "anything before the start of retention or of --since; the first record of each series is taken as it is",
    "what was deleted from Kafka by hand, and order between different series, which is not promised",
)
"""Printed with every result."""

_KEPT: Final = 1000
"""Findings of one kind that are kept in full; further ones are only counted."""


class Finding(NamedTuple):
    """One thing that is wrong. ``times`` is the number of records, steps or beats concerned."""

    kind: str
    subject: str
    text: str
    times: int = 1
    place: str | None = None
    """``topic[partition]@offset`` of the record at which it showed."""

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return self._asdict()


class Findings:
    """Collects findings: every one is counted, the first of each kind are kept."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        """Sum of the counts by kind."""
        self.kept: list[Finding] = []
        self._of_kind: Counter[str] = Counter()
        self._shown = 0

    def add(self, kind: str, subject: str, text: str, *, count: int = 1, place: str | None = None) -> None:
        """Note one finding."""
        assert kind in KINDS
        self.totals[kind] += count
        self._of_kind[kind] += 1
        if self._of_kind[kind] <= _KEPT:
            self.kept.append(Finding(kind, subject, text, count, place))

    def fresh(self) -> list[Finding]:
        """The kept findings since the last call."""
        new = self.kept[self._shown :]
        self._shown = len(self.kept)
        return new

    @property
    def omitted(self) -> int:
        """How many were only counted."""
        return sum(self._of_kind.values()) - len(self.kept)


class Message(NamedTuple):
    """One decoded record; ``value`` None is a tombstone or a null, ``error`` says why it could not be decoded."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: dict[str, Any] | None
    timestamp: int
    headers: list[tuple[str, bytes | None]] | None = None
    error: str | None = None

    @property
    def place(self) -> str:
        """Where it stands in Kafka."""
        return f"{self.topic}[{self.partition}]@{self.offset}"
