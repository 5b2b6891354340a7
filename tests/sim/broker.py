"""A Kafka cluster as far as transactions go: logs with markers, and the coordinator without KIP-890 part 2.

A request may arrive late or twice; it is judged by the state it finds. Answers are names of Kafka's errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .world import World

Place = tuple[str, int]

EMPTY, ONGOING, COMMITTING, ABORTING, COMMITTED, ABORTED = "empty", "ongoing", "committing", "aborting", "c", "a"


class Span:
    """What one producer wrote into one partition between two markers."""

    __slots__ = ("commit", "first", "state")

    def __init__(self, first: int) -> None:
        self.first = first
        self.commit = -1
        """Number of the transaction's end among all ends."""
        self.state = ONGOING


class Partition:
    """One log: records and markers, each with an offset."""

    def __init__(self) -> None:
        self.entries: list[tuple[Span, Any]] = []
        self.low = 0
        """First offset that is kept."""
        self.open: dict[int, Span] = {}
        self.epochs: dict[int, int] = {}
        self.sequences: dict[int, tuple[int, int, dict[int, int]]] = {}

    @property
    def stable(self) -> int:
        """The last stable offset: nothing from there on is shown to read_committed."""
        return min((span.first for span in self.open.values()), default=len(self.entries))

    def committed(self, start: int = 0) -> Iterator[tuple[int, Any]]:
        """Offsets and records as read_committed sees them."""
        for offset, (span, record) in enumerate(self.entries[max(start, 0) : self.stable], max(start, 0)):
            if record is not None and span.state == COMMITTED:
                yield offset, record

    def history(self) -> Iterator[tuple[int, Any]]:
        """Committed records, each with the number of its transaction."""
        for span, record in self.entries[: self.stable]:
            if record is not None and span.state == COMMITTED:
                yield span.commit, record


class Transaction:
    """The coordinator's row of one transactional id."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.epoch = -1
        self.state = EMPTY
        self.places: dict[Place, None] = {}
        self.number = 0
        self.timeout = 15.0


class Broker:
    """The cluster. ``verify``: KIP-890 part 1, a partition asks the coordinator before a transaction's first record."""

    def __init__(self, world: World, *, verify: bool = True) -> None:
        self._world = world
        self._rng = world.rng
        self._verify = verify
        self.partitions: dict[Place, Partition] = {}
        self.transactions: dict[str, Transaction] = {}
        self.marker_delay = 0.004
        self.ends: list[float] = []
        """When each transaction ended."""

    def partition(self, place: Place) -> Partition:
        """The log of a partition; made when it is first asked for."""
        found = self.partitions.get(place)
        if found is None:
            found = self.partitions[place] = Partition()
        return found

    # Requests.

    def init(self, tid: str, timeout: float) -> tuple[str, int, int]:
        """InitProducerId: a new epoch; an open transaction is aborted first."""
        row = self.transactions.setdefault(tid, Transaction(1000 + len(self.transactions)))
        row.timeout = timeout
        if row.state in (COMMITTING, ABORTING):
            return "CONCURRENT_TRANSACTIONS", -1, -1
        if row.state == ONGOING:
            row.epoch += 1
            self._end(tid, row, commit=False)
            return "CONCURRENT_TRANSACTIONS", -1, -1
        row.epoch += 1
        row.state = EMPTY
        return "", row.pid, row.epoch

    def add(self, tid: str, pid: int, epoch: int, places: list[Place]) -> str:
        """AddPartitionsToTxn."""
        row = self.transactions[tid]
        if epoch != row.epoch:
            return "PRODUCER_FENCED"
        if row.state in (COMMITTING, ABORTING):
            return "CONCURRENT_TRANSACTIONS"
        if row.state != ONGOING:
            row.state = ONGOING
            row.places = {}
            row.number += 1
            self._world.later(row.timeout + self._rng.random() * 2.0, self._expire, tid, row.number)
        row.places.update(dict.fromkeys(places))
        return ""

    def produce(self, tid: str, pid: int, epoch: int, batches: list[tuple[Place, int, list[Any]]]) -> dict[Place, Any]:
        """Produce: the offset of each batch's first record, or the name of an error."""
        return {place: self._append(tid, pid, epoch, place, first, records) for place, first, records in batches}

    def _append(self, tid: str, pid: int, epoch: int, place: Place, first: int, records: list[Any]) -> int | str:
        log = self.partition(place)
        if epoch < log.epochs.get(pid, -1):
            return "INVALID_PRODUCER_EPOCH"
        known_epoch, following, taken = log.sequences.get(pid, (-1, 0, {}))
        if known_epoch == epoch and first in taken:
            return taken[first]
        if pid not in log.open and self._verify:
            row = self.transactions[tid]
            if epoch != row.epoch:
                return "INVALID_PRODUCER_EPOCH"
            if row.state != ONGOING or place not in row.places:
                return "INVALID_TXN_STATE"
        if known_epoch != epoch:
            following, taken = 0, {}
        if first != following:
            return "OUT_OF_ORDER_SEQUENCE_NUMBER"
        offset = len(log.entries)
        span = log.open.get(pid)
        if span is None:
            span = log.open[pid] = Span(offset)
        log.epochs[pid] = epoch
        taken[first] = offset
        if len(taken) > 5:
            del taken[next(iter(taken))]
        log.sequences[pid] = epoch, first + len(records), taken
        log.entries += [(span, record) for record in records]
        return offset

    def end(self, tid: str, pid: int, epoch: int, commit: bool) -> str:
        """EndTxn: answered as soon as the decision is kept; the markers follow."""
        row = self.transactions[tid]
        if epoch != row.epoch:
            return "PRODUCER_FENCED"
        if row.state == ONGOING:
            self._end(tid, row, commit=commit)
            return ""
        if row.state == (COMMITTED if commit else ABORTED):
            return ""
        if row.state == (COMMITTING if commit else ABORTING):
            return "CONCURRENT_TRANSACTIONS"
        return "INVALID_TXN_STATE"

    # The coordinator.

    def _expire(self, tid: str, number: int) -> None:
        row = self.transactions[tid]
        if row.number == number and row.state == ONGOING:
            self._world.trace("broker: transaction of %s timed out", tid)
            row.epoch += 1
            self._end(tid, row, commit=False)

    def _end(self, tid: str, row: Transaction, *, commit: bool) -> None:
        row.state = COMMITTING if commit else ABORTING
        if self._world.lines is not None:
            self._world.trace("broker: %s %s, epoch %d", tid, row.state, row.epoch)
        places = list(row.places)
        self._rng.shuffle(places)
        half = self._rng.randrange(len(places) + 1)
        delay = self._rng.random() * self.marker_delay
        number = len(self.ends)
        self.ends.append(self._world.now)
        self._world.later(delay, self._mark, row, places[:half], number, commit)
        delay += self._rng.random() * self.marker_delay
        self._world.later(delay, self._finish, row, places[half:], number, commit)

    def _finish(self, row: Transaction, places: list[Place], number: int, commit: bool) -> None:
        self._mark(row, places, number, commit)
        row.state = COMMITTED if commit else ABORTED
        row.places = {}

    def _mark(self, row: Transaction, places: list[Place], number: int, commit: bool) -> None:
        for place in places:
            log = self.partition(place)
            log.epochs[row.pid] = row.epoch
            span = log.open.pop(row.pid, None)
            marker = Span(len(log.entries))
            if span is not None:
                span.state = COMMITTED if commit else ABORTED
                span.commit = number
            marker.state = COMMITTED if commit else ABORTED
            log.entries.append((marker, None))
