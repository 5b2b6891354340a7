"""Builds with one rule switched off. The simulation must find what each of them does wrong."""

from __future__ import annotations

from typing import Any

from connector.adapters.kafka import TransactionalSink
from connector.adapters.recovery import Recovery
from connector.domain.ledger import Ledger
from connector.domain.model import Entry, Progress
from connector.runtime.publisher import Publisher


class Control:
    """The product as it is."""

    sink: type[TransactionalSink] = TransactionalSink
    publisher: type[Publisher] = Publisher
    recovery: type[Recovery] = Recovery
    rebuild = True

    def adapt(self, publisher: Publisher) -> None:
        """Change what the publisher made for itself."""


class ReadsFirst(TransactionalSink):
    """Reads the log before it fences."""

    def _acquire(self) -> Any:
        recovery = self._recovery
        self._recovery = _Remembered(recovery.read())
        try:
            return super()._acquire()
        finally:
            self._recovery = recovery


class _Remembered:
    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def read(self) -> Any:
        return self._answer


class SplitSink(TransactionalSink):
    """Commits the rows of the offsets topic in a transaction of their own."""

    def _commit(self, make: Any) -> float:
        rows: list[Any] = []

        def data(hints: Any) -> Any:
            for record in make(hints):
                if record.schema == "source-offset":
                    rows.append(record)
                else:
                    yield record

        return super()._commit(data) + super()._commit(lambda _: rows)


class SameEpoch(Ledger):
    """Goes on in the same epoch after a recovery, as if nothing could have been missed."""

    def recover(self, progress: Any, series: Any, *, reason: str, at_us: int) -> None:
        opening, self._open = self._open, lambda *_: None  # type: ignore[method-assign]
        super().recover(progress, series, reason=reason, at_us=at_us)
        self._open = opening  # type: ignore[method-assign]


class CommittedOnly(Ledger):
    """Compares a snapshot with the committed value, not with the newest that waits."""

    committed: dict[Any, float | None]

    def recover(self, progress: Any, series: Any, *, reason: str, at_us: int) -> None:
        super().recover(progress, series, reason=reason, at_us=at_us)
        self.committed = {one: position.value for one, position in self.positions.items()}

    def admit(self, update: Any) -> bool:
        position = self.positions[update.series]
        newest = position.value
        if not position.fresh or update.series not in self.committed:
            return super().admit(update)
        position.value = self.committed[update.series]
        admitted = super().admit(update)
        if not admitted:
            position.value = newest
        return admitted


class RemembersCommits(Publisher):
    """Tells its ledger what is committed."""

    def _committed(self, batch: Any, *args: Any, **more: Any) -> None:
        for item in batch.items:
            if isinstance(item, Entry):
                self.ledger.committed[item.series] = item.value
        super()._committed(batch, *args, **more)


class BelievesItself(Publisher):
    """Takes whatever the log holds for its own work, and sends what it still has."""

    async def _fence(self) -> Any:
        progress = await super()._fence()
        self._log = progress.shard
        return progress


class FollowsAtOnce(Publisher):
    """Lets the session ask for a series before the log has a row of it."""

    def knows(self, series: Any) -> bool:
        return series in self.ledger.positions


class FollowsUnclaimed(Publisher):
    """Lets the session ask as soon as the log was read, though the log does not say yet whose shard it is."""

    def knows(self, series: Any) -> bool:
        return series in self.ledger.positions and series not in self._unknown

    async def run(self) -> None:
        self.announced(True)
        await super().run()


class BelievesRows(Recovery):
    """Takes the rows that are left for all that there were."""

    def _rebuild(self, scan: Any) -> Any:
        return _Remaining()


class _Remaining:
    def progress(self, offsets: Any, shard: Any) -> Progress:
        return Progress(shard, offsets)


class NoFenceBeforeRead(Control):
    sink = ReadsFirst


class NoRebuild(Control):
    rebuild = False


class NoEpoch(Control):
    def adapt(self, publisher: Publisher) -> None:
        publisher.ledger.__class__ = SameEpoch


class SnapshotOfCommitted(Control):
    publisher = RemembersCommits

    def adapt(self, publisher: Publisher) -> None:
        publisher.ledger.__class__ = CommittedOnly
        publisher.ledger.committed = {}


class OffsetsApart(Control):
    sink = SplitSink


class NoOwnerCheck(Control):
    publisher = BelievesItself


class NoFirstRow(Control):
    publisher = FollowsAtOnce


class NoOtherTopics(Control):
    recovery = BelievesRows


class NoClaim(Control):
    publisher = FollowsUnclaimed


CONTROLS: dict[str, type[Control]] = {
    "none": Control,
    "no-fence-before-read": NoFenceBeforeRead,
    "no-rebuild": NoRebuild,
    "no-epoch": NoEpoch,
    "committed-snapshot": SnapshotOfCommitted,
    "offsets-apart": OffsetsApart,
    "no-owner-check": NoOwnerCheck,
    "no-first-row": NoFirstRow,
    "no-other-topics": NoOtherTopics,
    "no-claim": NoClaim,
}
