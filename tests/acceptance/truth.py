"""What must be true of the topics, given the emulator's journal. Returns findings; an empty list is a pass."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from datetime import UTC, datetime

from connector.domain.metrics import BY_NAME


def check_values(journal, metrics, *, suppressed=0):
    """Every value of the journal is in the topic exactly once and rightly, but for counted equal snapshots."""
    sent = journal.values()
    seen = Counter(identity(message) for message in metrics)
    findings = [f"repeated: {one} x{count}" for one, count in seen.items() if count > 1]
    findings += [f"never sent: {one}" for one in seen if one not in sent]
    missing = [one for one in sent if one not in seen]
    if len(missing) != suppressed:
        findings += [f"missing: {len(missing)} values, {suppressed} counted as equal snapshots: {missing[:5]}"]
    for message in metrics:
        literal = sent.get(identity(message))
        if literal is not None:
            findings += check_record(message, literal)
    return findings + check_sequences(metrics)


def identity(message):
    return message.value["session_id"], message.value["frame"], message.value["series"]


def check_record(message, literal):
    """Key, value, window, department, timestamp, unit and headers of one record."""
    value = message.value
    name, window, department = value["series"].split("|")
    family, metric = name.split(".")
    expected = {
        "account": "acme",
        "family": family,
        "metric": metric,
        "window_minutes": int(window) if window else None,
        "department_id": int(department) if department else None,
        "value": None if literal == "null" else float(literal),
        "value_raw": None if literal == "null" else literal,
        "unit": BY_NAME[name].unit,
        "event_id": f"acme/{value['series']}/{value['epoch']}/{value['sequence']}",
    }
    findings = [
        f"{value['event_id']}: {key} is {value[key]!r}, not {want!r}"
        for key, want in expected.items()
        if value[key] != want
    ]
    if message.key != (department or "all"):
        findings.append(f"{value['event_id']}: key {message.key!r}")
    if message.timestamp != millis(value["received_at"]) or value["received_at_us"] // 1000 != message.timestamp:
        findings.append(f"{value['event_id']}: timestamp {message.timestamp}")
    if (
        message.headers.get("ce_id") != value["event_id"]
        or message.headers.get("ce_type") != "zendesk.chat.metric-update"
    ):
        findings.append(f"{value['event_id']}: headers {message.headers}")
    return findings


def check_sequences(metrics):
    """Per series in offset order: contiguous from the first, received in order, epochs never falling."""
    findings = []
    last = {}
    for message in metrics:
        value = message.value
        before = last.get(value["series"])
        if before is not None:
            if value["sequence"] != before["sequence"] + 1:
                findings.append(f"{value['series']}: sequence {before['sequence']} then {value['sequence']}")
            if value["epoch"] < before["epoch"]:
                findings.append(f"{value['series']}: epoch {before['epoch']} then {value['epoch']}")
        last[value["series"]] = value
    return findings


def check_gaps(journal_values, metrics, gaps):
    """Every epoch step has exactly one final gap, and it fits the sequences around it."""
    findings = []
    final = defaultdict(list)
    for message in gaps:
        if message.value["ended_at"] is not None:
            final[message.value["series"], message.value["epoch_after"]].append(message.value)
    for place, records in final.items():
        if len(records) != 1:
            findings.append(f"{place}: {len(records)} final gaps")
    by_series = defaultdict(list)
    for message in metrics:
        by_series[message.value["series"]].append(message.value)
    for series, values in by_series.items():
        for before, after in itertools.pairwise(values):
            steps = range(before["epoch"] + 1, after["epoch"] + 1)
            findings += [
                f"{series}: epoch {epoch} without a final gap" for epoch in steps if (series, epoch) not in final
            ]
    return findings


def check_heartbeats(heartbeats, partitions):
    """Contiguous per partition, complete_through equals the timestamp and never falls, counters balance."""
    findings = []
    by_partition = defaultdict(list)
    for message in heartbeats:
        by_partition[message.partition].append(message)
    if set(by_partition) != set(range(partitions)):
        findings.append(f"heartbeats only in partitions {sorted(by_partition)}")
    for messages in by_partition.values():
        for before, after in itertools.pairwise(messages):
            if after.value["heartbeat_seq"] != before.value["heartbeat_seq"] + 1:
                findings.append(f"heartbeat_seq {before.value['heartbeat_seq']} then {after.value['heartbeat_seq']}")
            if after.timestamp < before.timestamp:
                findings.append("complete_through falls")
        findings += [f"timestamp {m.timestamp}" for m in messages if m.timestamp != millis(m.value["complete_through"])]
        findings += [f"counters do not balance: {m.value}" for m in messages if not balanced(m.value)]
    return findings


def balanced(beat):
    parts = ("records_total", "repeats_suppressed_total", "dead_letters_total", "dropped_total", "waiting")
    return beat["values_received_total"] == sum(beat[part] for part in parts)


def check_offsets(metrics, offsets):
    """The newest row of each series names its newest record."""
    newest = {message.value["series"]: message.value for message in metrics}
    rows = {message.value["series"]: message.value for message in offsets}
    findings = []
    for series, value in newest.items():
        row = rows.get(series)
        if row is None or row["last_sequence"] != value["sequence"] or row["epoch"] < value["epoch"]:
            findings.append(f"{series}: row {row and row['last_sequence']}, record {value['sequence']}")
    batches = [message.value["batch_id"] for message in offsets if message.value["series"] == "#shard"]
    if batches != list(range(1, len(batches) + 1)):
        findings.append(f"batch ids {batches[:10]}...")
    return findings


def check_latest(metrics, latest):
    """After the last record of each key, ``latest`` equals the newest metrics record."""
    newest = {f"acme/{m.value['series']}": m.value for m in metrics}
    current = {m.key: m.value for m in latest}
    return [f"{key}: latest differs" for key, value in newest.items() if current.get(key) != value]


def undeclared(journal, metrics, gaps):
    """Values that the source sent and that are neither in the topic nor inside a declared gap."""
    have = {(m.value["session_id"], m.value["frame"], m.value["series"]) for m in metrics}
    spans = {}
    for m in gaps:
        start = m.value["started_at"].timestamp() * 1e6
        end = m.value["ended_at"].timestamp() * 1e6 + 1000 if m.value["ended_at"] else float("inf")
        spans.setdefault(m.value["series"], []).append((start, end))
    lost = []
    for line in journal.frames:
        for series, literal in line.get("values") or ():
            inside = any(start - 1000 <= line["at"] <= end for start, end in spans.get(series, ()))
            if (line["session"], line["frame"], series) not in have and not inside:
                lost.append((series, literal, line["at"]))
    return lost


def millis(at):
    if isinstance(at, datetime):
        return round((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
    return at if not isinstance(at, float) else math.floor(at)
