"""What is known of this replica right now: the events, folded. Bounded, and cheap per batch.

Times named ``*_us`` are wall clock, microseconds since the epoch.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final

from connector.domain.events import (
    Acquired,
    Closed,
    Committed,
    Event,
    Failed,
    Noticed,
    Opened,
    Ponged,
    Recovered,
    Refused,
    Rejected,
    Reloaded,
    Yielded,
)
from connector.domain.incidents import Incidents
from connector.domain.model import Entry, GapClosed, GapOpened, Retired, Subscribed
from connector.domain.standing import Commit, Letter, Link, Row, Shard, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.domain.model import Beat, Series

COMMITS: Final = 256
LETTERS: Final = 50


class Status:
    """The state of one replica. `advance` is the only writer.

    Args:
        since_us: when the process began.
    """

    def __init__(self, since_us: int) -> None:
        self.since_us = since_us
        self.version = 0
        """+1 with each transaction."""
        self.layout = 0
        """+1 whenever a series comes or goes."""
        self.shards: dict[int, Shard] = {}
        self.failing: dict[int, Trouble] = {}
        self.rows: dict[Series, Row] = {}
        self.incidents = Incidents()
        self.link: Link | None = None
        self.unlinked: Trouble | None = Trouble(since_us, 0, "start", "no session was opened yet")
        self.commits: deque[Commit] = deque(maxlen=COMMITS)
        self.letters: deque[Letter] = deque(maxlen=LETTERS)
        self.letters_by_reason: Counter[str] = Counter()
        self.notices: Counter[str] = Counter()
        self.updates = 0
        self.transactions = 0
        self.failed = 0
        """Transactions that were not confirmed; of these ``aborted`` are not in the log, by what recovery read."""
        self.aborted = 0
        self.rebuilt = 0
        """Producers replaced between two transactions, since the one before might still be ended late."""
        self.sessions = 0
        self.reloaded: Reloaded | None = None
        """The newest one."""

    @property
    def role(self) -> str:
        """owner, if any shard is ours, else standby."""
        return "owner" if self.shards else "standby"

    def row(self, series: Series, shard: int) -> Row:
        """The row of the series, new if need be."""
        found = self.rows.get(series)
        if found is None:
            found = self.rows[series] = Row(series, shard)
            self.layout += 1
        return found

    def drop(self, series: Series) -> None:
        """The series is not followed here any more."""
        if self.rows.pop(series, None) is not None:
            self.incidents.forget(series)
            self.layout += 1

    def beats(self) -> list[Beat]:
        """The newest heartbeat of each owned shard."""
        return [shard.beat for shard in self.shards.values() if shard.beat is not None]

    def counted(self, name: str) -> int:
        """A counter of the heartbeats, summed over the owned shards."""
        return sum(beat.counters.get(name, 0) for beat in self.beats())


def advance(status: Status, event: Event) -> None:
    """What happened becomes part of what is known."""
    step = _STEPS.get(type(event))
    if step is not None:
        step(status, event)


# The session.


def _opened(status: Status, event: Opened) -> None:
    status.link = Link(event.session_id, event.at_us)
    status.unlinked = None
    status.sessions += 1


def _ponged(status: Status, event: Ponged) -> None:
    link = status.link
    if link is not None and link.session_id == event.session_id:
        ponged_us = event.sent_us + int(event.rtt_ms * 1000)
        status.link = Link(link.session_id, link.opened_us, event.rtt_ms, ponged_us)


def _closed(status: Status, event: Closed) -> None:
    status.link = None
    status.unlinked = Trouble(event.at_us, 0, event.reason, event.message)


def _refused(status: Status, event: Refused) -> None:
    before = status.unlinked
    if before is not None:
        retry_us = event.at_us + int(event.seconds * 1e6)
        status.unlinked = Trouble(before.since_us, before.times + 1, event.reason, event.message, retry_us)


def _noticed(status: Status, event: Noticed) -> None:
    status.notices[event.kind] += 1


def _reloaded(status: Status, event: Reloaded) -> None:
    status.reloaded = event


# Shards.


def _acquired(status: Status, event: Acquired) -> None:
    status.shards[event.shard] = Shard(event)
    status.failing.pop(event.shard, None)


def _yielded(status: Status, event: Yielded) -> None:
    status.shards.pop(event.shard, None)
    status.failing.pop(event.shard, None)
    for series in [row.series for row in status.rows.values() if row.shard == event.shard]:
        status.drop(series)


def _failed(status: Status, event: Failed) -> None:
    before = status.failing.get(event.shard)
    since_us, times = (event.at_us, 1) if before is None else (before.since_us, before.times + 1)
    status.failing[event.shard] = Trouble(since_us, times, "kafka", event.error)
    status.failed += 1


def _recovered(status: Status, event: Recovered) -> None:
    status.aborted += event.landed is False
    status.rebuilt += event.landed is None


# Transactions.


def _committed(status: Status, event: Committed) -> None:
    batch = event.batch
    status.version += 1
    status.transactions += 1
    status.failing.pop(batch.shard, None)
    shard = status.shards.get(batch.shard)
    if shard is not None:
        shard.batch_id = event.batch_id
        shard.through_us = batch.complete_through_us
        shard.beat = batch.beat or shard.beat
    entries = [item for item in batch.items if type(item) is Entry]
    if len(entries) != len(batch.items):
        for item in batch.items:
            _ITEMS.get(type(item), _nothing)(status, item, event)
    # One step for each series, however many of its values the batch holds.
    for series, entry in {entry.series: entry for entry in entries}.items():
        row = status.rows.get(series) or status.row(series, batch.shard)
        row.take(entry, status.version)
    status.updates += len(entries)
    latency_us = event.at_us - entries[0].received_us if entries else None
    commit = Commit(event.at_us, batch.shard, event.batch_id, len(entries), event.seconds, latency_us)
    status.commits.append(commit)


def _nothing(status: Status, item: Any, event: Committed) -> None:
    """Updates are taken together, after what else the batch holds."""


def _subscribed(status: Status, item: Subscribed, event: Committed) -> None:
    status.row(item.offset.series, event.batch.shard).stand(item.offset, status.version)


def _retired(status: Status, item: Retired, event: Committed) -> None:  # noqa: ARG001 - one signature for all
    status.drop(item.offset.series)


def _gap_opened(status: Status, item: GapOpened, event: Committed) -> None:
    status.row(item.offset.series, event.batch.shard).stand(item.offset, status.version)
    status.incidents.open(item.offset.series, item.gap)


def _gap_closed(status: Status, item: GapClosed, event: Committed) -> None:
    status.row(item.offset.series, event.batch.shard).stand(item.offset, status.version)
    status.incidents.close(item.offset.series, item.gap, item.ended_us, item.dropped or 0)


def _rejected(status: Status, item: Rejected, event: Committed) -> None:
    size = len(item.payload)
    letter = Letter(event.at_us, item.reason, item.stage, size, item.series, item.session_id, item.frame)
    status.letters.append(letter)
    status.letters_by_reason[item.reason] += 1


_STEPS: Final[dict[type, Callable[[Status, Any], None]]] = {
    Opened: _opened,
    Ponged: _ponged,
    Closed: _closed,
    Refused: _refused,
    Noticed: _noticed,
    Reloaded: _reloaded,
    Acquired: _acquired,
    Yielded: _yielded,
    Failed: _failed,
    Recovered: _recovered,
    Committed: _committed,
}
_ITEMS: Final[dict[type, Callable[[Status, Any, Committed], None]]] = {
    Subscribed: _subscribed,
    Retired: _retired,
    GapOpened: _gap_opened,
    GapClosed: _gap_closed,
    Rejected: _rejected,
}
