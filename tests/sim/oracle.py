"""What is wrong with what was published, judged by the source's own journal and the log of read_committed."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from connector.domain.partition import partition_for

from .world import START_US

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.domain.model import Series

    from .scenario import Scenario
    from .source import Sent


class Finding(NamedTuple):
    """One broken promise. ``kind``: lost | duplicated | reordered | undeclared | ... one word each."""

    kind: str
    text: str


class Gap(NamedTuple):
    """The records of one gap_id, joined."""

    opened: list[tuple[int, dict[str, Any]]]
    final: list[tuple[int, dict[str, Any]]]

    @property
    def start(self) -> int:
        return min(value["started_at"] for _, value in self.opened + self.final)

    @property
    def end(self) -> float:
        return min((value["ended_at"] for _, value in self.final), default=float("inf"))

    @property
    def declared(self) -> int:
        return min(commit for commit, _ in self.opened + self.final)

    @property
    def before(self) -> int:
        return (self.final or self.opened)[0][1]["last_sequence_before"]


class Evidence:
    """The committed log, sorted by what it is about."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.metrics: dict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        self.gaps: dict[str, dict[int, Gap]] = defaultdict(dict)
        self.rows: dict[str, dict[str, Any]] = {}
        self.removed: dict[tuple[str, int], int] = {}
        """Transaction of the row that says since when a series is not followed."""
        self.shards: dict[int, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        self.beats: dict[int, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        self.letters: list[dict[str, Any]] = []
        self.latest: dict[str, dict[str, Any] | None] = {}
        self.spread: list[tuple[int, int]] = []
        """Transaction and shard of every record."""
        for (topic, partition), log in sorted(scenario.broker.partitions.items()):
            take = getattr(self, "_" + topic.split(".")[-1].replace("-", "_"))
            for commit, (key, value, _, _) in log.history():
                take(partition, commit, key.decode(), value)

    def shard_of(self, series: Series) -> int:
        """The shard that publishes a series."""
        settings = self.scenario.settings
        return partition_for(series.key.encode(), settings.partitions) % settings.shards

    def retired(self, series: Series, starts: set[int], due_ms: int) -> list[int]:
        """Transactions of rows that declare one of these gaps; whoever lost the row declares another one over it."""
        anyone = self.shard_of(series) in self.scenario.truncated
        rows = [(start, commit) for (name, start), commit in self.removed.items() if name == series.name]
        return [commit for start, commit in rows if start in starts or (anyone and start <= due_ms)]

    def _metrics(self, partition: int, commit: int, key: str, value: dict[str, Any]) -> None:
        self.metrics[value["series"]].append((commit, value))
        self.spread.append((commit, partition % self.scenario.settings.shards))

    def _gaps(self, partition: int, commit: int, key: str, value: dict[str, Any]) -> None:
        gap = self.gaps[value["series"]].setdefault(value["epoch_after"], Gap([], []))
        (gap.opened if value["ended_at"] is None else gap.final).append((commit, value))
        self.spread.append((commit, partition % self.scenario.settings.shards))

    def _offsets(self, partition: int, commit: int, key: str, value: dict[str, Any]) -> None:
        if value["series"] == "#shard":
            self.shards[partition].append((commit, value))
            return
        self.rows[value["series"]] = value
        if value["state"] == "removed":
            self.removed[value["series"], value["gap_started_at"]] = commit
        self.spread.append((commit, partition))

    def _heartbeats(self, partition: int, commit: int, key: str, value: dict[str, Any]) -> None:
        self.beats[partition].append((commit, value))

    def _dead_letters(self, partition: int, commit: int, key: str, value: dict[str, Any]) -> None:
        self.letters.append(value)

    def _latest(self, partition: int, commit: int, key: str, value: dict[str, Any] | None) -> None:
        self.latest[key.split("/", 1)[1]] = value


def judge(scenario: Scenario, *, strict: bool = True) -> list[Finding]:
    """Everything that is wrong. ``strict``: a gap has to contain the instants of sending, not of arrival."""
    evidence = Evidence(scenario)
    findings = list(_shards(evidence))
    findings += _beats(evidence)
    findings += _letters(evidence)
    for series in scenario.settings.series:
        findings += _records(evidence, series)
        findings += _gaps(evidence, series)
        findings += _end(evidence, series)
        findings += _losses(evidence, series, strict=strict)
    for place, log in scenario.broker.partitions.items():
        if log.stable != len(log.entries):
            findings.append(Finding("hanging", f"{place} has an open transaction"))
    return findings


# Shards, heartbeats and dead letters.


def _shards(evidence: Evidence) -> Iterator[Finding]:
    counted: dict[int, int] = defaultdict(int)
    for commit, _ in evidence.spread:
        counted[commit] += 1
    for shard, rows in evidence.shards.items():
        whole = {commit for commit, _ in rows}
        for commit in sorted({commit for commit, one in evidence.spread if one == shard} - whole):
            yield Finding("torn", f"transaction {commit} has {counted[commit]} records and no shard row")
        # Who lost the rows knows of batches and instants what other topics tell.
        truncated = shard in evidence.scenario.truncated
        through = beat = batch = 0
        for _, row in rows:
            batch += 1
            if row["batch_id"] != batch and not (truncated and row["batch_id"] < batch):
                yield Finding("batch", f"shard {shard}: batch {row['batch_id']} where {batch} is due")
                break
            batch = row["batch_id"]
            if row["heartbeat_seq"] - beat not in (0, 1):
                yield Finding("heartbeat", f"shard {shard}: heartbeat_seq {beat} -> {row['heartbeat_seq']}")
            if row["complete_through"] < through and not truncated:
                yield Finding("through", f"shard {shard}: complete_through steps back in batch {batch}")
            beat, through = row["heartbeat_seq"], row["complete_through"]
    yield from _batches(evidence)


def _batches(evidence: Evidence) -> Iterator[Finding]:
    """No two transactions have updates under the same number."""
    commits: dict[tuple[int, int], int] = {}
    for series in evidence.scenario.settings.series:
        shard = evidence.shard_of(series)
        for commit, value in evidence.metrics[series.name]:
            if commits.setdefault((shard, value["batch_id"]), commit) != commit:
                yield Finding("batch", f"shard {shard}: two transactions are batch {value['batch_id']}")
                return


def _beats(evidence: Evidence) -> Iterator[Finding]:
    for partition, beats in evidence.beats.items():
        through = 0
        for _, beat in beats:
            if beat["complete_through"] < through:
                yield Finding("through", f"partition {partition}: steps back in heartbeat {beat['heartbeat_seq']}")
            through = beat["complete_through"]
        for due, (_, beat) in enumerate(beats, 1):
            if beat["heartbeat_seq"] != due:
                yield Finding("heartbeat", f"partition {partition}: {beat['heartbeat_seq']} where {due} is due")
                break
        for _, beat in beats:
            parts = ("records", "repeats_suppressed", "dead_letters", "dropped")
            total = sum(beat[f"{part}_total"] for part in parts) + beat["waiting"]
            if total != beat["values_received_total"]:
                yield Finding("counters", f"heartbeat {beat['heartbeat_seq']}: {beat}")
                break


def _letters(evidence: Evidence) -> Iterator[Finding]:
    seen = set()
    for letter in evidence.letters:
        if letter["error_id"] in seen:
            yield Finding("duplicated", f"dead letter {letter['error_id']}")
        seen.add(letter["error_id"])


# One series.


def _records(evidence: Evidence, series: Series) -> Iterator[Finding]:
    journal = evidence.scenario.source.journal
    line = evidence.scenario.source.lines[series]
    newest, epoch, seen = -1, 1, set()
    for due, (_, value) in enumerate(evidence.metrics[series.name], 1):
        where = f"{series.name} sequence {value['sequence']}"
        if value["sequence"] != due:
            yield Finding("sequence", f"{where} where {due} is due")
            return
        sent = journal.get((value["session_id"], value["frame"], series.name))
        if sent is None or line.value(sent.index) != value["value"]:
            yield Finding("invented", f"{where}: {value}")
            return
        if sent.index in seen and not (sent.snapshot and value["origin"] == "update"):
            yield Finding("duplicated", f"{where}: change {sent.index}")
        elif sent.index < newest:
            yield Finding("reordered", f"{where}: change {sent.index} after {newest}")
        if value["epoch"] < epoch:
            yield Finding("epoch", f"{where}: epoch {value['epoch']} after {epoch}")
        seen.add(sent.index)
        newest, epoch = max(newest, sent.index), value["epoch"]


def _gaps(evidence: Evidence, series: Series) -> Iterator[Finding]:
    gaps = evidence.gaps[series.name]
    row = evidence.rows.get(series.name)
    reached = row["epoch"] if row else 1
    for epoch in range(2, max([reached, *gaps]) + 1):
        where = f"{series.name} epoch {epoch}"
        gap = gaps.get(epoch)
        finals = len(gap.final) if gap else 0
        if finals != (epoch <= reached) or (gap and len(gap.opened) > 1) or (gap is None):
            yield Finding("gap", f"{where}: {gap and len(gap.opened)} open, {finals} final, row at {reached}")
            continue
        yield from _bounds(evidence, series, epoch, gap, where)
        yield from _resync(evidence, series, epoch, gap, where)


def _bounds(evidence: Evidence, series: Series, epoch: int, gap: Gap, where: str) -> Iterator[Finding]:
    if len({value["started_at"] for _, value in gap.opened + gap.final}) > 1:
        yield Finding("gap", f"{where}: the final record starts elsewhere than the open one")
    if gap.end < gap.start:
        yield Finding("gap", f"{where}: ends before it starts")
    for _, value in evidence.metrics[series.name]:
        if (value["epoch"] >= epoch) != (value["sequence"] > gap.before):
            yield Finding("gap", f"{where}: after sequence {gap.before}, but {value['event_id']}")
            return


def _resync(evidence: Evidence, series: Series, epoch: int, gap: Gap, where: str) -> Iterator[Finding]:
    """After a gap the topic has the value that ended it, by a new record or because it had it before."""
    if not gap.final or not gap.final[0][1]["resynced"]:
        return
    records = [value for _, value in evidence.metrics[series.name]]
    known = [value["value"] for value in records if value["epoch"] == epoch][:1]
    known += [value["value"] for value in records if value["sequence"] == gap.before]
    following = evidence.gaps[series.name].get(epoch + 1)
    stepped = evidence.scenario.stepped
    unfinished = following and following.before == gap.before and (stepped or following.start <= gap.end)
    if gap.final[0][1]["value_after"] not in known and not unfinished:
        yield Finding("resync", f"{where}: ended with {gap.final[0][1]['value_after']}, the topic has {known}")


def _end(evidence: Evidence, series: Series) -> Iterator[Finding]:
    records = evidence.metrics[series.name]
    row = evidence.rows.get(series.name)
    last = records[-1][1] if records else None
    if last is not None and row is None:
        yield Finding("offsets", f"{series.name}: records, but no row")
    if row is None:
        return
    known = (row["last_sequence"], row["last_value"])
    real = (last["sequence"], last["value"]) if last else (0, None)
    if known != real:
        yield Finding("offsets", f"{series.name}: the row says {known}, the data {real}")
    latest = evidence.latest.get(series.name)
    if row["state"] == "active" and last is not None and latest is not None and latest["event_id"] != last["event_id"]:
        yield Finding("latest", f"{series.name}: {latest['event_id']} instead of {last['event_id']}")


def _losses(evidence: Evidence, series: Series, *, strict: bool) -> Iterator[Finding]:
    scenario = evidence.scenario
    line = scenario.source.lines[series]
    journal = scenario.source.journal
    published: dict[int, tuple[int, int, Sent]] = {}
    for commit, value in evidence.metrics[series.name]:
        sent = journal.get((value["session_id"], value["frame"], series.name))
        if sent is not None:
            published.setdefault(sent.index, (commit, value["sequence"], sent))
    told = [sent for (_, _, name), sent in journal.items() if name == series.name]
    first = min((sent.index for sent in told), default=len(line.instants))
    born = min((sent.at for sent in told), default=0.0)
    quarantined = _quarantined(evidence, series)
    shard = evidence.shard_of(series)
    rows = evidence.shards[shard]
    commits = [commit for commit, _ in rows]
    gaps = list(evidence.gaps[series.name].values())
    sequence = 0
    for index, instant in enumerate(line.instants):
        due = max(born, instant if strict else line.due[index])
        if index in published:
            commit, sequence, sent = published[index]
            due = sent.at if strict else sent.due
            earlier = [gap.declared for gap in gaps if _covers(scenario, gap, due, due, sequence)]
            commit = min([commit, *earlier])
        elif index < first or index in quarantined:
            continue
        else:
            found = [gap for gap in gaps if _covers(scenario, gap, max(born, instant), due, sequence)]
            if not sequence and shard in scenario.truncated and series in scenario.retired:
                # When state was lost, neither a record nor the configuration told of it: declared when it returns.
                continue
            if not found:
                yield Finding("lost", f"{series.name} change {index}, sent {instant:.4f}, due {due:.4f}")
                continue
            declared = [gap.declared for gap in found]
            commit = min([*declared, *evidence.retired(series, {gap.start for gap in found}, _ms(due))])
        before = bisect_left(commits, commit)
        if before and not scenario.stepped and rows[before - 1][1]["complete_through"] > _ms(due):
            batch = rows[before - 1][1]["batch_id"]
            text = f"{series.name} change {index}, sent {instant:.4f}, due {due:.4f}, passed by batch {batch}"
            yield Finding("through", text)


def _covers(scenario: Scenario, gap: Gap, instant: float, due: float, sequence: int) -> bool:
    if scenario.stepped:
        return gap.before == sequence
    return gap.start <= _ms(due) and _ms(instant) <= gap.end


def _quarantined(evidence: Evidence, series: Series) -> set[int]:
    letters = {(letter["session_id"], letter["frame"]) for letter in evidence.letters}
    journal = evidence.scenario.source.journal
    return {
        sent.index
        for (session, frame, name), sent in journal.items()
        if sent.malformed and name == series.name and (session, frame) in letters
    }


def _ms(seconds: float) -> int:
    return (START_US + round(seconds * 1e6)) // 1000
