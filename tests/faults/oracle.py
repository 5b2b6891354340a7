"""What must be true of the topics after a fault, given the emulator's journal.

lost: a value that was delivered on a session of ours, or would have been on an unbroken one, and is neither in the
topic nor inside a declared gap of its series, nor a snapshot equal to what was known.
"""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from faults.audit import Message


class Value(NamedTuple):
    """One value that the source published, and the deliveries of it."""

    series: str
    literal: str
    at_us: int
    deliveries: tuple[tuple[str, int], ...]


class Gap(NamedTuple):
    """One declared gap; an open one has no end yet."""

    started_us: int
    ended_us: float
    reason: str
    epoch_after: int


@dataclass
class Verdict:
    """What the oracle says; ``faults`` are all the texts, none of them means a pass."""

    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    reordered: list[str] = field(default_factory=list)
    undeclared: list[str] = field(default_factory=list)
    gaps: dict[str, int] = field(default_factory=dict)
    """Final gaps by reason."""
    early_ms: float = 0.0
    """How much earlier than its oldest missing value a gap begins, at most."""
    values: int = 0

    @property
    def faults(self) -> list[str]:
        """Every finding."""
        return self.lost + self.duplicated + self.reordered + self.undeclared


def judge(lines: list[dict[str, Any]], messages: dict[str, list[Message]], *, since_us: int = 0) -> Verdict:
    """Compare the journal with what the auditor read. ``since_us``: count gaps and their starts from then on only."""
    verdict = Verdict()
    metrics = messages["metrics"]
    values, snapshots, shown = published(lines)
    have = {identity(one) for one in metrics}
    verdict.duplicated += [
        f"published on two sessions: {one}"
        for one in shown
        if sum((*where, one.series) in have for where in one.deliveries) > 1
    ]
    # A value that Kafka refuses is declared by its dead letter.
    letters = (one.value for one in messages["dead-letters"])
    have |= {(one["session_id"], one["frame"], one["series"]) for one in letters}
    spans = declared(messages["gaps"])
    missing = [one for one in values if not any((*where, one.series) in have for where in one.deliveries)]
    verdict.values = len(values)
    verdict.lost += [
        f"lost: {one}{nearest(spans, one.series, one.at_us)}"
        for one in missing
        if not inside(spans, one.series, one.at_us)
    ]
    verdict.lost += [
        f"lost snapshot: {one}{nearest(spans, one.series, one.at_us)}"
        for one in snapshots
        if (*one.deliveries[0], one.series) not in have and not inside(spans, one.series, one.at_us)
    ]
    verdict.lost += lost_resyncs(metrics, messages["gaps"])
    repeats(verdict, metrics)
    order(verdict, metrics, lines)
    verdict.undeclared += steps(metrics, messages["gaps"])
    verdict.undeclared += [
        f"{series}: a gap of {gap.reason} never ended"
        for series, gaps in spans.items()
        for gap in gaps
        if gap.ended_us == float("inf")
    ]
    verdict.undeclared += holes(messages["heartbeats"], messages["offsets"])
    final = [one for one in messages["gaps"] if one.value["ended_at"] is not None]
    for one in final:
        if one.value["ended_at"] * 1000 >= since_us:
            verdict.gaps[one.value["reason"]] = verdict.gaps.get(one.value["reason"], 0) + 1
    verdict.early_ms = early(missing, spans, since_us) / 1000
    return verdict


# The journal.


def published(lines: Iterable[dict[str, Any]]) -> tuple[list[Value], list[Value], list[Value]]:
    """Every value from its series' first subscription on, with its deliveries; every snapshot; both together."""
    snapshots: dict[tuple[str, str], Value] = {}
    frames: list[Value] = []
    values: dict[str, Deliveries] = {}
    for line in lines:
        if line["event"] == "value" and line["series"] in values:
            values[line["series"]].add(line["at"], line["value"])
        for series, literal in line.get("values") or ():
            one = Value(series, literal, line["at"], ((line["session"], line["frame"]),))
            if (series, line["session"]) in snapshots:
                frames.append(one)
            snapshots.setdefault((series, line["session"]), one)
            values.setdefault(series, Deliveries())
    again = [one for one in frames if not values[one.series].deliver(one)]
    for one in snapshots.values():
        values[one.series].show(one)
    published = [one for series, many in values.items() for one in many.values(series)]
    shown = [one for series, many in values.items() for one in many.shown(series)]
    return published, [*snapshots.values(), *again], shown


class Deliveries:
    """The published values of one series, in order of time, and the frames that carried each."""

    def __init__(self) -> None:
        self._times: list[int] = []
        self._literals: list[str] = []
        self._frames: list[list[tuple[str, int]]] = []
        self._snapshots: dict[int, list[Value]] = defaultdict(list)

    def add(self, at_us: int, literal: str) -> None:
        self._times.append(at_us)
        self._literals.append(literal)
        self._frames.append([])

    def deliver(self, frame: Value) -> bool:
        """A frame carries the newest value before it; False if it only repeats it: a snapshot on a used session."""
        at = bisect.bisect_right(self._times, frame.at_us) - 1
        if at < 0:
            return False
        assert self._literals[at] == frame.literal, f"{frame} of the journal belongs to no value"
        delivery = frame.deliveries[0]
        if any(session == delivery[0] for session, _ in self._frames[at]):
            return False
        self._frames[at].append(delivery)
        return True

    def show(self, snapshot: Value) -> None:
        """A snapshot shows the newest value before it: the one of before the first subscription, too."""
        self._snapshots[bisect.bisect_right(self._times, snapshot.at_us) - 1].append(snapshot)

    def shown(self, series: str) -> list[Value]:
        """Every value with the frames that carried it and the snapshots that showed it."""
        found = []
        for at, snapshots in self._snapshots.items():
            literal = snapshots[0].literal if at < 0 else self._literals[at]
            frames = [] if at < 0 else self._frames[at]
            shown = [one.deliveries[0] for one in snapshots if one.literal == literal]
            found.append(Value(series, literal, snapshots[0].at_us, (*frames, *shown)))
        return found

    def values(self, series: str) -> list[Value]:
        together = zip(self._literals, self._times, self._frames, strict=True)
        return [Value(series, literal, at_us, tuple(frames)) for literal, at_us, frames in together]


# The topics.


def identity(message: Message) -> tuple[str, int, str]:
    return message.value["session_id"], message.value["frame"], message.value["series"]


def declared(gaps: Iterable[Message]) -> dict[str, list[Gap]]:
    """The gaps of each series; a final record replaces the open one of the same id."""
    known: dict[tuple[str, str], Gap] = {}
    for one in gaps:
        value = one.value
        ended = float("inf") if value["ended_at"] is None else (value["ended_at"] + 1) * 1000
        gap = Gap(value["started_at"] * 1000, ended, value["reason"], value["epoch_after"])
        before = known.get((value["series"], value["gap_id"]))
        if before is None or before.ended_us == float("inf"):
            known[value["series"], value["gap_id"]] = gap
    spans = defaultdict(list)
    for (series, _), gap in known.items():
        spans[series].append(gap)
    return spans


def inside(spans: dict[str, list[Gap]], series: str, at_us: int) -> bool:
    return any(gap.started_us <= at_us <= gap.ended_us for gap in spans.get(series, ()))


def nearest(spans: dict[str, list[Gap]], series: str, at_us: int) -> str:
    """How far the next gap is off, for the finding."""
    gap = min(spans.get(series, ()), key=lambda one: abs(one.started_us - at_us), default=None)
    return ", no gap" if gap is None else f", {gap.reason} gap begins {(gap.started_us - at_us) / 1000:+.1f} ms"


def early(missing: Iterable[Value], spans: dict[str, list[Gap]], since_us: int) -> float:
    """Microseconds from a gap's start to the oldest value that is missing in it, at most."""
    times = defaultdict(list)
    for one in missing:
        times[one.series].append(one.at_us)
    worst = 0.0
    for series, gaps in spans.items():
        ordered = sorted(times[series])
        for gap in gaps:
            at = bisect.bisect_left(ordered, gap.started_us)
            if gap.started_us >= since_us and at < len(ordered) and ordered[at] <= gap.ended_us:
                worst = max(worst, ordered[at] - gap.started_us)
    return worst


def lost_resyncs(metrics: list[Message], gaps: list[Message]) -> list[str]:
    """A gap that ends with another value than before is followed by a record of that value."""
    records = {(one.value["series"], one.value["sequence"]): one.value for one in metrics}
    final = [one.value for one in gaps if one.value["ended_at"] is not None]
    again = {(one["series"], one["epoch_before"]) for one in final}
    findings = []
    for gap in final:
        if not gap["resynced"] or gap["value_after"] == gap["value_before"]:
            continue
        record = records.get((gap["series"], gap["first_sequence_after"]))
        if (gap["series"], gap["epoch_after"]) in again and (record is None or record["epoch"] != gap["epoch_after"]):
            continue
        if record is None or record["value"] != gap["value_after"]:
            findings.append(f"lost resync: {gap['gap_id']} ends with {gap['value_after']}: {record}")
    return findings


def repeats(verdict: Verdict, metrics: list[Message]) -> None:
    """No frame, event or number of a series twice."""
    keys = {
        "frame": identity,
        "event": lambda one: one.value["event_id"],
        "sequence": lambda one: (one.value["series"], one.value["sequence"]),
    }
    for name, key in keys.items():
        seen = set()
        for one in metrics:
            if key(one) in seen:
                verdict.duplicated.append(f"duplicated {name}: {key(one)} at {one.partition}/{one.offset}")
            seen.add(key(one))


def order(verdict: Verdict, metrics: list[Message], lines: list[dict[str, Any]]) -> None:
    """Per series in the order of the topic: numbers without holes, epochs rising, frames as they were sent."""
    sent = {
        (line["session"], line["frame"]): (at, line["at"]) for at, line in enumerate(lines) if line["event"] == "frame"
    }
    last: dict[str, Message] = {}
    for one in sorted(metrics, key=lambda message: (message.partition, message.offset)):
        value, before = one.value, last.get(one.value["series"])
        last[value["series"]] = one
        if (value["session_id"], value["frame"]) not in sent:
            verdict.lost.append(f"never sent: {identity(one)}")
            continue
        if before is None:
            if value["sequence"] != 1:
                verdict.undeclared.append(f"{value['series']} begins with {value['sequence']}")
            continue
        earlier = before.value
        if value["sequence"] != earlier["sequence"] + 1:
            verdict.undeclared.append(f"{value['series']}: {earlier['event_id']} then {value['event_id']}")
        frames = [sent.get((record["session_id"], record["frame"]), (-1, 0)) for record in (earlier, value)]
        if value["epoch"] < earlier["epoch"] or frames[1] <= frames[0]:
            verdict.reordered.append(f"{earlier['event_id']} before {value['event_id']}")


def steps(metrics: list[Message], gaps: list[Message]) -> list[str]:
    """Each step of an epoch has exactly one final gap, and it fits the numbers around it."""
    final = defaultdict(list)
    for one in gaps:
        if one.value["ended_at"] is not None:
            final[one.value["series"], one.value["epoch_after"]].append(one.value)
    findings = [f"{place}: {len(many)} final gaps" for place, many in final.items() if len(many) > 1]
    series: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in sorted(metrics, key=lambda message: (message.partition, message.offset)):
        series[one.value["series"]].append(one.value)
    for name, values in series.items():
        if values[0]["epoch"] != 1 and (name, values[0]["epoch"]) not in final:
            findings.append(f"{name} begins in epoch {values[0]['epoch']}")
        for before, after in itertools.pairwise(values):
            for epoch in range(before["epoch"] + 1, after["epoch"] + 1):
                gap = final.get((name, epoch))
                if gap is None:
                    findings.append(f"{name}: epoch {epoch} without a final gap")
                elif gap[0]["last_sequence_before"] != before["sequence"]:
                    findings.append(f"{name}: gap to epoch {epoch} after {gap[0]['last_sequence_before']}")
    return findings


def holes(heartbeats: list[Message], offsets: list[Message]) -> list[str]:
    """Batches and heartbeats are numbered without holes, `complete_through` never falls, the counters balance."""
    findings = []
    shards: dict[int, list[int]] = defaultdict(list)
    for one in offsets:
        if one.value["series"] == "#shard":
            shards[one.partition].append(one.value["batch_id"])
    for batches in shards.values():
        findings += [f"batch {a} then {b}" for a, b in itertools.pairwise(batches) if b != a + 1]
    partitions: dict[int, list[Message]] = defaultdict(list)
    for one in heartbeats:
        partitions[one.partition].append(one)
        counters = ("records_total", "repeats_suppressed_total", "dead_letters_total", "dropped_total", "waiting")
        if one.value["values_received_total"] != sum(one.value[name] for name in counters):
            findings.append(f"heartbeat {one.value['heartbeat_seq']}: counters do not balance: {one.value}")
    for many in partitions.values():
        many.sort(key=lambda message: message.offset)
        for before, after in itertools.pairwise(many):
            if after.value["heartbeat_seq"] != before.value["heartbeat_seq"] + 1:
                findings.append(f"heartbeat {before.value['heartbeat_seq']} then {after.value['heartbeat_seq']}")
            if after.value["complete_through"] < before.value["complete_through"]:
                findings.append(f"complete_through falls at heartbeat {after.value['heartbeat_seq']}")
    return findings
