"""While Kafka is away or slow, what waits for it is on disk too: the shard's journal, begun, filled and ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from connector.domain.queue import is_value
from connector.domain.restore import restore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.domain.ledger import Position
    from connector.domain.model import Progress, Series
    from connector.domain.queue import Queue
    from connector.runtime.ports import Journal


class DiskBuffer:
    """Keeps the journal of one shard.

    Owners are those whose work the entries continue, each with its owner epoch.

    Args:
        queue: what waits; it appends to the journal by itself while that records.
        interval: seconds between two flushes to the disk: what a crash of the machine may cost.
    """

    def __init__(self, journal: Journal, queue: Queue, *, shard: int, interval: float) -> None:
        self.interval = interval
        self._journal = journal
        self._queue = queue
        self._shard = shard
        self._syncing: asyncio.Task[None] | None = None

    def restore(self, positions: dict[Series, Position], progress: Progress) -> bool | None:
        """Take up what an earlier process of this replica left, unless another owner followed it.

        Returns:
            Whether all of it still counts; None if there was nothing to take up.
        """
        journal, shard = self._journal, progress.shard
        if (shard.owner, shard.owner_epoch) not in journal.owners():
            journal.clear()
            return None
        numbers: list[int] = []
        kept: list[bool] = []

        def items() -> Iterator[Any]:
            for number, item in journal.items():
                numbers.append(number)
                kept.append(is_value(item))
                yield item

        counts = list(restore(positions, items(), progress))
        values = sum(count and value for count, value in zip(counts, kept, strict=True))
        journal.discard(number for number, count in zip(numbers, counts, strict=True) if not count)
        journal.recording = True
        self._queue.restore(sum(counts), values)
        self._sync()
        return all(counts)

    def record(self, *owners: tuple[str, int]) -> None:
        """From now on what waits is on disk."""
        if self._journal.recording:
            return
        self._journal.begin(*owners)
        self._queue.record()
        self._sync()

    def renew(self, *owners: tuple[str, int]) -> None:
        """Other items wait than the journal holds."""
        if self._journal.recording:
            self._journal.end()
            self._journal.begin(*owners)
            self._queue.record()

    def follow(self, *owners: tuple[str, int]) -> None:
        """What is recorded continues the work of these now."""
        if self._journal.recording:
            self._journal.begin(*owners)

    def settle(self, *owners: tuple[str, int]) -> None:
        """Something was committed: go on recording until everything is."""
        if self._queue:
            self.follow(*owners)
        elif self._journal.recording:
            self._cancel()
            self._journal.end()

    def close(self) -> None:
        """Write what is left."""
        self._cancel()
        self._journal.close()

    def _sync(self) -> None:
        self._syncing = asyncio.create_task(self._flush(), name=f"journal-{self._shard}")

    def _cancel(self) -> None:
        if self._syncing is not None:
            self._syncing.cancel()
            self._syncing = None

    async def _flush(self) -> None:
        while True:
            await asyncio.to_thread(self._journal.sync)
            await asyncio.sleep(self.interval)
