"""Made-up histories of an account: what a flawless connector would have written, transaction by transaction.

Plain dictionaries after the schemas; no code of the connector takes part.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from connector.verify.checks import Auditor, Layout
from connector.verify.findings import Message
from connector.verify.murmur import partition_of

ACCOUNT = "acme"
METRICS, LATEST, GAPS = "p.metrics", "p.latest", "p.gaps"
HEARTBEATS, OFFSETS = "p.acme.heartbeats", "p.acme.offsets"


class Made(NamedTuple):
    """A record before it has an offset."""

    topic: str
    partition: int
    key: str
    value: dict[str, Any] | None
    timestamp: int
    headers: list[tuple[str, bytes]] | None = None


EPOCH = 1_800_000_000_000
"""When histories begin, milliseconds."""

Transactions = list[list[Made]]


@dataclass
class Place:
    """Where one series stands."""

    name: str
    epoch: int = 1
    sequence: int = 0
    value: float | None = None
    received: int | None = None
    session: str = ""
    gap: tuple[int, str] | None = None
    state: str = "active"
    fresh: bool = True

    @property
    def key(self) -> str:
        return self.name.rpartition("|")[2] or "all"


@dataclass
class Pending:
    """What the next transaction of a shard carries."""

    updates: list[dict[str, Any]] = field(default_factory=list)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    touched: list[Place] = field(default_factory=list)
    retired: list[Place] = field(default_factory=list)


class Shard:
    """Counters of one shard."""

    def __init__(self) -> None:
        self.owner_epoch = 1
        self.batch = 0
        self.beat_seq = 0
        self.pending = Pending()
        self.reset()

    def reset(self) -> None:
        self.received = self.records = self.suppressed = self.gaps = 0


class History:
    """Write one with `push`, `disconnect`, `takeover`, `retire`, `restore` and `commit`."""

    def __init__(self, *, shards: int = 1, partitions: int = 4, departments: int = 3, start: int = EPOCH):
        self.shards = [Shard() for _ in range(shards)]
        self.partitions = partitions
        self.now = start
        self.transactions: Transactions = []
        self.session, self.frame = "s1", 0
        self._sessions = 1
        names = [f"chats.missed_chats|30|{number}" for number in range(1, departments)] + ["agents.agents_online||"]
        self.series = [Place(name) for name in names]

    # What happens.

    def push(self, at: int, value: float) -> None:
        """The source pushes a value of one series."""
        one = self.series[at]
        if one.state == "removed":
            return
        self.now += 7
        self.frame += 1
        shard = self._shard(one)
        shard.received += 1
        if one.gap is not None:
            self._close(one, shard, value)
        fresh, one.fresh = one.fresh, False
        if fresh and one.sequence and one.value == value:
            shard.suppressed += 1
            shard.pending.touched.append(one)
            return
        known = one.sequence > 0
        one.sequence, one.value, one.received, one.session = one.sequence + 1, value, self.now, self.session
        origin = "update" if not fresh else "resync" if known else "initial"
        shard.pending.updates.append({**self._update(one), "origin": origin})
        shard.pending.touched.append(one)

    def disconnect(self) -> None:
        """The session ends, another one begins; every series has a gap until its next value."""
        started = self.now
        self.now += 400
        for one in self.series:
            if one.state == "active":
                self._open(one, started, "disconnect")
        self._session()

    def takeover(self, at: int = 0) -> None:
        """Another replica takes a shard; its session is its own."""
        shard = self.shards[at]
        self.now += 3000
        shard.owner_epoch += 1
        shard.reset()
        for one in self.series:
            if self._shard(one) is shard and one.state == "active":
                self._open(one, self.now - 3000, "takeover")
        for one in self.series:
            if self._shard(one) is not shard and one.state == "active":
                self._open(one, self.now - 3000, "disconnect")
        self._session()

    def retire(self, at: int) -> None:
        """A series is no longer configured."""
        one = self.series[at]
        if one.state == "removed":
            return
        self.now += 5
        if one.gap is not None:
            self._close(one, self._shard(one), None, detail="removed")
        one.state, one.gap = "removed", (self.now, "unsubscribed")
        self._shard(one).pending.retired.append(one)
        self._shard(one).pending.touched.append(one)

    def restore(self, at: int) -> None:
        """A retired series is configured again."""
        one = self.series[at]
        if one.state == "active":
            return
        assert one.gap is not None
        one.state, one.fresh = "active", True
        self._record_gap(one, self._shard(one), None)

    def commit(self, at: int = 0, *, beat: bool = True) -> None:
        """The transaction of a shard."""
        self.now += 40
        shard = self.shards[at]
        pending, shard.pending = shard.pending, Pending()
        shard.batch += 1
        shard.beat_seq += beat
        shard.records += len(pending.updates)
        shard.gaps += sum(gap["ended_at"] is not None for gap in pending.gaps)
        made = [self._metrics(update, shard.batch) for update in pending.updates]
        made += [self._gap(gap) for gap in self._closed_once(pending.gaps)]
        made += self._latest(pending, shard.batch)
        made += self._rows(pending, at)
        made += self._beats(at) if beat else []
        made.append(self._shard_row(at, len(pending.updates)))
        self.transactions.append(made)

    def commit_all(self) -> None:
        for at in range(len(self.shards)):
            self.commit(at)

    # Records.

    def _shard(self, one: Place) -> Shard:
        return self.shards[partition_of(one.key.encode(), self.partitions) % len(self.shards)]

    def _session(self) -> None:
        self._sessions += 1
        self.session, self.frame = f"s{self._sessions}", 0
        for one in self.series:
            one.fresh = True

    def _open(self, one: Place, started: int, reason: str) -> None:
        if one.gap is None:
            one.gap = started, reason
            self._record_gap(one, self._shard(one), None)

    def _close(self, one: Place, shard: Shard, value: float | None, detail: str | None = None) -> None:
        self._record_gap(one, shard, self.now, value=value, detail=detail)
        one.epoch += 1
        one.gap = None

    def _record_gap(
        self, one: Place, shard: Shard, ended: int | None, *, value: float | None = None, detail: str | None = None
    ) -> None:
        assert one.gap is not None
        shard.pending.touched.append(one)
        shard.pending.gaps.append(
            {
                "gap_id": f"{ACCOUNT}/{one.name}/{one.epoch + 1}",
                **self._identity(one),
                "epoch_before": one.epoch,
                "epoch_after": one.epoch + 1,
                "last_sequence_before": one.sequence,
                "first_sequence_after": None if ended is None else one.sequence + 1,
                "started_at": one.gap[0],
                "ended_at": ended,
                "reason": one.gap[1],
                "detail": detail,
                "value_before": one.value,
                "value_after": value,
                "resynced": ended is not None and detail is None,
                "updates_dropped": None,
            }
        )

    @staticmethod
    def _closed_once(gaps: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A gap that opens and closes in one transaction has its final record only."""
        final = {gap["gap_id"] for gap in gaps if gap["ended_at"] is not None}
        return [gap for gap in gaps if gap["ended_at"] is not None or gap["gap_id"] not in final]

    def _identity(self, one: Place) -> dict[str, Any]:
        name, window, department = one.name.split("|")
        family, metric = name.split(".")
        return {
            "account": ACCOUNT,
            "series": one.name,
            "family": family,
            "metric": metric,
            "department_id": int(department) if department else None,
            "window_minutes": int(window) if window else None,
        }

    def _update(self, one: Place) -> dict[str, Any]:
        return {
            "event_id": f"{ACCOUNT}/{one.name}/{one.epoch}/{one.sequence}",
            **self._identity(one),
            "value": one.value,
            "value_raw": f"{one.value:g}",
            "unit": "chats",
            "received_at": self.now,
            "received_at_us": self.now * 1000,
            "sequence": one.sequence,
            "epoch": one.epoch,
            "session_id": self.session,
            "frame": self.frame,
        }

    def _metrics(self, update: dict[str, Any], batch: int) -> Made:
        key = "all" if update["department_id"] is None else str(update["department_id"])
        headers = [("ce_specversion", b"1.0"), ("ce_id", update["event_id"].encode())]
        value = {**update, "batch_id": batch}
        place = partition_of(key.encode(), self.partitions)
        return Made(METRICS, place, key, value, update["received_at"], headers)

    def _gap(self, gap: dict[str, Any]) -> Made:
        key = "all" if gap["department_id"] is None else str(gap["department_id"])
        timestamp = gap["started_at"] if gap["ended_at"] is None else gap["ended_at"]
        return Made(GAPS, partition_of(key.encode(), self.partitions), key, gap, timestamp)

    def _latest(self, pending: Pending, batch: int) -> list[Made]:
        gone = {one.name for one in pending.retired if one.state == "removed"}
        newest = {update["series"]: update for update in pending.updates if update["series"] not in gone}
        made = []
        for name, update in newest.items():
            key = f"{ACCOUNT}/{name}"
            place = partition_of(key.encode(), self.partitions)
            made.append(Made(LATEST, place, key, {**update, "batch_id": batch}, update["received_at"]))
        for name in gone:
            key = f"{ACCOUNT}/{name}"
            made.append(Made(LATEST, partition_of(key.encode(), self.partitions), key, None, self.now))
        return made

    def _rows(self, pending: Pending, at: int) -> list[Made]:
        total = len(pending.updates)
        made = []
        for one in {one.name: one for one in pending.touched}.values():
            records = [update for update in pending.updates if update["series"] == one.name]
            value = {
                **self._row(at, total),
                "series": one.name,
                "state": one.state,
                "epoch": one.epoch,
                "last_sequence": one.sequence,
                "last_event_id": records[-1]["event_id"] if records else None,
                "last_received_at": one.received,
                "last_value": one.value,
                "batch_records": len(records),
                "topic": METRICS,
                "partition": partition_of(one.key.encode(), self.partitions),
                "session_id": one.session,
                "gap_started_at": None if one.gap is None else one.gap[0],
                "gap_reason": None if one.gap is None else one.gap[1],
            }
            made.append(Made(OFFSETS, at, f"{ACCOUNT}/{one.name}", value, self.now))
        return made

    def _row(self, at: int, total: int) -> dict[str, Any]:
        shard = self.shards[at]
        return {
            "account": ACCOUNT,
            "batch_id": shard.batch,
            "batch_records_total": total,
            "owner": f"replica-{shard.owner_epoch}",
            "owner_epoch": shard.owner_epoch,
            "committed_at": self.now,
            "offset_hint": None,
        }

    def _shard_row(self, at: int, total: int) -> Made:
        value = {
            **self._row(at, total),
            "series": "#shard",
            "state": "active",
            "epoch": 0,
            "last_sequence": 0,
            "batch_records": 0,
            "topic": OFFSETS,
            "partition": at,
            "session_id": "",
            "heartbeat_seq": self.shards[at].beat_seq,
            "complete_through": self.now - 40,
        }
        return Made(OFFSETS, at, f"{ACCOUNT}/#shard", value, self.now)

    def _beats(self, at: int) -> list[Made]:
        shard = self.shards[at]
        through = self.now - 40
        value = {
            "account": ACCOUNT,
            "shard": at,
            "owner": f"replica-{shard.owner_epoch}",
            "owner_epoch": shard.owner_epoch,
            "heartbeat_seq": shard.beat_seq,
            "emitted_at": self.now,
            "complete_through": through,
            "interval_ms": 1000,
            "state": "connected",
            "session_id": self.session,
            "last_frame_at": None,
            "ping_rtt_ms": None,
            "batch_id": shard.batch - 1,
            "series_expected": len(self.series),
            "series_active": len(self.series),
            "values_received_total": shard.received,
            "repeats_suppressed_total": shard.suppressed,
            "dropped_total": 0,
            "waiting": 0,
            "frames_total": self.frame,
            "records_total": shard.records,
            "gaps_total": shard.gaps,
            "dead_letters_total": 0,
            "reconnects_total": 0,
            "version": "1",
        }
        return [
            Made(HEARTBEATS, partition, f"{ACCOUNT}/{partition}", {**value, "partition": partition}, through)
            for partition in range(at, self.partitions, len(self.shards))
        ]


def dice_of(seed: int) -> random.Random:
    """Chance that can be repeated."""
    return random.Random(seed)


def busy(seed: int, *, shards: int = 2, steps: int = 120, start: int = EPOCH) -> History:
    """A history in which everything happens that may happen, by chance."""
    dice = dice_of(seed)
    history = History(shards=shards, partitions=dice.choice([2, 4, 6]), departments=dice.randint(2, 5), start=start)
    for _ in range(steps):
        at = dice.randrange(len(history.series))
        match dice.choices(["push", "commit", "disconnect", "takeover", "retire", "restore"], [60, 25, 4, 3, 2, 4])[0]:
            case "push":
                history.push(at, dice.randint(0, 3))
            case "commit":
                history.commit(dice.randrange(shards), beat=dice.random() < 0.6)
            case "disconnect":
                history.disconnect()
            case "takeover":
                history.commit_all()
                history.takeover(dice.randrange(shards))
            case "retire":
                history.retire(at)
            case "restore":
                history.restore(at)
    history.commit_all()
    history.commit_all()
    return history


def layout(history: History) -> Layout:
    """The topics of a history."""
    four = dict.fromkeys((METRICS, LATEST, GAPS, HEARTBEATS), history.partitions)
    counts = {**four, OFFSETS: len(history.shards)}
    return Layout(ACCOUNT, len(history.shards), frozenset({METRICS}), LATEST, GAPS, HEARTBEATS, OFFSETS, counts)


Logs = dict[tuple[str, int], list[Message]]


def logs(transactions: Transactions) -> Logs:
    """The partitions, each with its records; every transaction's marker takes an offset too."""
    found: Logs = {}
    ends: dict[tuple[str, int], int] = {}
    for transaction in transactions:
        for one in transaction:
            place = one.topic, one.partition
            offset = ends.get(place, 0)
            ends[place] = offset + 1
            key = None if one.key is None else one.key.encode()
            message = Message(one.topic, one.partition, offset, key, one.value, one.timestamp, one.headers)
            found.setdefault(place, []).append(message)
        for place in {(one.topic, one.partition) for one in transaction}:
            ends[place] += 1
    return found


def audit(
    history: History,
    transactions: Transactions | None = None,
    *,
    dice: random.Random | None = None,
    truncated: set[tuple[str, int]] = frozenset(),
    since: int | None = None,
) -> Auditor:
    """The audit of a history as the reader does it: offsets and heartbeats, then everything, then once more."""
    partitions = logs(history.transactions if transactions is None else transactions)
    if since is not None:
        partitions = {
            place: messages if place[0] in (OFFSETS, LATEST) else _since(messages, since)
            for place, messages in partitions.items()
        }
    auditor = Auditor(layout(history), since_ms=since)
    early = (OFFSETS, HEARTBEATS)
    for place, messages in partitions.items():
        if place[0] in early:
            for message in messages:
                auditor.feed(message)
    auditor.begin()
    rest = [list(messages) for place, messages in partitions.items() if place[0] not in early]
    for message in _interleaved(rest, dice or dice_of(1)):
        auditor.feed(message)
    auditor.settle(truncated)
    auditor.begin()
    auditor.settle()
    return auditor


def _since(messages: list[Message], since: int) -> list[Message]:
    """From the first record on that is not older, as Kafka's offsets_for_times does it."""
    first = next((at for at, message in enumerate(messages) if message.timestamp >= since), len(messages))
    return messages[first:]


def watch(history: History, dice: random.Random) -> Auditor:
    """The audit while the history happens: transactions become readable partition by partition."""
    auditor = Auditor(layout(history))
    partitions = logs(history.transactions)
    behind: Logs = {place: [] for place in partitions}
    index = dict.fromkeys(partitions, 0)
    for transaction in history.transactions:
        if dice.random() < 0.3:
            _feed_some(auditor, behind, dice)
            auditor.begin()
            for messages in behind.values():
                for message in messages:
                    auditor.feed(message)
                messages.clear()
        for one in transaction:
            place = one.topic, one.partition
            behind[place].append(partitions[place][index[place]])
            index[place] += 1
        if auditor.round:
            _feed_some(auditor, behind, dice)
            auditor.settle()
    for _ in range(3):
        auditor.begin()
        _feed_some(auditor, behind, dice, share=1)
        auditor.settle()
    return auditor


def _feed_some(auditor: Auditor, behind: Logs, dice: random.Random, *, share: float = 0.5) -> None:
    """Of some partitions a part, as far as it is readable there already."""
    for messages in behind.values():
        if dice.random() <= share:
            size = len(messages) if share == 1 else dice.randint(0, len(messages))
            for message in messages[:size]:
                auditor.feed(message)
            del messages[:size]


def _interleaved(queues: list[list[Message]], dice: random.Random) -> list[Message]:
    """The records of several partitions, each in its order."""
    order = []
    queues = [queue for queue in queues if queue]
    while queues:
        queue = dice.choice(queues)
        size = dice.randint(1, 20)
        order += queue[:size]
        del queue[:size]
        queues = [one for one in queues if one]
    return order
