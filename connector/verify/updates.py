"""The updates of one series, in the order of their partition: no hole, no repeat, no step back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from connector.verify.staged import Staged

if TYPE_CHECKING:
    from connector.verify.findings import Findings


class Newest(NamedTuple):
    """The newest update of a series in one batch, and how many of the series the batch holds."""

    batch: int
    epoch: int
    sequence: int
    records: int
    received_at: int
    value: float | None


class Step(NamedTuple):
    """The epoch moved between two neighbouring updates."""

    batch: int
    before: int
    after: int
    sequence_before: int
    sequence_after: int
    known_at: int
    """When the old epoch was last seen alive, milliseconds."""
    place: str


class Hole(NamedTuple):
    """Sequences that were skipped."""

    first: int
    last: int
    place: str


class Updates:
    """What is remembered of a series' updates: the newest, its session and frame, open questions."""

    __slots__ = ("_frame", "_holes", "_newest", "_older_session", "_session", "first", "staged", "steps")

    def __init__(self) -> None:
        self.staged: Staged[Newest] = Staged()
        self.first: Newest | None = None
        """The baseline."""
        self.steps: list[Step] = []
        """Epoch steps that were not yet compared with the gaps."""
        self._newest: Newest | None = None
        self._holes: list[Hole] = []
        self._session = ""
        self._older_session = ""
        self._frame = 0

    def feed(self, update: dict[str, Any], place: str, horizon: int, findings: Findings) -> None:
        """The next update in its partition."""
        newest = self._newest
        batch = update["batch_id"]
        if newest is not None and update["sequence"] <= newest.sequence:
            self._repeated(update, newest, place, findings)
            return
        same_batch = newest is not None and newest.batch == batch
        records = newest.records + 1 if newest is not None and same_batch else 1
        if newest is None:
            self._session, self._frame = update["session_id"], update["frame"]
        else:
            self._follow(update, newest, place, findings)
        now = Newest(batch, update["epoch"], update["sequence"], records, update["received_at"], update["value"])
        self.first = self.first or now
        self._newest = now
        self.staged.put(now, horizon)

    def settle(self, series: str, findings: Findings) -> None:
        """Holes that nothing filled are losses."""
        for hole in self._holes:
            missing = hole.last - hole.first + 1
            span = f"sequence {hole.first}" if missing == 1 else f"sequences {hole.first} to {hole.last}"
            findings.add("lost", series, f"{span} missing", count=missing, place=hole.place)
        self._holes.clear()

    def take_steps(self, horizon: int) -> list[Step]:
        """The epoch steps up to the horizon."""
        taken = [step for step in self.steps if step.batch <= horizon]
        if taken:
            self.steps = [step for step in self.steps if step.batch > horizon]
        return taken

    def _follow(self, update: dict[str, Any], newest: Newest, place: str, findings: Findings) -> None:
        sequence, epoch = update["sequence"], update["epoch"]
        if sequence > newest.sequence + 1:
            self._holes.append(Hole(newest.sequence + 1, sequence - 1, place))
        if epoch < newest.epoch:
            text = f"epoch {epoch} after epoch {newest.epoch} at sequence {sequence}"
            findings.add("epoch_rewind", update["series"], text, place=place)
        elif epoch > newest.epoch:
            received = newest.received_at
            step = Step(update["batch_id"], newest.epoch, epoch, newest.sequence, sequence, received, place)
            self.steps.append(step)
        else:
            self._same_epoch(update, newest, place, findings)
        self._same_frame(update, place, findings)

    def _same_epoch(self, update: dict[str, Any], newest: Newest, place: str, findings: Findings) -> None:
        sequence = update["sequence"]
        if update["received_at"] < newest.received_at:
            text = f"received_at of sequence {sequence} is before that of sequence {newest.sequence}"
            findings.add("reordered", update["series"], text, place=place)
        if update["session_id"] != self._session:
            text = f"the session changed at sequence {sequence}, but epoch {update['epoch']} went on"
            findings.add("undeclared_gap", update["series"], text, place=place)

    def _same_frame(self, update: dict[str, Any], place: str, findings: Findings) -> None:
        """A session pushes at most one value of a series in a frame, and its frames only grow."""
        session, frame, sequence = update["session_id"], update["frame"], update["sequence"]
        if session == self._session and frame == self._frame:
            text = f"frame {frame} of session {session} has a second sequence, {sequence}"
            findings.add("duplicated", update["series"], text, place=place)
        elif session == self._session and frame < self._frame:
            text = f"frame {frame} of session {session} follows frame {self._frame} at sequence {sequence}"
            findings.add("reordered", update["series"], text, place=place)
        elif session != self._session and session == self._older_session:
            text = f"session {session} speaks again at sequence {sequence}, after session {self._session}"
            findings.add("reordered", update["series"], text, place=place)
        if session != self._session:
            self._older_session = self._session
        self._session, self._frame = session, frame

    def _repeated(self, update: dict[str, Any], newest: Newest, place: str, findings: Findings) -> None:
        sequence = update["sequence"]
        text = f"sequence {sequence} after sequence {newest.sequence}"
        assert self.first is not None
        late = self._fill(sequence) or sequence < self.first.sequence
        findings.add("reordered" if late else "duplicated", update["series"], text, place=place)

    def _fill(self, sequence: int) -> bool:
        """True if the sequence was missing until now."""
        for at, hole in enumerate(self._holes):
            if hole.first <= sequence <= hole.last:
                parts = (hole._replace(last=sequence - 1), hole._replace(first=sequence + 1))
                self._holes[at : at + 1] = [part for part in parts if part.first <= part.last]
                return True
        return False
