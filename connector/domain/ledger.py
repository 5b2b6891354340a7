"""The memory of one shard: numbers each update, tells snapshots from changes, opens and closes gaps.

Everything that has to reach Kafka leaves as an item of one ordered queue. The ledger runs ahead of the log: after
a failed transaction the same items are sent again, never newer ones first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from connector.domain.model import (
    Entry,
    GapClosed,
    GapOpened,
    OpenGap,
    Progress,
    Retired,
    Series,
    SourceOffset,
    Subscribed,
    by_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from connector.domain.events import Rejected, Updated
    from connector.domain.queue import Queue

ACTIVE: Final = "active"
REMOVED: Final = "removed"


class Position:
    """Where one series stands, newest values included that still wait for their transaction."""

    __slots__ = (
        "dropped",
        "epoch",
        "fresh",
        "gap",
        "held",
        "raw",
        "received_us",
        "sequence",
        "series",
        "session_id",
        "value",
    )

    def __init__(self, offset: SourceOffset) -> None:
        self.series = offset.series
        self.epoch = offset.epoch
        self.sequence = offset.sequence
        self.value = offset.value
        self.raw = offset.raw
        self.received_us = offset.received_us
        self.session_id = offset.session_id
        self.gap = offset.gap
        self.fresh = False
        """True from subscribing until the first value: that value is a snapshot."""
        self.held: Updated | None = None
        """The newest value while there is no room for it; the ones before it are given up."""
        self.dropped = 0

    def offset(self, state: str = ACTIVE) -> SourceOffset:
        """The row of the series as it stands now."""
        return SourceOffset(
            self.series,
            state,
            self.epoch,
            self.sequence,
            self.value,
            self.raw,
            self.received_us,
            self.session_id,
            self.gap,
        )


class Ledger:
    """Positions of the series of one shard and the queue of what is not yet committed.

    Args:
        collapse_repeats: a value equal to the one before it is no update.
        queue: what waits; when it is full, only the newest value of each series is kept.
    """

    def __init__(self, queue: Queue, *, collapse_repeats: bool = False) -> None:
        self.positions: dict[Series, Position] = {}
        self.queue = queue
        self.suppressed = 0
        self.dropped = 0
        self.full_since_us: int | None = None
        """Receipt of the first value for which there was no room; None while there is room."""
        self.proven_us: int | None = None
        """All that the source sent before that instant was received; gaps start there, not at a receipt."""
        self._collapse = collapse_repeats
        self._retired: dict[Series, SourceOffset] = {}
        self._forgotten_us: int | None = None
        """Since when anything may have been missed of a series that the log does not know, where rows were gone."""

    # Taking a shard over.

    def recover(self, progress: Progress, series: Iterable[Series], *, reason: str, at_us: int) -> None:
        """Continue from the log: declare what was missed, retire what is no longer configured.

        The gap of each series starts at the shard's ``complete_through``, or where its open gap started. Where rows
        were gone, a series that nothing tells of begins with a gap too, whenever it is configured.
        """
        wanted = set(series)
        for one, offset in progress.offsets.items():
            if offset.state == REMOVED:
                self._retired[one] = offset
            else:
                self.positions.setdefault(one, Position(offset))
        through = progress.shard.complete_through_us
        for one, position in self.positions.items():
            since = progress.lost.get(one)
            self._open(position, OpenGap(through, reason) if since is None else OpenGap(since, "state_lost"))
        if progress.incomplete:
            self._forgotten_us = through
        for one in sorted(set(self.positions) - wanted, key=by_name):
            self.retire(one, at_us)

    @property
    def has_room(self) -> bool:
        """False from the first value for which there was none until half of the room is free again."""
        return not self.queue.full and self.full_since_us is None

    @property
    def covered(self) -> bool:
        """True if every series has an open gap."""
        return all(position.gap is not None for position in self.positions.values())

    def announce(self, series: Sequence[Series]) -> list[Series]:
        """Follow series that have no position; returns those of which the log may hold no row yet."""
        fresh = [one for one in series if one not in self._retired]
        for one in series:
            self._start(one)
        return fresh

    # The session.

    def subscribe(self, series: Iterable[Series]) -> None:
        """A session asks for these series now: their next value is a snapshot."""
        for one in series:
            position = self.positions.get(one) or self._start(one)
            position.fresh = True

    def close(self, gap: OpenGap) -> None:
        """The session ended: every series has a gap from ``gap.started_us`` on, unless one is open already."""
        for position in self.positions.values():
            self._give_up(position)
            self._open(position, gap)

    def retire(self, series: Series, at_us: int) -> None:
        """Stop following a series; an open gap closes, since nothing is missed any more."""
        position = self.positions.pop(series)
        self._give_up(position)
        if position.gap is not None:
            self._step(position, position.value, at_us, detail="removed", resynced=False)
        position.gap = OpenGap(self._since(at_us), "unsubscribed")
        self._retired[series] = position.offset(REMOVED)
        self.queue.append(Retired(self._retired[series], at_us))

    def admit(self, update: Updated) -> bool:
        """Give the update its sequence and queue it; False if it only repeats what is known, or there is no room."""
        position = self.positions[update.series]
        if self.full_since_us is not None or self.queue.full:
            self._hold(position, update)
            return False
        return self._admit(position, update)

    def _admit(self, position: Position, update: Updated) -> bool:
        before = position.value
        gap = position.gap
        fresh, position.fresh = position.fresh, False
        known = position.sequence > 0
        repeated = known and (fresh or self._collapse) and before == update.value
        if gap is not None:
            self._step(position, update.value, update.received_us)
        if repeated:
            self.suppressed += 1
            return False
        position.sequence += 1
        position.value = update.value
        position.raw = update.raw
        position.received_us = update.received_us
        position.session_id = update.session_id
        origin = "update" if not fresh else "resync" if known else "initial"
        self.queue.append(
            Entry(
                update.series,
                position.epoch,
                position.sequence,
                update.value,
                update.raw,
                origin,
                update.received_us,
                update.session_id,
                update.frame,
            )
        )
        return True

    def reject(self, rejected: Rejected) -> None:
        """Queue the dead letter; the series whose value it held has a gap until its next value."""
        if not self.has_room:
            self._drop(rejected)
            return
        for series in rejected.series:
            position = self.positions.get(series)
            if position is not None:
                self._open(position, OpenGap(self._since(rejected.received_us), "undecodable", rejected.reason))
        self.queue.append(rejected)

    def doubt(self, rejected: Rejected) -> None:
        """Any series may have lost a value with this frame, which is kept elsewhere: all have a gap until the next.

        A value that waits for room is older, so it cannot be what ends the gap.
        """
        gap = OpenGap(self._since(rejected.received_us), "undecodable", rejected.reason)
        for position in self.positions.values():
            self._open(position, gap)
            self._give_up(position)

    # No room.

    def relieve(self) -> None:
        """Once half of the room is free again: the newest value of each series goes on, in a new epoch.

        The numbers of what was given up are given again, and the gap says exactly how many values that were.
        """
        if self.full_since_us is None or len(self.queue) > self.queue.room // 2:
            return
        self.full_since_us = None
        held = [position for position in self.positions.values() if position.held is not None]
        for position in sorted(held, key=_held_at):
            update = position.held
            assert update is not None
            position.held = None
            position.fresh = True
            self._admit(position, update)

    @property
    def held(self) -> int:
        """Values that wait outside the queue, one per series at most."""
        if self.full_since_us is None:
            return 0
        return sum(1 for position in self.positions.values() if position.held is not None)

    def _give_up(self, position: Position) -> None:
        """The held value will not be published: the next session brings a newer one, or none is wanted any more."""
        if position.held is not None:
            position.held = None
            position.dropped += 1
            self.dropped += 1

    def _hold(self, position: Position, update: Updated) -> None:
        if self.full_since_us is None:
            self.full_since_us = update.received_us
        self._open(position, OpenGap(self._since(update.received_us), "overflow"))
        self._give_up(position)
        position.held = update

    def _drop(self, rejected: Rejected) -> None:
        """No room for a dead letter: its series, or all if it names none, have a gap until a value after it."""
        self.dropped += 1
        for series in rejected.series or tuple(self.positions):
            position = self.positions.get(series)
            if position is not None:
                self._open(position, OpenGap(self._since(rejected.received_us), "overflow", rejected.reason))
                self._give_up(position)

    # Gaps.

    def _since(self, at_us: int) -> int:
        return at_us if self.proven_us is None else min(at_us, self.proven_us)

    def _start(self, series: Series) -> Position:
        retired = self._retired.pop(series, None)
        if retired is None:
            position = Position(SourceOffset(series, ACTIVE, 1, 0))
            self.queue.append(Subscribed(position.offset()))
            if self._forgotten_us is not None:
                self._open(position, OpenGap(self._forgotten_us, "state_lost"))
        else:
            position = Position(retired)
            assert position.gap is not None
            self.queue.append(GapOpened(position.offset(), position.gap))
        self.positions[series] = position
        return position

    def _open(self, position: Position, gap: OpenGap) -> None:
        if position.gap is None:
            position.gap = gap
            self.queue.append(GapOpened(position.offset(), gap))

    def _step(
        self,
        position: Position,
        value_after: float | None,
        ended_us: int,
        *,
        detail: str | None = None,
        resynced: bool = True,
    ) -> None:
        gap = position.gap
        assert gap is not None
        if detail is not None:
            gap = OpenGap(gap.started_us, gap.reason, detail)
        dropped, position.dropped = position.dropped, 0
        position.gap = None
        position.epoch += 1
        self.queue.append(
            GapClosed(
                position.offset(),
                gap,
                position.value,
                value_after if resynced else None,
                max(ended_us, gap.started_us),
                resynced,
                dropped or (0 if gap.reason == "overflow" else None),
            )
        )


def _held_at(position: Position) -> int:
    assert position.held is not None
    return position.held.received_us


def unpublished(items: tuple[Any, ...], progress: Progress) -> tuple[Any, ...]:
    """The items of a batch of unknown fate that the log does not hold yet.

    A torn transaction may have left some: what is newer than the log, series by series, is sent again.
    """
    return tuple(item for item in items if not _published(item, progress))


def _published(item: Any, progress: Progress) -> bool:
    if isinstance(item, Entry):
        offset = progress.offsets.get(item.series)
        return offset is not None and item.sequence <= offset.sequence
    if isinstance(item, GapClosed):
        offset = progress.offsets.get(item.offset.series)
        return offset is not None and item.offset.epoch <= offset.epoch
    return False
