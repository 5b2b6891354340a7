"""The files of the recording: records, schemas, and what readers must find."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from connector.adapters.framing import Decoder
from connector.domain.partition import partition_for
from tests.consume import digest

from .hour import IDS, LAST, PARTITIONS, PREFIX, SECOND, SEED, TOPICS, Hour, Recorded, schemas
from .source import LONG_IDS

if TYPE_CHECKING:
    from pathlib import Path

NAMES = {number: name for name, number in IDS.items()} | {SECOND: "metric-update"}
DECODE = Decoder(schemas().__getitem__)


def write(folder: Path) -> list[str]:
    """Every file of the recording; one line about each."""
    records = Hour().run()
    check(records)
    lines = [line(one) for one in records]
    rows = [value for one in records if suffix(one) == "metrics" and (value := decoded(one))]
    latest = current(records)
    said = [
        _write(folder / "hour.jsonl.gz", lines),
        _write(folder / "expected.metrics.jsonl.gz", digest.lines(rows)),
        _write(folder / "expected.latest.jsonl.gz", digest.lines(latest)),
    ]
    (folder / "schemas").mkdir(exist_ok=True)
    for number, text in schemas().items():
        (folder / "schemas" / file_of(number)).write_text(text, encoding="utf-8")
    (folder / "recording.json").write_text(json.dumps(manifest(records, rows, latest), indent=2) + "\n")
    return said


def suffix(record: Recorded) -> str:
    """The topic without its prefix."""
    return record.topic.removeprefix(f"{PREFIX}.")


def schema_id(record: Recorded) -> int | None:
    """The id in the framing; None in a tombstone."""
    return None if record.value is None else int.from_bytes(record.value[1:5], "big")


def version_of(number: int) -> int:
    """The version of a schema in its subject."""
    return 2 if number == SECOND else 1


def file_of(number: int) -> str:
    """The file of a schema."""
    return f"{NAMES[number]}.v{version_of(number)}.avsc"


def decoded(record: Recorded) -> dict[str, Any] | None:
    """The value; None in a tombstone."""
    return None if record.value is None else DECODE(record.value)


def line(record: Recorded) -> str:
    """One record as JSON, in the order that README.md names."""
    number = schema_id(record)
    value = decoded(record)
    if value is not None and "payload" in value:
        value["payload"] = base64.b64encode(value["payload"]).decode()
    fields = {
        "topic": suffix(record),
        "partition": record.partition,
        "key": record.key,
        "timestamp_ms": record.timestamp_ms,
        "headers": {name: text.decode() for name, text in record.headers},
        "subject": f"{suffix(record)}-value",
        "version": None if number is None else version_of(number),
        "transaction": record.transaction,
        "value": None if record.value is None else base64.b64encode(record.value).decode(),
        "json": value,
    }
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


def current(records: list[Recorded]) -> list[dict[str, Any]]:
    """What ``latest`` holds once it is compacted."""
    newest = {one.key: decoded(one) for one in records if one.topic == TOPICS.latest}
    return [value for value in newest.values() if value is not None]


def manifest(records: list[Recorded], rows: list[Any], latest: list[Any]) -> dict[str, Any]:
    """What is in the recording, for programs."""
    subjects: dict[int, set[str]] = {number: set() for number in NAMES}
    for one in records:
        if (number := schema_id(one)) is not None:
            subjects[number].add(f"{suffix(one)}-value")
    return {
        "prefix": PREFIX,
        "account": "acme",
        "partitions": PARTITIONS,
        "shards": 1,
        "seed": SEED,
        "began_ms": min(one.timestamp_ms for one in records),
        "ended_ms": max(one.timestamp_ms for one in records),
        "transactions": records[-1].transaction,
        "records": dict(sorted(Counter(map(suffix, records)).items())),
        "schemas": [
            {
                "id": number,
                "subjects": sorted(names),
                "version": version_of(number),
                "file": f"schemas/{file_of(number)}",
            }
            for number, names in subjects.items()
        ],
        "expected": {
            "metrics": {"rows": len(rows), "digest": digest.digest(rows)},
            "latest": {"rows": len(latest), "digest": digest.digest(latest)},
        },
    }


def check(records: list[Recorded]) -> None:
    """The recording has every peculiarity that it is made for.

    Raises:
        AssertionError: it lacks one.
    """
    by_topic: dict[str, list[Any]] = {}
    for one in records:
        by_topic.setdefault(suffix(one), []).append((one, decoded(one)))
        if suffix(one) in ("metrics", "latest", "gaps", "dead-letters"):
            assert one.partition == partition_for(one.key.encode(), PARTITIONS)
    updates = [value for _, value in by_topic["metrics"]]
    found = {
        "updates": len(updates) >= 1000,
        "families": {one["family"] for one in updates} == {"chats", "agents"},
        "metrics": len({one["metric"] for one in updates}) == 15,
        "windows": {one["window_minutes"] for one in updates} == {None, 30, 60},
        "partitions": {one.partition for one, _ in by_topic["metrics"]} == set(range(PARTITIONS)),
        "origins": {one["origin"] for one in updates} == {"initial", "update", "resync"},
        "nulls": any(one["value"] is None for one in updates),
        "negative counts": any(one["value"] == -1 for one in updates),
        "fractions": any(one["value"] is not None and one["value"] % 1 for one in updates),
        "long ids": {one["department_id"] for one in updates} >= set(LONG_IDS),
        "gaps, open": any(value["ended_at"] is None for _, value in by_topic["gaps"]),
        "gaps, final": {value["reason"] for _, value in by_topic["gaps"] if value["ended_at"] is not None}
        >= {"disconnect", "takeover", "restart", "undecodable", "unsubscribed"},
        "takeover": {value["owner_epoch"] for _, value in by_topic["acme.heartbeats"]} >= {1, 2, 3},
        "tombstones": any(value is None for _, value in by_topic["latest"]),
        "dead letters": len(by_topic["dead-letters"]) >= 2,
        "versions": {schema_id(one) for one, _ in by_topic["metrics"]} == {IDS["metric-update"], SECOND},
    }
    assert open_at_end(by_topic["gaps"]) == {LAST.name}
    assert all(found.values()), [name for name, there in found.items() if not there]


def open_at_end(gaps: list[Any]) -> set[str]:
    """Series whose gap has no final record."""
    final = {value["gap_id"] for _, value in gaps if value["ended_at"] is not None}
    return {value["series"] for _, value in gaps if value["gap_id"] not in final}


def _write(path: Path, lines: list[str]) -> str:
    content = "".join(f"{one}\n" for one in lines).encode()
    packed = gzip.compress(content, 9, mtime=0)
    path.write_bytes(packed)
    checksum = hashlib.sha256(content).hexdigest()
    return f"{path.name}: {len(lines)} lines, {len(packed):,} bytes, content {checksum}"
