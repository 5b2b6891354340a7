"""When a transaction may begin, and how much of the queue it takes. Time is an argument, in seconds."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from connector.domain.model import Entry

if TYPE_CHECKING:
    from connector.domain.queue import Queue

RECORD_BYTES = 512
"""What one update takes in a transaction: its records in metrics and latest and its share of the offsets."""


class Batcher:
    """Adaptive group commit: each transaction takes all that waits, so batches grow with the load.

    Two transactions begin at least ``min_interval`` seconds apart; one carries at most ``max_records`` updates and
    about ``max_bytes``. A heartbeat is due every ``heartbeat`` seconds; one that could not be sent in time is
    skipped, never queued.
    """

    def __init__(self, *, min_interval: float, max_records: int, max_bytes: int, heartbeat: float) -> None:
        self._min_interval = min_interval
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._heartbeat = heartbeat
        self._earliest = float("-inf")
        self._next_beat = float("-inf")

    def due(self, waiting: int, now: float) -> bool:
        """True if a transaction should begin now, ``waiting`` items being in the queue."""
        return now >= self.next_timer(waiting)

    def next_timer(self, waiting: int) -> float:
        """When the next transaction is due: as soon as it may be if anything waits, else for the heartbeat."""
        return self._earliest if waiting else max(self._next_beat, self._earliest)

    def begin(self, now: float) -> bool:
        """Note that a transaction begins; True if it carries a heartbeat."""
        self._earliest = now + self._min_interval
        beat = now >= self._next_beat
        if beat:
            on_time = self._next_beat + self._heartbeat
            self._next_beat = on_time if on_time > now else now + self._heartbeat
        return beat

    def take(self, queue: Queue) -> tuple[Any, ...]:
        """The longest prefix of the queue that fits; it stays in the queue until it is committed."""
        most = max(1, min(self._max_records, self._max_bytes // RECORD_BYTES))
        usual = tuple(islice(queue, most))
        if set(map(type, usual)) <= {Entry}:
            return usual
        taken: list[Any] = []
        size = 0
        for item in queue:
            size += RECORD_BYTES + len(getattr(item, "payload", b""))
            if taken and (len(taken) >= self._max_records or size > self._max_bytes):
                break
            taken.append(item)
        return tuple(taken)
