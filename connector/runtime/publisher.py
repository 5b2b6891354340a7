"""One shard, published: ledger, batches, transactions, recovery. Owned by exactly one replica at a time."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from connector.domain.events import Acquired, Committed, Event, Failed, Recovered, Rejected, Updated
from connector.domain.ledger import Ledger, unpublished
from connector.domain.model import Batch, Beat, OpenGap, Progress, ShardState, Subscribed
from connector.domain.proofs import Proofs
from connector.domain.queue import Queue, count_values
from connector.domain.refusal import refuse
from connector.errors import RecordRefused, SinkFenced, SinkRejected, SinkUnavailable
from connector.runtime.clock import Clock
from connector.runtime.counters import Counters
from connector.runtime.disk_buffer import DiskBuffer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from connector.domain.batcher import Batcher
    from connector.domain.model import Record, Series
    from connector.domain.records import Recorder
    from connector.domain.rows import Hints
    from connector.runtime.backoff import Backoff
    from connector.runtime.ports import Journal, Sink, Source


class Publisher:
    """Publishes one shard from `acquire` to `drain`, or until it is fenced."""

    def __init__(
        self,
        shard: int,
        *,
        sink: Sink,
        recorder: Recorder,
        batcher: Batcher,
        source: Source,
        emit: Callable[[Event], None],
        backoff: Backoff,
        owner: str,
        clock: Clock | None = None,
        collapse_repeats: bool = False,
        room: int = 500_000,
        memory: int | None = None,
        journal: Journal | None = None,
        sync_interval: float = 0.2,
    ) -> None:
        self.shard = shard
        queue = Queue(room=room, memory=memory, store=journal)
        self.ledger = Ledger(queue, collapse_repeats=collapse_repeats)
        self._disk = None if journal is None else DiskBuffer(journal, queue, shard=shard, interval=sync_interval)
        self._counters = Counters(self.ledger)
        self._sink = sink
        self._recorder = recorder
        self._batcher = batcher
        self._source = source
        self._emit = emit
        self._backoff = backoff
        self._owner = owner
        self._clock = clock or Clock()
        self._owner_epoch = 0
        self._log = ShardState()
        self._progress = Progress(self._log, {})
        self._wake = asyncio.Event()
        self._ours = asyncio.Event()
        self._ours.set()
        self.announced: Callable[[bool], None] = _nothing
        """Called when the log has got first rows of some series, or our claim (True): now they may be followed."""
        self._unknown: set[Series] = set()
        self._claimed = False
        """True once the log has got a transaction of ours since `acquire`."""
        self.paused = False
        """True from `pause` until the log has shown that nobody followed."""
        self.stopping = False
        """True from `drain` on."""
        self._proofs = Proofs()

    # What the source says, on the event loop.

    def admit(self, update: Updated) -> None:
        """An update of one of this shard's series."""
        self._counters.received += 1
        self.ledger.admit(update)
        if not self._wake.is_set():
            self._wake.set()

    def reject(self, rejected: Rejected) -> None:
        """A frame that could not become a record."""
        self._counters.received += 1
        self.ledger.reject(rejected)
        self._wake.set()

    def doubt(self, rejected: Rejected) -> None:
        """A frame that another shard keeps as a dead letter may have held values of this one."""
        self.ledger.doubt(rejected)
        self._wake.set()

    def announce(self, series: Iterable[Series]) -> None:
        """These series are configured: give those that the log does not know their first row.

        Only then may a session ask for them (`knows`): what it brings could be missed without a trace otherwise.
        """
        self._unknown.update(self.ledger.announce([one for one in series if one not in self.ledger.positions]))
        self._wake.set()

    def knows(self, series: Series) -> bool:
        """True once the log has a row of the series, and says that the shard is ours.

        Before, the predecessor may still come back and go on as if nobody had heard anything.
        """
        return self._claimed and series in self.ledger.positions and series not in self._unknown

    def subscribe(self, series: Iterable[Series]) -> None:
        """A session asks for these series now."""
        self.ledger.subscribe(series)
        self._wake.set()

    def retire(self, series: Iterable[Series]) -> None:
        """These series are no longer configured."""
        for one in series:
            if one in self.ledger.positions:
                self.ledger.retire(one, self._clock.wall_us())
        self._wake.set()

    def prove(self, through_us: int) -> None:
        """All that the source sent before that instant was received, hence is in the queue or already committed."""
        self.ledger.proven_us = through_us
        if self.ledger.full_since_us is None:
            self._proofs.add(len(self.ledger.queue), through_us)

    def close(self, gap: OpenGap) -> None:
        """The session ended."""
        self._counters.reconnects += 1
        self.ledger.close(gap)
        self._wake.set()

    # Publishing.

    async def acquire(self, series: Iterable[Series]) -> None:
        """Fence the predecessor and continue where the log ends; retries while Kafka is away.

        Raises:
            SinkRejected: a person has to act.
        """
        began = self._clock.monotonic()
        progress = await self._fence()
        self._log = progress.shard
        reason = "restart" if progress.shard.owner == self._owner else "takeover"
        if self._disk is not None:
            reason = "journal" if self._disk.restore(self.ledger.positions, progress) is False else reason
        series = tuple(series)
        self.ledger.recover(progress, series, reason=reason, at_us=self._clock.wall_us())
        self._unknown = self.ledger.positions.keys() - progress.offsets.keys()
        self.announce(series)
        self._counters.reset()
        self.prove(self._clock.wall_us())
        self._acquired(progress, began)

    def _acquired(self, progress: Progress, began: float) -> None:
        seconds = self._clock.monotonic() - began
        self._emit(Acquired(self.shard, self._owner_epoch, len(progress.offsets), seconds, self._clock.wall_us()))

    async def run(self) -> None:
        """Publish until `drain` is called and the queue is empty.

        Raises:
            SinkFenced: another replica owns the shard now; nothing that waits here may be published.
            SinkRejected: a person has to act.
        """
        while not self.stopping:
            await self._due()
            await self._publish(beat=self._batcher.begin(self._clock.monotonic()))
        while True:
            await self._publish(beat=True)
            if not self.ledger.queue:
                return

    def pause(self) -> None:
        """The group took the shard away without asking: begin nothing more, keep what waits and what is received.

        Kafka itself may be away, for all members. Whether somebody followed, the log tells after `resume`.
        """
        self.paused = True
        self._ours.clear()
        self._record()

    def resume(self) -> None:
        """The group gave the shard back: go on, unless somebody published meanwhile (`run` raises SinkFenced)."""
        self._ours.set()
        self._wake.set()

    async def resumed(self) -> None:
        """Returns once the shard is not paused."""
        await self._ours.wait()

    async def shut(self) -> None:
        """Let the producer go; what still waits is left to the next owner's gap."""
        if self._disk is not None:
            self._disk.close()
        await self._sink.close()

    def drain(self) -> None:
        """Commit what waits, with a last heartbeat, then let `run` return."""
        self.stopping = True
        self._wake.set()

    async def _due(self) -> None:
        while not self.stopping:
            waiting = len(self.ledger.queue)
            wait = self._batcher.next_timer(waiting) - self._clock.monotonic()
            if wait <= 0:
                return
            if waiting:
                await asyncio.sleep(wait)
                return
            self._wake.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                return

    async def _publish(self, *, beat: bool) -> None:
        """One batch, until it is in the log exactly once."""
        items = self._batcher.take(self.ledger.queue)
        taken = len(items)
        while True:
            if self.paused or self._sink.suspect is not None:
                items = await self._recover(None, items)
            batch = self._batch(items, taken, beat=beat)
            attempt = self._attempt(batch)
            try:
                make = partial(self._recorder.transaction, batch, attempt, self._clock.wall_us())
                seconds, counted = await self._commit(make), True
            except RecordRefused as error:
                self._emit(Failed(self.shard, str(error), self._clock.wall_us()))
                await self._recover(attempt, items)
                items = self._narrow(items, str(error))
                taken = len(items)
            except SinkUnavailable as error:
                self._emit(Failed(self.shard, str(error), self._clock.wall_us()))
                self._record()
                items = await self._recover(attempt, items)
                if self._log == attempt:
                    seconds, counted = 0.0, False
                    break
            else:
                break
        self._committed(batch, taken, attempt, seconds, counted=counted)

    async def _commit(self, make: Callable[[Hints], Iterable[Record]]) -> float:
        """Commit, and meanwhile keep on disk what waits if that takes as long as a crash may cost."""
        if self._disk is None:
            return await self._sink.commit(make)
        overdue = asyncio.get_running_loop().call_later(self._disk.interval, self._record)
        try:
            return await self._sink.commit(make)
        finally:
            overdue.cancel()

    def _record(self) -> None:
        """Kafka is away or slow: from now on what waits is kept on disk too."""
        if self._disk is not None:
            self._disk.record(*self._owners())

    def _owners(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Entries continue the log as it is, and as the transaction leaves it whose end is not known yet."""
        return (self._log.owner, self._log.owner_epoch), (self._owner, self._owner_epoch)

    def _narrow(self, items: tuple[Any, ...], message: str) -> tuple[Any, ...]:
        """Half of a batch in which one record is refused; alone, that record becomes a dead letter.

        Raises:
            SinkRejected: what is refused cannot be done without.
        """
        if len(items) > 1:
            return items[: len(items) // 2]
        ledger = self.ledger
        remedy = f"{message}; raise max.message.bytes of the topics"
        if not items or len(ledger.queue) > ledger.queue.in_memory:
            raise SinkRejected(remedy)
        try:
            before = len(ledger.queue)
            known, proven_us = self._progress.offsets, self._log.complete_through_us
            ledger.queue.replace(refuse(ledger.queue, ledger.positions, known, message, proven_us=proven_us))
            more = max(0, len(ledger.queue) - before)
            self._proofs.widen(more)
        except ValueError:
            raise SinkRejected(remedy) from None
        if self._disk is not None:
            self._disk.renew(*self._owners())
        return self._batcher.take(ledger.queue)

    def _committed(self, batch: Batch, taken: int, attempt: ShardState, seconds: float, *, counted: bool) -> None:
        self._backoff.reset()
        self._log = attempt
        self._proofs.take(taken)
        self.ledger.queue.release(taken)
        self.ledger.relieve()
        if self._disk is not None:
            self._disk.settle(*self._owners())
        if counted:
            self._counters.count(batch.items)
        self._learn(batch.items)
        self._emit(Committed(batch, attempt.batch_id, seconds, self._clock.wall_us()))

    def _learn(self, items: tuple[Any, ...]) -> None:
        if self._claimed and not self._unknown:
            return
        known = {item.offset.series for item in items if type(item) is Subscribed}
        claim = not self._claimed
        if known or claim:
            self._claimed = True
            self._unknown -= known
            self.announced(claim)

    def _batch(self, items: tuple[Any, ...], taken: int, *, beat: bool) -> Batch:
        through_us = max(self._log.complete_through_us, self._complete_through(taken))
        return Batch(self.shard, items, through_us, self._beat(items, taken) if beat else None)

    def _beat(self, items: tuple[Any, ...], taken: int) -> Beat:
        session = self._source.beat(self.ledger.positions)
        counters = self._counters.told(items, taken) | {"frames_total": session.pop("frames_total")}
        state = session.pop("state")
        return Beat(
            emitted_us=self._clock.wall_us(),
            state="stopping" if self.stopping else state,
            series_expected=len(self.ledger.positions),
            counters=counters,
            **session,
        )

    def _attempt(self, batch: Batch) -> ShardState:
        return ShardState(
            self._owner,
            self._owner_epoch,
            self._log.batch_id + 1,
            self._log.heartbeat_seq + (batch.beat is not None),
            batch.complete_through_us,
        )

    def _complete_through(self, taken: int) -> int:
        """The newest proof of which everything is in the first ``taken`` items; without a session, what gaps cover.

        A series that waits for its first session has no gap. Another replica, which takes this one for dead, may hear
        its first value meanwhile.
        """
        through_us = self._proofs.through(taken)
        ledger, now = self.ledger, self._clock.wall_us()
        whole = taken == len(ledger.queue) and ledger.full_since_us is None
        covered = whole and self._source.proof_us() is None and ledger.covered
        return now if covered else min(now, through_us)

    # Recovery.

    async def _recover(self, attempt: ShardState | None, items: tuple[Any, ...]) -> tuple[Any, ...]:
        """Fence, read back, and tell which of the items are still to be published.

        After it ``self._log`` is the attempt if the log holds it after all.
        """
        began = self._clock.monotonic()
        progress = await self._fence()
        landed = attempt is not None and progress.shard == _as_read(attempt)
        if not landed and progress.shard != _as_read(self._log):
            raise SinkFenced(
                f"shard {self.shard}: {progress.shard.owner} published batch {progress.shard.batch_id} meanwhile"
            )
        if self.paused:
            self.paused = False
            self._acquired(progress, began)
        self._emit(Recovered(self.shard, None if attempt is None else landed, self._clock.wall_us()))
        if landed and attempt is not None:
            self._log = attempt
            self._counters.received -= count_values(items)
            return ()
        left = unpublished(items, progress)
        # What a torn transaction left in the log was counted by the owner epoch that sent it.
        self._counters.received -= count_values(items) - count_values(left)
        return left

    async def _fence(self) -> Progress:
        while True:
            await self._ours.wait()
            try:
                progress = await self._sink.acquire()
            except SinkUnavailable as error:
                self._emit(Failed(self.shard, str(error), self._clock.wall_us()))
                await asyncio.sleep(self._backoff.next())
                continue
            if self._ours.is_set():
                self._owner_epoch = max(self._owner_epoch, progress.shard.owner_epoch) + 1
                self._counters.reset()
                self._progress = progress
                if self._disk is not None:
                    self._disk.follow(*self._owners())
                return progress


def _nothing(_claim: bool, /) -> None:  # noqa: FBT001
    """Nobody waits for the first rows."""


def _as_read(state: ShardState) -> ShardState:
    """The state with the precision that the log keeps: milliseconds."""
    through_us = state.complete_through_us // 1000 * 1000
    return ShardState(state.owner, state.owner_epoch, state.batch_id, state.heartbeat_seq, through_us)
